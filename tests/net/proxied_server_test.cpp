// A Server behind proxies that write PROXY headers, and its share of memory.
#include "net/memory_budget.h"
#include "net/server.h"
#include "net/tls_identity.h"
#include "tests/net/support.h"

#include <openssl/ssl.h>

#include <ctime>
#include <memory>
#include <mutex>

namespace nostril::net {
namespace {

/// Says whom it sees. Refuses 192.0.2.66.
class SeeingHandler : public ServerHandler {
 public:
  bool accept_connection(const PeerAddress& peer) override {
    ++accepted;
    return peer.ip_string() != "192.0.2.66";
  }

  void connection_closed(const PeerAddress& peer) override { note("closed " + peer.ip_string()); }

  void on_http(ConnectionId id, const HttpRequest& /*request*/) override {
    const auto peer = server->peer(id);
    server->respond(id,
                    {200, {}, "you are " + peer->ip_string() + " " + std::to_string(peer->port)});
  }

  void on_ws_text(ConnectionId id, std::string_view message) override {
    if (message == "answer") server->send_text(id, std::string(200 << 10, 'a'));
  }

  void note(std::string what) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(what));
  }

  std::vector<std::string> notes() {
    const std::lock_guard lock(mutex_);
    return notes_;
  }

  Server* server = nullptr;
  std::atomic<int> accepted{0};

 private:
  std::mutex mutex_;
  std::vector<std::string> notes_;
};

class ProxiedServer : public testing::Test {
 protected:
  void start(const std::string& proxies, const ServerLimits& limits = {},
             std::shared_ptr<TlsContext> tls = {}) {
    ListenConfig listen;
    listen.tls.context = std::move(tls);
    if (!proxies.empty()) listen.proxies = AddressRanges({*AddressRange::parse(proxies)});
    thread_.emplace();
    thread_->call([&] {
      server_ = std::make_unique<Server>(thread_->loop(), handler_, listen, limits);
      handler_.server = server_.get();
      port_ = server_->local_port();
    });
  }

  void TearDown() override {
    if (!thread_) return;
    thread_->call([&] { server_.reset(); });
    thread_.reset();
  }

  // Of a request with these bytes before it: what comes until the server closes.
  std::string ask(const std::string& header) {
    Peer peer(port_);
    EXPECT_TRUE(peer.send(header + std::string(kRequest)));
    return peer.read_all();
  }

  [[nodiscard]] std::uint64_t errors(ServerError error) const {
    return server_->counters().errors[static_cast<std::size_t>(error)].read();
  }

  static constexpr std::string_view kRequest =
      "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
  SeeingHandler handler_;
  std::optional<LoopThread> thread_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
};

