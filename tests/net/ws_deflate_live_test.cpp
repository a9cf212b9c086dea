// permessage-deflate over real sockets: Server, WsClient, and peers that speak bytes.

#include "net/server.h"
#include "net/ws_client.h"
#include "tests/net/support.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <random>

namespace nostril::net {
namespace {

constexpr std::string_view kOffer = "permessage-deflate; client_max_window_bits";

/// Echoes; remembers who is there and what was wrong.
class EchoHandler final : public ServerHandler {
 public:
  void on_http(ConnectionId id, const HttpRequest&) override { server->respond(id, {404, {}, ""}); }

  void on_ws_open(ConnectionId id, const PeerAddress&, const HttpRequest&) override {
    open.push_back(id);
  }

  void on_ws_text(ConnectionId id, std::string_view message) override {
    texts.emplace_back(message);
    server->send_text(id, message);
  }

  void on_error(const PeerAddress&, ServerError error) override { errors.push_back(error); }

  Server* server = nullptr;
  std::vector<ConnectionId> open;
  std::vector<std::string> texts;
  std::vector<ServerError> errors;
};

std::string event_json(std::size_t bytes) {
  std::string out = R"({"id":"01","kind":1,"content":")";
  std::mt19937 random(11);
  while (out.size() + 2 < bytes) out += "0123456789abcdef"[random() % 16];
  return out + "\"}";
}

class DeflateLive : public testing::Test {
 protected:
  void start(const std::function<void(ListenConfig&, ServerLimits&)>& change = {}) {
    ListenConfig listen;
    listen.deflate.enabled = true;
    ServerLimits limits;
    if (change) change(listen, limits);
    thread_.call([&] {
      server_ = std::make_unique<Server>(thread_.loop(), handler_, listen, limits);
      handler_.server = server_.get();
    });
  }

  void TearDown() override {
    thread_.call([&] {
      clients_.clear();
      server_.reset();
    });
  }

  /// A client on the server's loop; what it gets goes to got_[index].
  void connect_client(std::size_t index, bool deflate) {
    thread_.call([&] {
      clients_.push_back(std::make_unique<WsClient>(thread_.loop()));
      WsClientOptions options;
      options.deflate.enabled = deflate;
      WsClientCallbacks calls;
      calls.on_open = [this] { note([this] { ++open_; }); };
      calls.on_text = [this, index](std::string_view text) {
        note([&] { got_[index].emplace_back(text); });
      };
      calls.on_close = [this](const WsCloseInfo& info) { note([&] { closed_.push_back(info); }); };
      clients_.back()->connect(
          *parse_url("ws://127.0.0.1:" + std::to_string(server_->local_port()) + "/"), calls,
          options);
    });
  }

  void note(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(kTestWaitSeconds), condition);
  }

  EchoHandler handler_;
  LoopThread thread_;
  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<WsClient>> clients_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::size_t, std::vector<std::string>> got_;
  std::vector<WsCloseInfo> closed_;
  std::size_t open_ = 0;
};

TEST_F(DeflateLive, ManyReadersOfOneEventCostOneCompression) {
  start();
  constexpr std::size_t kClients = 12;
  for (std::size_t i = 0; i < kClients; ++i) connect_client(i, i % 3 != 0);
  ASSERT_TRUE(wait([&] { return open_ == kClients; }));
  const auto json = std::make_shared<const std::string>(event_json(900));
  const std::uint64_t bytes_before = server_->counters().bytes_out.read();
  thread_.call([&] {
    for (std::size_t i = 0; i < kClients; ++i) {
      const std::string prefix = "[\"EVENT\",\"sub" + std::to_string(i) + "\",";
      EXPECT_TRUE(server_->send_shared(handler_.open[i], prefix, json, "]"));
    }
  });
  ASSERT_TRUE(wait([&] { return got_.size() == kClients; }));
  std::vector<std::string> expected;
  std::vector<std::string> got;
  for (std::size_t i = 0; i < kClients; ++i) {
    expected.push_back("[\"EVENT\",\"sub" + std::to_string(i) + "\"," + *json + "]");
    ASSERT_EQ(got_[i].size(), 1U);
    got.push_back(got_[i][0]);
  }
  std::sort(expected.begin(), expected.end());  // connections open in any order
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, expected);
  const ServerCounters& counters = server_->counters();
  EXPECT_EQ(counters.deflates.read(), 1U);
  EXPECT_EQ(counters.messages_deflated.read(), kClients * 2 / 3);
  const std::uint64_t plain = kClients / 3 * (json->size() + 20);
  EXPECT_LT(counters.bytes_out.read() - bytes_before, plain + kClients * 2 / 3 * 600);
}

