#include "net/http.h"

#include <gtest/gtest.h>

#include <random>

namespace nostril::net {
namespace {

HttpLimits small() {
  return {200, 5, 20};
}

/// Parses one request given in pieces of `piece` bytes.
Result<HttpRequest, HttpError> parse(std::string_view text, std::size_t piece = 1'000'000,
                                     HttpLimits limits = {}) {
  HttpRequestParser parser(limits);
  while (!text.empty() && !parser.done()) {
    const auto used = parser.feed(text.substr(0, piece));
    if (!used) return failure(used.error());
    text.remove_prefix(*used);
  }
  EXPECT_TRUE(parser.done()) << "incomplete";
  if (!parser.done()) return failure(HttpError::BadRequestLine);
  return parser.take();
}

HttpError error_of(std::string_view text, HttpLimits limits = {}) {
  HttpRequestParser parser(limits);
  while (!text.empty()) {
    const auto used = parser.feed(text);
    if (!used) {
      EXPECT_FALSE(parser.feed("x"));  // stays failed
      return used.error();
    }
    if (parser.done()) break;
    text.remove_prefix(*used);
  }
  ADD_FAILURE() << "no error in: " << text;
  return HttpError::BadRequestLine;
}

TEST(HttpRequestParser, ReadsAGet) {
  for (const std::size_t piece : {1U, 2U, 7U, 1'000U}) {
    const auto request = parse(
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: example:80\r\nX-Empty:\r\nAccept: \t text/html "
        "\t\r\n\r\n",
        piece);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->method, "GET");
    EXPECT_EQ(request->target, "/a/b?c=d&e");
    EXPECT_EQ(request->path, "/a/b");
    EXPECT_EQ(request->query, "c=d&e");
    EXPECT_EQ(request->headers.find("HOST"), "example:80");
    EXPECT_EQ(request->headers.find("x-empty"), "");
    EXPECT_EQ(request->headers.find("accept"), "text/html");
    EXPECT_FALSE(request->headers.find("Missing"));
    EXPECT_TRUE(request->keep_alive);
    EXPECT_TRUE(request->body.empty());
  }
}

TEST(HttpRequestParser, ReadsBodiesOfBothKinds) {
  for (const std::size_t piece : {1U, 3U, 1'000U}) {
    const auto fixed = parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", piece);
    ASSERT_TRUE(fixed);
    EXPECT_EQ(fixed->body, "hello");
    const auto chunked = parse(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
        "5\r\nhello\r\n00A;ext=\"v\"\r\n0123456789\r\n0\r\nX-Trailer: dropped\r\n\r\n",
        piece);
    ASSERT_TRUE(chunked);
    EXPECT_EQ(chunked->body, "hello0123456789");
    EXPECT_FALSE(chunked->headers.find("X-Trailer"));
  }
}

TEST(HttpRequestParser, StopsAtTheEndOfOneRequest) {
  HttpRequestParser parser{HttpLimits{}};
  const std::string two =
      "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\nHost: "
      "h\r\n\r\n";
  const auto used = parser.feed(two);
  ASSERT_TRUE(used);
  ASSERT_TRUE(parser.done());
  EXPECT_EQ(two.substr(*used, 6), "GET /2");
  EXPECT_EQ(parser.take().body, "ab");
  EXPECT_TRUE(parser.idle());
  ASSERT_TRUE(parser.feed(std::string_view(two).substr(*used)));
  EXPECT_EQ(parser.take().target, "/2");
}

TEST(HttpRequestParser, KnowsWhoStays) {
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: h\r\n\r\n")->keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n")->keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n")->keep_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")->keep_alive);
}