constexpr std::string_view kBinary(
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x02\x12\x34\0\x50", 28);

TEST_F(ProxiedServer, SeesTheHeadersSourceInBothVersions) {
  start("127.0.0.0/8");
  EXPECT_NE(ask("PROXY TCP4 192.0.2.1 198.51.100.2 4660 80\r\n").find("you are 192.0.2.1 4660"),
            std::string::npos);
  EXPECT_NE(ask(std::string(kBinary)).find("you are 192.0.2.7 4660"), std::string::npos);
  EXPECT_NE(ask("PROXY UNKNOWN\r\n").find("you are 127.0.0.1"), std::string::npos);
}

TEST_F(ProxiedServer, TakesAHeaderByteByByte) {
  start("127.0.0.0/8");
  Peer peer(port_);
  for (const char c : kBinary) ASSERT_TRUE(peer.send({&c, 1}));
  ASSERT_TRUE(peer.send(kRequest));
  EXPECT_NE(peer.read_all().find("you are 192.0.2.7"), std::string::npos);
}

TEST_F(ProxiedServer, RefusesAProxyWithoutAHeader) {
  start("127.0.0.0/8");
  EXPECT_EQ(ask(""), "");
  EXPECT_EQ(ask("PROXY TCP4 nobody 198.51.100.2 4660 80\r\n"), "");
  EXPECT_EQ(errors(ServerError::BadProxyHeader), 2U);
  EXPECT_EQ(handler_.accepted, 0);
  EXPECT_TRUE(handler_.notes().empty());
}

TEST_F(ProxiedServer, RefusesAHeaderFromAnybodyElse) {
  start("198.51.100.0/24");
  EXPECT_NE(ask("PROXY TCP4 192.0.2.1 198.51.100.2 4660 80\r\n").find("HTTP/1.1 400"),
            std::string::npos);
  EXPECT_NE(ask("").find("you are 127.0.0.1"), std::string::npos);
}

TEST_F(ProxiedServer, AsksTheHandlerAboutTheHeadersSource) {
  start("127.0.0.0/8");
  EXPECT_EQ(ask("PROXY TCP4 192.0.2.66 198.51.100.2 4660 80\r\n"), "");
  EXPECT_EQ(errors(ServerError::RefusedAddress), 1U);
  EXPECT_NE(ask("PROXY TCP4 192.0.2.1 198.51.100.2 4660 80\r\n").find("200"), std::string::npos);
  // Only who was accepted is said to be gone.
  thread_->call([] {});
  for (const std::string& note : handler_.notes()) EXPECT_EQ(note, "closed 192.0.2.1");
}

TEST_F(ProxiedServer, ClosesAProxyThatSaysNothing) {
  ServerLimits limits;
  limits.handshake_ms_max = 50;
  start("127.0.0.0/8", limits);
  Peer peer(port_);
  ASSERT_TRUE(peer.send("PROXY TCP4 192."));
  EXPECT_TRUE(peer.ended());
  EXPECT_EQ(errors(ServerError::HandshakeTimeout), 1U);
}

TEST_F(ProxiedServer, SpeaksTlsBehindTheHeader) {
  const std::int64_t now = std::time(nullptr);
  const auto identity =
      TlsIdentity::generate().self_signed({{"localhost"}, now - 60, now + 3600, {}});
  start("127.0.0.0/8", {}, identity.server_context());
  // With and without a pause between the header and the first bytes of TLS.
  for (const bool is_cut : {false, true}) {
    Peer peer(port_);
    if (is_cut) {
      ASSERT_TRUE(peer.send(kBinary));
    }
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_method()),
                                                                    SSL_CTX_free);
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
    SSL_set_fd(ssl.get(), peer.fd());
    if (!is_cut) {
      ASSERT_TRUE(peer.send(kBinary));
    }
    ASSERT_EQ(SSL_connect(ssl.get()), 1);
    ASSERT_GT(SSL_write(ssl.get(), kRequest.data(), static_cast<int>(kRequest.size())), 0);
    std::string answer;
    char piece[4096];
    for (int got = 0; (got = SSL_read(ssl.get(), piece, sizeof piece)) > 0;) {
      answer.append(piece, static_cast<std::size_t>(got));
    }
    EXPECT_NE(answer.find("you are 192.0.2.7 4660"), std::string::npos) << answer;
  }
}

TEST_F(ProxiedServer, DropsTheLargestWhenMemoryIsFull) {
  ServerLimits limits;
  limits.memory = std::make_shared<MemoryBudget>(300 << 10);
  limits.send_buffer_bytes = 8'192;
  start("", limits);
  // Two who don't read: 400 KiB for them is too much.
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 2; ++i) {
    peers.push_back(std::make_unique<Peer>(port_, 4'096));
    ASSERT_TRUE(peers.back()->upgrade());
  }
  for (auto& peer : peers) {
    ASSERT_TRUE(peer->send_frame(WsOpcode::Text, "answer"));
    ASSERT_TRUE(peer->send_frame(WsOpcode::Text, "answer"));
  }
  peers.push_back(std::make_unique<Peer>(port_));
  EXPECT_TRUE(peers.back()->upgrade());  // small ones go on
  peers.clear();
  thread_->call([this] { server_->close_all("end"); });
  for (int i = 0; i < 2'000 && limits.memory->used() > 0; ++i) {
    thread_->call([] {});
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(limits.memory->used(), 0U);
  EXPECT_GT(errors(ServerError::MemoryFull), 0U);
}

TEST_F(ProxiedServer, DropsHalfAMessageWhenMemoryIsFull) {
  ServerLimits limits;
  limits.memory = std::make_shared<MemoryBudget>(100 << 10);
  start("", limits);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  std::string frame;
  append_ws_frame(frame, WsOpcode::Text, std::string(200 << 10, 'x'),
                  std::array<std::uint8_t, 4>{1, 2, 3, 4});
  (void)peer.send(std::string_view(frame).substr(0, 150 << 10));
  EXPECT_TRUE(peer.ended());
  EXPECT_EQ(errors(ServerError::MemoryFull), 1U);
}

}  // namespace
}  // namespace nostril::net