TEST_F(DeflateLive, RandomMessagesReturnByteForByte) {
  start([](ListenConfig&, ServerLimits& limits) { limits.pending_bytes_max = 64 << 20; });
  connect_client(0, true);
  ASSERT_TRUE(wait([&] { return open_ == 1; }));
  std::mt19937 random(7);  // fixed: the same bytes in every run
  std::vector<std::string> sent;
  for (int i = 0; i < 300; ++i) {
    std::string text(random() % (i % 9 == 0 ? 200'000 : 600), ' ');
    const bool dense = i % 2 == 0;
    for (char& c : text) c = static_cast<char>(32 + random() % (dense ? 95 : 5));
    sent.push_back(std::move(text));
  }
  thread_.call([&] {
    for (const std::string& text : sent) EXPECT_TRUE(clients_[0]->send_text(text));
  });
  ASSERT_TRUE(wait([&] { return got_[0].size() == sent.size() || !closed_.empty(); }));
  EXPECT_TRUE(got_[0] == sent);
  EXPECT_GT(server_->counters().messages_deflated.read(), 200U);
}

TEST_F(DeflateLive, ShortMessagesGoPlain) {
  start();
  Peer peer(server_->local_port());
  ASSERT_TRUE(peer.upgrade({}, kOffer));
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, std::string(149, 'a')));
  EXPECT_EQ(peer.read_exactly(2).front(), '\x81');
  peer.read_exactly(2 + 149);
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, std::string(150, 'a')));
  EXPECT_EQ(peer.read_exactly(1), "\xc1");
}

TEST_F(DeflateLive, OffAndWithoutAnOfferNothingIsCompressed) {
  start([](ListenConfig& listen, ServerLimits&) { listen.deflate.enabled = false; });
  Peer peer(server_->local_port());
  ASSERT_TRUE(peer.upgrade({}, kOffer));
  EXPECT_EQ(peer.head().find("Extensions"), std::string::npos);
  ASSERT_TRUE(peer.send("\xc1\x80\x01\x02\x03\x04"));
  EXPECT_EQ(peer.read_frame()->close_code, kWsCloseProtocolError);
}

TEST_F(DeflateLive, APeerWithASmallWindowGetsLargeMessagesPlain) {
  start();
  Peer peer(server_->local_port());
  ASSERT_TRUE(peer.upgrade({}, "permessage-deflate; server_max_window_bits=9"));
  EXPECT_NE(peer.head().find("; server_max_window_bits=9\r\n"), std::string::npos);
  for (const std::size_t bytes : {511U, 512U, 40'000U}) {
    const std::string text(bytes, 'q');
    ASSERT_TRUE(peer.send_frame(WsOpcode::Text, text));
    const auto answer = peer.read_frame();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->payload, text);
  }
  EXPECT_EQ(server_->counters().messages_deflated.read(), 1U);
}

