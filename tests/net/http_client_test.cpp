#include "net/http_client.h"

#include "net/server.h"
#include "net/sse.h"
#include "tests/net/support.h"
#include "tests/net/test_certificate.h"

#include <fstream>
#include <iterator>

namespace nostril::net {
namespace {

class Handler : public ServerHandler {
 public:
  void on_http(ConnectionId id, const HttpRequest& request) override {
    seen.push_back(request);
    answer(id, request);
  }

  void on_http_closed(ConnectionId id) override {
    if (closed) closed(id);
  }

  void on_drained(ConnectionId id) override {
    if (drained) drained(id);
  }

  std::vector<HttpRequest> seen;
  std::function<void(ConnectionId, const HttpRequest&)> answer;
  std::function<void(ConnectionId)> closed;
  std::function<void(ConnectionId)> drained;
};

class HttpClientTest : public testing::Test {
 protected:
  void serve(const TlsConfig& tls = {}, const ServerLimits& limits = {}) {
    ListenConfig listen;
    listen.tls = tls;
    server_ = std::make_unique<Server>(loop_, handler_, listen, limits);
  }

  HttpCall get(const std::string& path, const std::string& scheme = "http") {
    HttpCall call;
    call.url = scheme + "://127.0.0.1:" + std::to_string(server_->local_port()) + path;
    return call;
  }

  HttpCallbacks callbacks() {
    HttpCallbacks out;
    out.on_status = [this](int status, const HttpHeaders& headers) {
      status_ = status;
      headers_ = headers;
    };
    out.on_data = [this](std::string_view bytes) {
      body_.append(bytes);
      return true;
    };
    out.on_done = [this](const HttpCallResult& result) {
      results_.push_back(result);
      loop_.stop();
    };
    return out;
  }

  void run() {
    const TimerId guard = loop_.after(kTestWaitSeconds * 1'000, [this] {
      ADD_FAILURE() << "timed out";
      loop_.stop();
    });
    loop_.run();
    loop_.cancel(guard);
  }

  Loop loop_;
  Handler handler_;
  std::unique_ptr<Server> server_;
  HttpClient client_{loop_, 4};
  int status_ = 0;
  HttpHeaders headers_;
  std::string body_;
  std::vector<HttpCallResult> results_;
  ConnectionId last_ = ConnectionId::None;
};

TEST_F(HttpClientTest, PostsAndReadsTheAnswer) {
  serve();
  handler_.answer = [&](ConnectionId id, const HttpRequest& request) {
    server_->respond(id, {201, {{"X-Answer", "42"}}, "got " + std::to_string(request.body.size())});
  };
  HttpCall call = get("/v1/chat?x=1");
  call.method = "POST";
  call.headers = {{"Content-Type", "application/json"}, {"Authorization", "Bearer k"}};
  call.body = std::string(100'000, 'b');
  client_.start(call, callbacks());
  run();
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_TRUE(results_[0].ok()) << to_string(results_[0].error) << results_[0].detail;
  EXPECT_EQ(status_, 201);
  EXPECT_EQ(headers_.find("x-answer"), "42");
  EXPECT_EQ(body_, "got 100000");
  ASSERT_EQ(handler_.seen.size(), 1U);
  EXPECT_EQ(handler_.seen[0].method, "POST");
  EXPECT_EQ(handler_.seen[0].target, "/v1/chat?x=1");
  EXPECT_EQ(handler_.seen[0].headers.find("Authorization"), "Bearer k");
  EXPECT_FALSE(handler_.seen[0].headers.find("Expect"));
  EXPECT_TRUE(handler_.seen[0].body == call.body);
}

TEST_F(HttpClientTest, DoesNotFollowRedirects) {
  serve();
  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->respond(id, {302, {{"Location", "/other"}}, ""});
  };
  client_.start(get("/"), callbacks());
  run();
  EXPECT_EQ(status_, 302);
  EXPECT_EQ(handler_.seen.size(), 1U);
}

TEST_F(HttpClientTest, DeliversAStreamAsItComes) {
  serve();
  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->start_stream(id, 200, {{"Content-Type", "text/event-stream"}});
    server_->write_stream(id, sse_encode("", "first"));
  };
  SseParser parser;
  std::vector<SseEvent> events;
  HttpCallbacks calls = callbacks();
  calls.on_data = [&](std::string_view bytes) {
    const std::size_t before = events.size();
    EXPECT_TRUE(parser.feed(bytes, events));
    // The second event is sent only after the first has arrived: nothing may buffer it.
    if (before == 0 && events.size() == 1) {
      const ConnectionId id = last_;
      server_->write_stream(id, sse_encode("done", "second"));
      server_->end_stream(id);
    }
    return true;
  };
  const auto answer = handler_.answer;
  handler_.answer = [&, answer](ConnectionId id, const HttpRequest& request) {
    last_ = id;
    answer(id, request);
  };
  client_.start(get("/"), calls);
  run();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].data, "first");
  EXPECT_EQ(events[1].event, "done");
  EXPECT_TRUE(results_[0].ok());
}