TEST(HttpRequestParser, TakesAbsoluteTargetsAndTheirHost) {
  struct Case {
    const char* target;
    const char* origin;
    const char* host;
  };

  for (const Case& one :
       {Case{"http://example.com/a?b", "/a?b", "example.com"},
        Case{"HTTPS://Example.com:8443/", "/", "Example.com:8443"},
        Case{"http://[2001:db8::1]:80/x", "/x", "[2001:db8::1]:80"}, Case{"http://h", "/", "h"},
        Case{"http://h?q=/", "/?q=/", "h"}, Case{"http://h:/a//b", "/a//b", "h:"},
        Case{"http://h/http://other/", "/http://other/", "h"}}) {
    SCOPED_TRACE(one.target);
    for (const std::size_t piece : {1U, 1'000U}) {
      const auto request = parse(
          "GET " + std::string(one.target) + " HTTP/1.1\r\nA: 1\r\nhost: other\r\n\r\n", piece);
      ASSERT_TRUE(request);
      EXPECT_EQ(request->target, one.origin);
      EXPECT_EQ(request->query.empty() ? request->path : request->path + "?" + request->query,
                one.origin);
      EXPECT_EQ(request->headers.find("Host"), one.host);
      EXPECT_EQ(request->headers.fields().size(), 2U);
    }
  }
  EXPECT_EQ(parse("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n")->target, "*");
  EXPECT_EQ(parse("OPTIONS http://h/ HTTP/1.1\r\nHost: h\r\n\r\n")->target, "/");
  EXPECT_EQ(parse("GET http://h/ HTTP/1.0\r\n\r\n")->headers.find("Host"), "h");
}

TEST(HttpRequestParser, AnAbsoluteTargetDoesNotExcuseTheHostField) {
  EXPECT_EQ(error_of("GET http://h/ HTTP/1.1\r\n\r\n"), HttpError::BadHost);
  EXPECT_EQ(error_of("GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"), HttpError::BadHost);
  EXPECT_EQ(error_of("GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n"), HttpError::BadHost);
  // One field more than came.
  const std::string five = "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n";
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\n" + five, 1'000, small()));
  EXPECT_EQ(error_of("GET http://h/ HTTP/1.0\r\n" + five, small()), HttpError::TooManyHeaders);
}

TEST(HttpRequestParser, PassesOverAFewEmptyLinesBeforeARequest) {
  const std::string get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  std::string empty;
  for (int lines = 0; lines <= HttpRequestParser::kEmptyLinesMax; ++lines, empty += "\r\n") {
    for (const std::size_t piece : {1U, 1'000U}) EXPECT_TRUE(parse(empty + get, piece)) << lines;
  }
  EXPECT_EQ(error_of(empty + get), HttpError::BadRequestLine);
  EXPECT_EQ(error_of("\n" + get), HttpError::BadRequestLine);
  EXPECT_EQ(error_of("\r\r\n" + get), HttpError::BadRequestLine);

  // Each request has as many before it; between two nothing has begun.
  HttpRequestParser parser{HttpLimits{}};
  const std::string few(empty, 2);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(parser.feed(few));
    EXPECT_TRUE(parser.idle());
    ASSERT_TRUE(parser.feed(get));
    ASSERT_TRUE(parser.done());
    (void)parser.take();
  }
}

TEST(HttpRequestParser, RefusesBadRequestLines) {
  for (const char* line :
       {"GET", "GET /", "GET  / HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ", "G(T / HTTP/1.1",
        "GET / http/1.1", "GET / HTTP/1.1 x", "GET\t/\tHTTP/1.1"}) {
    const HttpError error = error_of(std::string(line) + "\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(error == HttpError::BadRequestLine || error == HttpError::BadTarget) << line;
  }
  for (const char* target : {"example.com",
                             "example.com:80",
                             "/a b",
                             "/\x7F",
                             "/\xC3\xA9",
                             "/#x",
                             "/a\\b",
                             "/\"",
                             "**",
                             "",
                             "http:",
                             "http:/h/",
                             "http://",
                             "http:///a",
                             "http://:80/",
                             "http://a@h/",
                             "http://h:8o/",
                             "http://h:80:",
                             "http://[/",
                             "http://[]/",
                             "http://[::1]a/",
                             "http://h#",
                             "ws://h/",
                             "http//h/",
                             "http://h\\x/"}) {
    const HttpError error = error_of("GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(error == HttpError::BadRequestLine || error == HttpError::BadTarget) << target;
  }
  for (const char* version : {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9"}) {
    EXPECT_EQ(error_of("GET / " + std::string(version) + "\r\n\r\n"), HttpError::BadVersion)
        << version;
  }
}

TEST(HttpRequestParser, RefusesBareLineFeedsAndControlBytes) {
  EXPECT_EQ(error_of("GET / HTTP/1.1\nHost: h\r\n\r\n"), HttpError::BadRequestLine);
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: h\n\r\n"), HttpError::BadHeader);
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: h\r\n\n"), HttpError::BadHeader);
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: h\r\nX: a" + std::string(1, '\0') + "b\r\n\r\n"),
            HttpError::BadHeader);
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n"), HttpError::BadHeader);
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n"), HttpError::BadHeader);
}

TEST(HttpRequestParser, RefusesFieldsThatReadersDisagreeAbout) {
  for (const char* field :
       {"X : a", " X: a", "\tX: a", ": a", "X", "X\x80: a", "X Y: a", "(X): a"}) {
    EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: h\r\n" + std::string(field) + "\r\n\r\n"),
              HttpError::BadHeader)
        << field;
  }
  // obs-fold
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"), HttpError::BadHeader);
}

TEST(HttpRequestParser, WantsExactlyOneHost) {
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\n\r\n"), HttpError::BadHost);
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), HttpError::BadHost);
  for (const char* host :
       {"a b", "a, b", "a/b", "u@a", "a:b", "a:1:2", "[::1", "[]", "[a]b", "\xC3\xA9"})
    EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"),
              HttpError::BadHost)
        << host;
  for (const char* host : {"", "a", "a_b.example", "a:80", "a:", "[::1]", "[::1]:80", "127.0.0.1"})
    EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n")) << host;
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\n\r\n"));
}