TEST_F(DeflateLive, RefusesDamagedAndExplodingMessages) {
  start([](ListenConfig&, ServerLimits& limits) { limits.message_bytes_max = 100'000; });
  const auto answer_to = [&](std::string_view payload) {
    Peer peer(server_->local_port());
    EXPECT_TRUE(peer.upgrade({}, kOffer));
    std::string frame;
    append_ws_frame(frame, WsOpcode::Text, payload, std::array<std::uint8_t, 4>{1, 2, 3, 4},
                    WsPayload::Compressed);
    EXPECT_TRUE(peer.send(frame));
    const auto answer = peer.read_frame();
    EXPECT_TRUE(peer.ended());
    return answer ? answer->close_code : 0;
  };
  WsDeflater deflater({}, 15, false);
  std::string bomb;
  deflater.append_message(bomb, std::string(10 << 20, 'x'));
  EXPECT_EQ(answer_to(bomb.substr(0, 50'000)), kWsCloseTooBig);
  EXPECT_EQ(answer_to("no deflate"), kWsCloseBadData);
  std::string bad_text;
  deflater.append_message(bad_text, "\xff\xfe");
  EXPECT_EQ(answer_to(bad_text), kWsCloseBadData);
  // And the next ones are served: the inflater is common to all.
  Peer peer(server_->local_port());
  ASSERT_TRUE(peer.upgrade({}, kOffer));
  std::string payload;
  deflater.append_message(payload, "still there");
  std::string frame;
  append_ws_frame(frame, WsOpcode::Text, payload, std::array<std::uint8_t, 4>{1, 2, 3, 4},
                  WsPayload::Compressed);
  ASSERT_TRUE(peer.send(frame));
  EXPECT_EQ(peer.read_frame()->payload, "still there");
  thread_.call([&] {
    EXPECT_EQ(handler_.errors,
              (std::vector{ServerError::TooBig, ServerError::BadDeflate, ServerError::BadUtf8}));
  });
}

TEST_F(DeflateLive, OthersDoNotWaitForAMessageThatIsDearToInflate) {
  constexpr std::size_t kBlocks = 400'000;  // a fifth of a second at least
  start([](ListenConfig&, ServerLimits& limits) { limits.message_bytes_max = 45 * kBlocks + 10; });
  Peer dear(server_->local_port());
  Peer other(server_->local_port());
  ASSERT_TRUE(dear.upgrade({}, kOffer));
  ASSERT_TRUE(other.upgrade({}, kOffer));
  const std::string payload =
      empty_deflate_blocks(kBlocks) + std::string("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
  std::string frame;
  append_ws_frame(frame, WsOpcode::Text, payload, std::array<std::uint8_t, 4>{1, 2, 3, 4},
                  WsPayload::Compressed);
  ASSERT_TRUE(dear.send(frame));
  ASSERT_TRUE(other.send_frame(WsOpcode::Text, "meanwhile"));
  EXPECT_EQ(other.read_frame()->payload, "meanwhile");
  EXPECT_EQ(dear.read_frame()->payload, "Hello");
  thread_.call([&] {
    EXPECT_EQ(handler_.texts, (std::vector<std::string>{"meanwhile", "Hello"}));
  });
}

TEST_F(DeflateLive, RefusesAMalformedOffer) {
  start();
  Peer peer(server_->local_port());
  EXPECT_FALSE(peer.upgrade({}, "permessage-deflate; ;"));
  EXPECT_NE(peer.head().find("400"), std::string::npos);
}

/// A server that takes context over in both directions, as ours does not: echoes `count` messages.
class TakeoverServer {
 public:
  explicit TakeoverServer(int count) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, count] { serve(count); });
  }

  ~TakeoverServer() {
    ::shutdown(listener_, SHUT_RDWR);  // ends a wait for a client that never came
    thread_.join();
    ::close(listener_);
  }

  TakeoverServer(const TakeoverServer&) = delete;
  TakeoverServer& operator=(const TakeoverServer&) = delete;
  TakeoverServer(TakeoverServer&&) = delete;
  TakeoverServer& operator=(TakeoverServer&&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

  /// Payload bytes, compressed; valid once all echoes have come.
  std::atomic<std::size_t> bytes_in{0};
  std::atomic<std::size_t> bytes_out{0};

 private:
  void serve(int count) {
    const int fd = ::accept(listener_, nullptr, nullptr);
    if (fd < 0) return;
    Peer peer(fd);
    const std::string head = peer.read_until("\r\n\r\n");
    EXPECT_NE(head.find("Sec-WebSocket-Extensions: " + std::string(kOffer) + "\r\n"),
              std::string::npos);
    const std::size_t key = head.find("Sec-WebSocket-Key: ") + 19;
    peer.send(
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
        ws_accept_key(head.substr(key, 24)) +
        "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=11\r\n\r\n");
    WsInflaters inflaters(true);
    WsDeflater deflater({}, 15, true);
    WsDecoder decoder(WsRole::Server, 1 << 20, &inflaters);
    while (count > 0) {
      std::string byte = peer.read_exactly(1);
      if (byte.empty()) return;
      bytes_in += 1;
      std::span<std::uint8_t> input(reinterpret_cast<std::uint8_t*>(byte.data()), 1);
      const auto next = decoder.next(input);
      if (!next) {
        ADD_FAILURE() << to_string(next.error());
        return;
      }
      if (!*next) continue;
      std::string payload;
      deflater.append_message(payload, (*next)->payload);
      std::string frame;
      append_ws_frame(frame, WsOpcode::Text, payload, std::nullopt, WsPayload::Compressed);
      bytes_out += frame.size();
      peer.send(frame);
      --count;
    }
    peer.read_all();
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST(DeflateClient, TakesContextOverBothWaysWhereTheServerDoes) {
  constexpr int kMessages = 30;
  TakeoverServer server(kMessages);
  Loop loop;
  WsClientLimits limits;
  limits.close_wait_ms_max = 50;  // that server answers no Close
  WsClient client(loop, limits);
  WsClientOptions options;
  options.deflate.enabled = true;
  const std::string text = event_json(1'000);
  int came = 0;
  WsClientCallbacks calls;
  calls.on_open = [&] {
    for (int i = 0; i < kMessages; ++i) EXPECT_TRUE(client.send_text(text));
  };
  calls.on_text = [&](std::string_view got) {
    EXPECT_EQ(got, text);
    if (++came == kMessages) client.close();
  };
  calls.on_close = [&](const WsCloseInfo&) { loop.stop(); };
  client.connect(*parse_url("ws://127.0.0.1:" + std::to_string(server.port()) + "/"), calls,
                 options);
  const TimerId guard = loop.after(kTestWaitSeconds * 1'000, [&] { loop.stop(); });
  loop.run();
  loop.cancel(guard);
  EXPECT_EQ(came, kMessages);
  // Random hex halves once; the same again is a few references.
  EXPECT_LT(server.bytes_in, 3 * text.size());
  EXPECT_LT(server.bytes_out, 3 * text.size());
}

}  // namespace
}  // namespace nostril::net
