#include "net/ws_client.h"

#include "net/server.h"
#include "tests/net/support.h"
#include "tests/net/test_certificate.h"

#include <random>

namespace nostril::net {
namespace {

class Echo : public ServerHandler {
 public:
  void on_http(ConnectionId id, const HttpRequest&) override {
    server->respond(id, {200, {}, "plain"});
  }

  bool accept_websocket(const PeerAddress&, const HttpRequest& request) override {
    seen = request;
    return request.path != "/refused";
  }

  void on_ws_open(ConnectionId id, const PeerAddress&, const HttpRequest&) override { last = id; }

  void on_ws_text(ConnectionId id, std::string_view message) override {
    if (message == "close me") {
      server->close(id, 4000, "as you wish");
    } else if (message == "drop me") {
      server->drop(id);
    } else {
      server->send_text(id, message);
    }
  }

  void on_ws_close(ConnectionId) override { ++closed; }

  Server* server = nullptr;
  HttpRequest seen;
  ConnectionId last = ConnectionId::None;
  int closed = 0;
};

/// Server and client on one loop, run by the test itself; a timer ends a test that hangs.
class WsClientTest : public testing::Test {
 protected:
  void serve(const ServerLimits& limits = {}, const TlsConfig& tls = {}) {
    ListenConfig listen;
    listen.tls = tls;
    server_ = std::make_unique<Server>(loop_, echo_, listen, limits);
    echo_.server = server_.get();
  }

  Url url(const std::string& path = "/", const std::string& scheme = "ws",
          const std::string& host = "127.0.0.1") {
    return *parse_url(scheme + "://" + host + ":" + std::to_string(server_->local_port()) + path);
  }