TEST(HttpRequestParser, RefusesLengthsThatSmuggle) {
  const auto post = [](const std::string& fields) {
    return "POST / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n\r\nabc";
  };
  for (const char* value : {"+3", "-1", "3,3", "0x3", "3 3", "", "99999999999999999999", "3;"}) {
    EXPECT_EQ(error_of(post("Content-Length: " + std::string(value))), HttpError::BadLength)
        << value;
  }
  EXPECT_EQ(error_of(post("Content-Length: 3\r\nContent-Length: 3")), HttpError::BadLength);
  EXPECT_EQ(error_of(post("Content-Length: 3\r\nTransfer-Encoding: chunked")),
            HttpError::BadLength);
  EXPECT_EQ(error_of(post("Transfer-Encoding: gzip, chunked")), HttpError::UnknownTransferEncoding);
  EXPECT_EQ(error_of(post("Transfer-Encoding: xchunked")), HttpError::UnknownTransferEncoding);
  EXPECT_EQ(error_of(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
            HttpError::UnknownTransferEncoding);
  EXPECT_EQ(error_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            HttpError::BadLength);
}

TEST(HttpRequestParser, RefusesBadChunks) {
  const auto chunks = [](const std::string& body) {
    return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
  };
  for (const char* body :
       {"\r\n", "g\r\n", "-1\r\n", "0x3\r\nabc\r\n", "3\nabc\r\n", "3\r\nabcd\r\n", "3\r\nabc\n",
        " 3\r\nabc\r\n", "11111111111111111\r\n", "3;\x01\r\nabc\r\n"}) {
    EXPECT_EQ(error_of(chunks(body)), HttpError::BadChunk) << body;
  }
  EXPECT_EQ(error_of(chunks("ffffffffffffffff\r\n")), HttpError::BodyTooLarge);
  EXPECT_EQ(error_of(chunks(std::string(300, '0') + "3\r\n")), HttpError::BadChunk);
}

TEST(HttpRequestParser, HoldsItsLimits) {
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_TRUE(
      parse(start + "A: " + std::string(200 - start.size() - 7, 'x') + "\r\n\r\n", 1'000, small()));
  EXPECT_EQ(
      error_of(start + "A: " + std::string(200 - start.size() - 6, 'x') + "\r\n\r\n", small()),
      HttpError::HeadTooLarge);
  EXPECT_EQ(error_of(std::string(201, 'G'), small()), HttpError::HeadTooLarge);
  EXPECT_TRUE(parse(start + "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n", 1'000, small()));
  EXPECT_EQ(error_of(start + "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n", small()),
            HttpError::TooManyHeaders);
  EXPECT_TRUE(
      parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n" + std::string(20, 'b'),
            1'000, small()));
  EXPECT_EQ(error_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 21\r\n\r\n", small()),
            HttpError::BodyTooLarge);
  EXPECT_EQ(error_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                     "chunked\r\n\r\n10\r\n0123456789abcdef\r\n5\r\n",
                     small()),
            HttpError::BodyTooLarge);
}

TEST(HttpRequestParser, NamesStatusesForErrors) {
  EXPECT_EQ(status_of(HttpError::BadHeader), 400);
  EXPECT_EQ(status_of(HttpError::BodyTooLarge), 413);
  EXPECT_EQ(status_of(HttpError::HeadTooLarge), 431);
  EXPECT_EQ(status_of(HttpError::UnknownTransferEncoding), 501);
  EXPECT_EQ(status_of(HttpError::BadVersion), 505);
}

TEST(HttpRequestParser, ReadsTheSameHoweverTheBytesAreCut) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string text =
      "PUT /x?y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Long: " +
      std::string(500, 'v') + "\r\n\r\n1f4\r\n" + std::string(500, 'd') +
      "\r\n3\r\nend\r\n0\r\n\r\n";
  for (int round = 0; round < 200; ++round) {
    HttpRequestParser parser{HttpLimits{}};
    std::string_view rest = text;
    while (!rest.empty()) {
      const auto used = parser.feed(rest.substr(0, 1 + random() % 60));
      ASSERT_TRUE(used);
      rest.remove_prefix(*used);
    }
    ASSERT_TRUE(parser.done());
    EXPECT_EQ(parser.take().body, std::string(500, 'd') + "end");
  }
}

TEST(HttpResponseText, FramesTheBody) {
  HttpResponse response{200, {{"Content-Type", "text/plain"}}, "hi"};
  EXPECT_EQ(encode_response(response, true),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: "
            "keep-alive\r\n\r\nhi");
  EXPECT_EQ(encode_response(response, false, true),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: "
            "close\r\n\r\n");
  EXPECT_EQ(encode_response({204, {}, ""}, true),
            "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
  std::string chunks;
  append_chunk(chunks, "");
  append_chunk(chunks, std::string(26, 'z'));
  EXPECT_EQ(chunks, "1a\r\n" + std::string(26, 'z') + "\r\n");
}

TEST(HttpResponseTextDeathTest, NeverLetsAFieldSplitTheAnswer) {
  EXPECT_DEATH(encode_response({200, {{"X", "a\r\nSet-Cookie: b"}}, ""}, true), "CHECK");
  EXPECT_DEATH(encode_response({200, {{"X: y", "a"}}, ""}, true), "CHECK");
}

TEST(HttpHeaders, FindsTokensInLists) {
  const HttpHeaders headers{{"Connection", "a, B ,c"}, {"connection", "d"}};
  for (const char* token : {"a", "b", "C", "D"})
    EXPECT_TRUE(headers.has_token("CONNECTION", token)) << token;
  EXPECT_FALSE(headers.has_token("Connection", "e"));
  EXPECT_FALSE(headers.has_token("Other", "a"));
  EXPECT_EQ(headers.count("Connection"), 2U);
}

}  // namespace
}  // namespace nostril::net