TEST_F(HttpClientTest, CancelClosesTheConnectionAtOnce) {
  serve();
  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->start_stream(id, 200, {});
    server_->write_stream(id, "token");
  };
  handler_.closed = [&](ConnectionId) { loop_.stop(); };
  CallId id = CallId::None;
  HttpCallbacks calls = callbacks();
  int pieces = 0;
  calls.on_data = [&](std::string_view) {
    ++pieces;
    client_.cancel(id);
    return true;
  };
  id = client_.start(get("/"), calls);
  run();  // ends by on_http_closed
  EXPECT_EQ(pieces, 1);
  EXPECT_TRUE(results_.empty());
  EXPECT_EQ(client_.calls_under_way(), 0U);
}

TEST_F(HttpClientTest, CancelBeforeAnythingHappenedIsSilent) {
  serve();
  client_.cancel(client_.start(get("/"), callbacks()));
  loop_.after(30, [&] { loop_.stop(); });
  run();
  EXPECT_TRUE(results_.empty());
  EXPECT_TRUE(handler_.seen.empty());
}

TEST_F(HttpClientTest, PausePushesBackAndResumeGoesOn) {
  ServerLimits limits;
  limits.pending_bytes_max = 1 << 20;
  limits.send_buffer_bytes = 256 << 10;
  serve({}, limits);
  constexpr std::size_t kTotal = 16 << 20;
  std::size_t sent = 0;
  const auto push = [&](ConnectionId id) {
    while (sent < kTotal && server_->pending_bytes(id) < 200'000) {
      ASSERT_TRUE(server_->write_stream(
          id, std::string(65'536, static_cast<char>('a' + sent / 65'536 % 26))));
      sent += 65'536;
      if (sent == kTotal) server_->end_stream(id);
    }
  };
  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->start_stream(id, 200, {});
    push(id);
  };
  handler_.drained = [&](ConnectionId id) {
    if (sent > 0) push(id);
  };
  HttpCall call = get("/");
  CallId id = CallId::None;
  bool paused = false;
  std::size_t got = 0;
  bool right = true;
  HttpCallbacks calls = callbacks();
  calls.on_data = [&](std::string_view bytes) {
    for (const char c : bytes) right = right && c == static_cast<char>('a' + got++ / 65'536 % 26);
    if (paused || got < 100'000) return true;
    paused = true;
    loop_.after(150, [&] {
      EXPECT_LT(got, kTotal / 2);
      EXPECT_LT(sent, kTotal);  // the server had to wait
      client_.resume(id);
    });
    return false;
  };
  id = client_.start(call, calls);
  run();
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_TRUE(results_[0].ok()) << results_[0].detail;
  EXPECT_EQ(got, kTotal);
  EXPECT_TRUE(right);
  EXPECT_TRUE(paused);
}

TEST_F(HttpClientTest, TimesOutOnASilentOrStallingServer) {
  serve();
  handler_.answer = [](ConnectionId, const HttpRequest&) {};
  HttpCall call = get("/");
  call.first_byte_ms_max = 60;
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::FirstByteTimeout);

  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->start_stream(id, 200, {});
    server_->write_stream(id, "x");
  };
  call.first_byte_ms_max = 10'000;
  call.idle_ms_max = 60;
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::IdleTimeout);
  EXPECT_EQ(body_, "x");
}