  WsClientCallbacks callbacks() {
    WsClientCallbacks out;
    out.on_open = [this] { ++opened_; };
    out.on_text = [this](std::string_view text) { got_.emplace_back(text); };
    out.on_close = [this](const WsCloseInfo& info) {
      closed_.push_back(info);
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
  Echo echo_;
  std::unique_ptr<Server> server_;
  int opened_ = 0;
  std::vector<std::string> got_;
  std::vector<WsCloseInfo> closed_;
};

TEST_F(WsClientTest, TalksAndCloses) {
  serve();
  WsClient client(loop_);
  WsClientOptions options;
  options.headers = {{"X-Test", "yes"}};
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] {
    EXPECT_TRUE(client.is_open());
    EXPECT_TRUE(client.send_text("hello"));
  };
  calls.on_text = [&](std::string_view text) {
    EXPECT_EQ(text, "hello");
    client.close(1000, "done");
    EXPECT_FALSE(client.send_text("late"));
  };
  client.connect(url("/path?x=1"), calls, options);
  EXPECT_FALSE(client.is_idle());
  run();
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_TRUE(closed_[0].was_open);
  EXPECT_EQ(closed_[0].code, 1000);
  EXPECT_TRUE(client.is_idle());
  EXPECT_EQ(echo_.seen.target, "/path?x=1");
  EXPECT_EQ(echo_.seen.headers.find("X-Test"), "yes");
  EXPECT_EQ(echo_.seen.headers.find("Host"), "127.0.0.1:" + std::to_string(server_->local_port()));
}

TEST_F(WsClientTest, FindsAHostByName) {
  serve();
  WsClient client(loop_);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] { client.close(); };
  client.connect(url("/", "ws", "localhost"), calls);
  run();
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_TRUE(closed_[0].was_open) << closed_[0].reason;
}

TEST_F(WsClientTest, ReturnsRandomMessagesByteForByte) {
  ServerLimits limits;
  limits.message_bytes_max = 2 << 20;
  limits.pending_bytes_max = 64 << 20;
  serve(limits);
  WsClient client(loop_);
  std::mt19937 random(7);  // fixed: the same bytes in every run
  std::vector<std::string> sent;
  for (int i = 0; i < 300; ++i) {
    std::string text(i == 100 ? 1 << 20 : random() % (i % 7 == 0 ? 100'000 : 400), ' ');
    for (char& c : text) c = static_cast<char>(32 + random() % 95);
    sent.push_back(std::move(text));
  }
  std::size_t next = 0;
  const auto push = [&] {
    while (next < sent.size() && client.pending_bytes() < 500'000 && client.send_text(sent[next]))
      ++next;
  };
  WsClientCallbacks calls = callbacks();
  calls.on_open = push;
  calls.on_drained = push;
  calls.on_text = [&](std::string_view text) {
    got_.emplace_back(text);
    if (got_.size() == sent.size()) client.close();
  };
  client.connect(url(), calls);
  run();
  ASSERT_EQ(got_.size(), sent.size());
  EXPECT_TRUE(got_ == sent);
}

TEST_F(WsClientTest, ReportsTheServersClose) {
  serve();
  WsClient client(loop_);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] { EXPECT_TRUE(client.send_text("close me")); };
  client.connect(url(), calls);
  run();
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_EQ(closed_[0].code, 4000);
  EXPECT_EQ(closed_[0].reason, "as you wish");
}

TEST_F(WsClientTest, ReportsABrokenConnectionAs1006AndConnectsAgain) {
  serve();
  WsClient client(loop_);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] { EXPECT_TRUE(client.send_text("drop me")); };
  WsClientCallbacks again = callbacks();
  again.on_open = [&] { client.close(); };
  calls.on_close = [&](const WsCloseInfo& info) {
    closed_.push_back(info);
    client.connect(url(), again);
  };
  client.connect(url(), calls);
  run();
  ASSERT_EQ(closed_.size(), 2U);
  EXPECT_EQ(closed_[0].code, kWsCloseAbnormal);
  EXPECT_TRUE(closed_[0].was_open);
  EXPECT_EQ(closed_[1].code, kWsCloseNormal);
}

TEST_F(WsClientTest, SaysWhyItCouldNotConnect) {
  serve();
  const Url refused = url("/refused");
  const Url nobody = url();
  const auto attempt = [&](const Url& target) {
    WsClient client(loop_);
    client.connect(target, callbacks());
    run();
    return closed_.back();
  };
  WsCloseInfo info = attempt(refused);
  EXPECT_FALSE(info.was_open);
  EXPECT_NE(info.reason.find("403"), std::string::npos) << info.reason;
  server_.reset();
  info = attempt(nobody);
  EXPECT_FALSE(info.was_open);
  EXPECT_FALSE(info.reason.empty());
  info = attempt(*parse_url("ws://name.invalid/"));
  EXPECT_NE(info.reason.find("look-up"), std::string::npos) << info.reason;
}

TEST_F(WsClientTest, GivesUpOnASilentServer) {
  // Listens and never accepts: the kernel completes the TCP handshake, nobody answers ours.
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), bytes), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  WsClientLimits limits;
  limits.connect_ms_max = 80;
  WsClient client(loop_, limits);
  client.connect(*parse_url("ws://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/"),
                 callbacks());
  run();
  ::close(fd);
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_EQ(closed_[0].reason, "timed out");
}

TEST_F(WsClientTest, RefusesOversizeMessages) {
  serve();
  WsClientLimits limits;
  limits.message_bytes_max = 100;
  WsClient client(loop_, limits);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] { EXPECT_TRUE(client.send_text(std::string(101, 'x'))); };
  client.connect(url(), calls);
  run();
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_EQ(closed_[0].code, kWsCloseTooBig);
  EXPECT_TRUE(got_.empty());
}

TEST_F(WsClientTest, RefusesToQueueMoreThanItsLimit) {
  serve();
  WsClientLimits limits;
  limits.pending_bytes_max = 1'000;
  WsClient client(loop_, limits);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] {
    EXPECT_TRUE(client.send_text(std::string(900, 'x')));
    EXPECT_FALSE(client.send_text(std::string(900, 'y')));
    EXPECT_GE(client.pending_bytes(), 900U);
    client.close();
  };
  client.connect(url(), calls);
  run();
}

TEST_F(WsClientTest, HoldsMessagesWhilePaused) {
  serve();
  WsClient client(loop_);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] {
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(client.send_text(std::to_string(i)));
  };
  calls.on_text = [&](std::string_view text) {
    got_.emplace_back(text);
    if (got_.size() == 5) {
      client.pause_reading();
      loop_.after(50, [&] {
        EXPECT_EQ(got_.size(), 5U);
        client.resume_reading();
      });
    }
    if (got_.size() == 20) client.close();
  };
  client.connect(url(), calls);
  run();
  EXPECT_EQ(got_.size(), 20U);
}

TEST_F(WsClientTest, PingsAndNoticesADeadServer) {
  serve();
  WsClientLimits limits;
  limits.ping_after_ms = 50;
  limits.pong_wait_ms_max = 60;
  WsClient client(loop_, limits);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] {
    // Reading stops on the server's side: Pings arrive nowhere.
    loop_.after(150, [&] {
      EXPECT_TRUE(client.is_open());  // alive as long as Pongs come
      EXPECT_TRUE(server_->pause_reading(echo_.last));
    });
  };
  client.connect(url(), calls);
  run();
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_EQ(closed_[0].reason, "no answer to a Ping");
}

