#include "net/ws_deflate_offer.h"

#include "net/ws_codec.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::net {
namespace {

HttpHeaders headers_of(const std::vector<std::string>& values) {
  HttpHeaders out;
  for (const std::string& value : values) out.add("sec-websocket-extensions", value);
  return out;
}

/// The server's answer; "none" and "malformed" for what has no answer.
std::string answer_to(const std::vector<std::string>& values, int window_bits = 15) {
  const auto answer = answer_ws_deflate(headers_of(values), window_bits);
  if (!answer) return "malformed";
  return *answer ? (*answer)->text : "none";
}

const std::string kYes =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

TEST(DeflateOffer, TakesWhatClientsReallyOffer) {
  EXPECT_EQ(answer_to({"permessage-deflate"}), kYes);
  EXPECT_EQ(answer_to({"permessage-deflate; client_max_window_bits"}), kYes);
  EXPECT_EQ(answer_to({"permessage-deflate; client_max_window_bits=10"}), kYes);
  EXPECT_EQ(answer_to({"permessage-deflate;server_no_context_takeover;client_no_context_takeover"}),
            kYes);
  EXPECT_EQ(answer_to({}), "none");
}

TEST(DeflateOffer, AnswersAWindowWithTheSmallerOne) {
  EXPECT_EQ(answer_to({"permessage-deflate; server_max_window_bits=10"}),
            kYes + "; server_max_window_bits=10");
  EXPECT_EQ(answer_to({"permessage-deflate; server_max_window_bits=15"}, 12),
            kYes + "; server_max_window_bits=12");
  EXPECT_EQ(answer_to({"permessage-deflate; server_max_window_bits=\"8\""}),
            kYes + "; server_max_window_bits=8");
  const auto answer =
      answer_ws_deflate(headers_of({"permessage-deflate; server_max_window_bits=9"}), 15);
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->agreement, (WsDeflateAgreement{true, true, 9, 15}));
}

TEST(DeflateOffer, DeclinesUnknownDoubledAndWrongParameters) {
  const std::vector<std::string> parameters{
      "unknown",
      "unknown=1",
      "server_no_context_takeover=1",
      "client_no_context_takeover=\"x\"",
      "server_no_context_takeover; server_no_context_takeover",
      "client_no_context_takeover; client_no_context_takeover",
      "server_max_window_bits=10; server_max_window_bits=10",
      "client_max_window_bits; client_max_window_bits=10",
      "server_max_window_bits",
      "server_max_window_bits=7",
      "server_max_window_bits=16",
      "server_max_window_bits=08",
      "server_max_window_bits=015",
      "server_max_window_bits=1",
      "server_max_window_bits=+9",
      "client_max_window_bits=7",
      "client_max_window_bits=16",
      "client_max_window_bits=9x",
      "Server_No_Context_Takeover"};
  for (const std::string& parameter : parameters) {
    EXPECT_EQ(answer_to({"permessage-deflate; " + parameter}), "none") << parameter;
    EXPECT_EQ(answer_to({"permessage-deflate; " + parameter + ", permessage-deflate"}), kYes)
        << "the next offer counts: " << parameter;
  }
  EXPECT_EQ(answer_to({"x-webkit-deflate-frame"}), "none");
  EXPECT_EQ(answer_to({"permessage-bzip2; a=\"b\", foo"}), "none");
}

TEST(DeflateOffer, TakesTheFirstGoodOneOfSeveral) {
  EXPECT_EQ(answer_to({"foo; bar=\"a\\b\" , , permessage-deflate; server_max_window_bits=9, "
                       "permessage-deflate"}),
            kYes + "; server_max_window_bits=9");
  EXPECT_EQ(answer_to({"foo", "permessage-deflate;\tserver_max_window_bits = 11 "}),
            kYes + "; server_max_window_bits=11");
}

TEST(DeflateOffer, SeesWhatIsMalformed) {
  for (const std::string value :
       {"", " ", ",", ";", "permessage-deflate;", "permessage-deflate; =1", "=", "a b", "a; b c",
        "permessage-deflate; a=", "permessage-deflate; a=\"", "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"b", "permessage-deflate; a=\"b c\"", "permessage-deflate; a=\"b\\",
        "permessage-deflate; a=b=c", "a/b", "permessage-deflate, /", "\"permessage-deflate\""}) {
    EXPECT_EQ(answer_to({value}), "malformed") << value;
    EXPECT_EQ(answer_to({"permessage-deflate", value}), "malformed") << value;
  }
}

TEST(DeflateAnswer, IsReadByTheClient) {
  using Agreement = WsDeflateAgreement;
  const auto read = [](const std::string& value) {
    return read_ws_deflate_answer(headers_of({value}));
  };
  EXPECT_EQ(**read("permessage-deflate"), (Agreement{false, false, 15, 15}));
  EXPECT_EQ(**read(kYes), (Agreement{true, true, 15, 15}));
  EXPECT_EQ(**read("permessage-deflate; client_max_window_bits=8; server_max_window_bits=9"),
            (Agreement{false, false, 9, 8}));
  EXPECT_FALSE(read_ws_deflate_answer({})->has_value());
  for (const std::string value :
       {"permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits",
        "permessage-deflate; x", "permessage-bzip2", "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_max_window_bits=16"}) {
    EXPECT_EQ(read(value).error(), WsExtensionError::NotOffered) << value;
  }
  EXPECT_EQ(read("permessage-deflate;").error(), WsExtensionError::Malformed);
}

TEST(DeflateAnswer, IsPartOfTheHandshakeWhereBothWantIt) {
  const std::string key = "dGhlIHNhbXBsZSBub25jZQ==";
  const std::string text = ws_handshake_request(
      "r", "/", key, {{"Sec-WebSocket-Extensions", std::string(kWsDeflateOffer)}});
  HttpRequestParser parser{HttpLimits{}};
  ASSERT_TRUE(parser.feed(text) && parser.done());
  HttpRequest request = parser.take();
  WsDeflateOptions on;
  on.enabled = true;

  const auto agreed = answer_ws_handshake(request, on);
  ASSERT_TRUE(agreed && agreed->deflate);
  EXPECT_TRUE(agreed->deflate->server_no_context_takeover);
  const auto seen = check_ws_handshake_response(agreed->text, key, true);
  ASSERT_TRUE(seen && *seen);
  EXPECT_EQ(**seen, *agreed->deflate);
  EXPECT_EQ(check_ws_handshake_response(agreed->text, key, false).error(),
            WsHandshakeError::UnwantedExtension);

  const auto off = answer_ws_handshake(request);
  ASSERT_TRUE(off);
  EXPECT_FALSE(off->deflate);
  EXPECT_EQ(off->text.find("Extensions"), std::string::npos);
  EXPECT_FALSE(check_ws_handshake_response(off->text, key, true)->has_value());

  request.headers.add("Sec-WebSocket-Extensions", "a; ;");
  EXPECT_EQ(answer_ws_handshake(request, on).error(), WsHandshakeError::BadExtension);
  EXPECT_TRUE(answer_ws_handshake(request)) << "off: not looked at";
}

}  // namespace
}  // namespace nostril::net