TEST_F(HttpClientTest, BoundsTheAnswer) {
  serve();
  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->respond(id, {200, {}, std::string(50'000, 'x')});
  };
  HttpCall call = get("/");
  call.response_bytes_max = 10'000;
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::TooLarge);
  EXPECT_LE(body_.size(), 10'000U);

  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->respond(id, {200, {{"X", std::string(9'000, 'x')}}, ""});
  };
  call.response_head_bytes_max = 1'000;
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::TooLarge);
}

TEST_F(HttpClientTest, ReportsWhatWentWrong) {
  serve();
  HttpCall call = get("/");
  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->start_stream(id, 200, {});
    server_->write_stream(id, "half");
    loop_.after(20, [this, id] { server_->drop(id); });
  };
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::Broken);

  const std::string port = std::to_string(server_->local_port());
  server_.reset();
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::Connect);

  for (const char* bad :
       {"ftp://127.0.0.1/", "ws://127.0.0.1/", "http://user@127.0.0.1/", "nonsense"}) {
    call.url = bad;
    client_.start(call, callbacks());
    run();
    EXPECT_EQ(results_.back().error, HttpCallError::BadUrl) << bad;
  }
}

TEST_F(HttpClientTest, RefusesMoreCallsThanItsLimit) {
  serve();
  std::vector<ConnectionId> open;
  handler_.answer = [&](ConnectionId id, const HttpRequest&) { open.push_back(id); };
  HttpCallbacks calls = callbacks();
  int refused = 0;
  calls.on_done = [&](const HttpCallResult& result) {
    EXPECT_EQ(result.error, HttpCallError::TooManyCalls);
    ++refused;
    loop_.stop();
  };
  for (int i = 0; i < 5; ++i) client_.start(get("/"), calls);
  run();
  EXPECT_EQ(refused, 1);
}

TEST_F(HttpClientTest, StartsACallFromInsideACallback) {
  serve();
  handler_.answer = [&](ConnectionId id, const HttpRequest& request) {
    server_->respond(id, {200, {}, request.target});
  };
  HttpCallbacks first = callbacks();
  first.on_data = [&](std::string_view) {
    client_.start(get("/second"), callbacks());
    return true;
  };
  first.on_done = nullptr;
  client_.start(get("/first"), first);
  run();
  EXPECT_EQ(body_, "/second");
}

TEST_F(HttpClientTest, ConnectsWhereItIsToldAndChecksTheNameOfTheUrl) {
  const TestCertificate certificate("DNS:relay.example");
  serve({certificate.certificate_path, certificate.key_path});
  handler_.answer = [&](ConnectionId id, const HttpRequest& request) {
    server_->respond(id, {200, {}, std::string(request.headers.find("Host").value_or("none"))});
  };
  HttpCall call;
  call.url = "https://relay.example/";
  call.connect_to = "127.0.0.1:" + std::to_string(server_->local_port());
  call.ca_path = certificate.certificate_path;
  client_.start(call, callbacks());
  run();
  EXPECT_TRUE(results_.back().ok()) << results_.back().detail;
  EXPECT_EQ(body_, "relay.example");
  call.url = "https://other.example/";
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::Tls);
}

TEST_F(HttpClientTest, ChecksTheCertificateOfHttps) {
  const TestCertificate certificate("IP:127.0.0.1");
  serve({certificate.certificate_path, certificate.key_path});
  handler_.answer = [&](ConnectionId id, const HttpRequest&) {
    server_->respond(id, {200, {}, "sealed"});
  };
  HttpCall call = get("/", "https");
  client_.start(call, callbacks());
  run();
  EXPECT_EQ(results_.back().error, HttpCallError::Tls);
  EXPECT_TRUE(handler_.seen.empty());
  call.ca_path = certificate.certificate_path;
  client_.start(call, callbacks());
  run();
  EXPECT_TRUE(results_.back().ok()) << results_.back().detail;
  EXPECT_EQ(body_, "sealed");
  EXPECT_EQ(results_.back().peer_certificate, "") << "nobody asked for it";
  HttpClient fresh(loop_, 1);
  call.wants_peer_certificate = true;
  fresh.start(call, callbacks());
  run();
  std::ifstream file(certificate.certificate_path);
  const std::string pem(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(results_.back().peer_certificate, pem);
}

}  // namespace
}  // namespace nostril::net