TEST_F(WsClientTest, MayBeDestroyedInsideItsOwnCallbacks) {
  serve();
  auto client = std::make_unique<WsClient>(loop_);
  WsClientCallbacks calls = callbacks();
  calls.on_open = [&] { EXPECT_TRUE(client->send_text("x")); };
  calls.on_text = [&](std::string_view) {
    client.reset();
    loop_.after(50, [&] { loop_.stop(); });
  };
  client->connect(url(), calls);
  run();
  EXPECT_TRUE(closed_.empty());
  EXPECT_EQ(echo_.closed, 1);

  client = std::make_unique<WsClient>(loop_);
  calls = callbacks();
  calls.on_open = [&] {
    client.reset();
    loop_.stop();
  };
  client->connect(url(), calls);
  run();

  client = std::make_unique<WsClient>(loop_);
  calls.on_close = [&](const WsCloseInfo&) {
    client.reset();
    loop_.stop();
  };
  client->connect(*parse_url("ws://127.0.0.1:1/"), calls);
  run();

  client = std::make_unique<WsClient>(loop_);
  client->connect(url(), callbacks());
  client.reset();  // in the middle of connecting
}

TEST_F(WsClientTest, SpeaksTlsAndChecksTheCertificate) {
  const TestCertificate certificate("DNS:localhost,IP:127.0.0.1");
  ServerLimits limits;
  limits.message_bytes_max = 2 << 20;
  serve(limits, {certificate.certificate_path, certificate.key_path});
  WsClientOptions trusting;
  trusting.ca_path = certificate.certificate_path;
  WsClient client(loop_);
  std::mt19937 random(11);
  std::vector<std::string> sent;
  for (int i = 0; i < 60; ++i) {
    std::string text(i == 30 ? 1 << 20 : random() % 60'000, ' ');
    for (char& c : text) c = static_cast<char>(32 + random() % 95);
    sent.push_back(std::move(text));
  }
  std::size_t next = 0;
  const auto push = [&] {
    while (next < sent.size() && client.pending_bytes() < 300'000 && client.send_text(sent[next]))
      ++next;
  };
  WsClientCallbacks calls = callbacks();
  calls.on_open = push;
  calls.on_drained = push;
  calls.on_text = [&](std::string_view text) {
    got_.emplace_back(text);
    if (got_.size() == sent.size()) client.close();
  };
  client.connect(url("/", "wss", "localhost"), calls, trusting);
  run();
  ASSERT_EQ(closed_.size(), 1U);
  EXPECT_TRUE(closed_[0].was_open) << closed_[0].reason;
  EXPECT_TRUE(got_ == sent);

  // The address of the certificate, by IP.
  calls = callbacks();
  calls.on_open = [&] { client.close(); };
  client.connect(url("/", "wss", "127.0.0.1"), calls, trusting);
  run();
  EXPECT_TRUE(closed_.back().was_open) << closed_.back().reason;

  // Unknown roots.
  client.connect(url("/", "wss", "localhost"), callbacks());
  run();
  EXPECT_FALSE(closed_.back().was_open);
  EXPECT_NE(closed_.back().reason.find("certificate"), std::string::npos) << closed_.back().reason;
}

TEST_F(WsClientTest, RefusesACertificateOfAnotherName) {
  const TestCertificate certificate("DNS:elsewhere.example");
  serve({}, {certificate.certificate_path, certificate.key_path});
  WsClientOptions trusting;
  trusting.ca_path = certificate.certificate_path;
  for (const char* host : {"localhost", "127.0.0.1"}) {
    WsClient client(loop_);
    client.connect(url("/", "wss", host), callbacks(), trusting);
    run();
    EXPECT_FALSE(closed_.back().was_open);
    EXPECT_NE(closed_.back().reason.find("mismatch"), std::string::npos) << closed_.back().reason;
  }
}

TEST_F(WsClientTest, FailsCleanlyWhereTlsMeetsPlain) {
  const TestCertificate certificate("DNS:localhost");
  serve({}, {certificate.certificate_path, certificate.key_path});
  WsClient client(loop_);
  client.connect(url("/", "ws"), callbacks());  // plain bytes to a TLS port
  run();
  EXPECT_FALSE(closed_.back().was_open);
  server_.reset();
  serve();
  client.connect(url("/", "wss"), callbacks());  // TLS bytes to a plain port
  run();
  EXPECT_FALSE(closed_.back().was_open);
}

}  // namespace
}  // namespace nostril::net
