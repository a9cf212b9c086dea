#include "net/server.h"

#include "tests/net/support.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>

namespace nostril::net {
namespace {

/// Echoes text, answers "GET /hello", and records what happened.
class EchoHandler : public ServerHandler {
 public:
  void on_http(ConnectionId id, const HttpRequest& request) override {
    note("http " + request.method + " " + request.target);
    if (on_request) {
      on_request(id, request);
      return;
    }
    if (request.path == "/hello") {
      server->respond(id, {200, {{"Content-Type", "text/plain"}}, "hello " + request.body});
    } else {
      server->respond(id, {404, {}, "nothing here"});
    }
  }

  void on_http_closed(ConnectionId) override { note("http closed"); }

  bool accept_websocket(const PeerAddress& peer, const HttpRequest& request) override {
    EXPECT_EQ(peer.ip_string(), "127.0.0.1");
    return request.path != "/refused";
  }

  void on_ws_open(ConnectionId id, const PeerAddress&, const HttpRequest&) override {
    last = id;
    note("open");
    if (on_open) on_open(id);
  }

  void on_ws_text(ConnectionId id, std::string_view message) override {
    if (on_text) {
      on_text(id, message);
    } else {
      server->send_text(id, message);
    }
  }

  void on_ws_binary(ConnectionId id, std::string_view message) override {
    server->send_text(id, "binary " + std::to_string(message.size()));
  }

  void on_ws_close(ConnectionId) override { note("close"); }

  void on_drained(ConnectionId id) override {
    if (drained) drained(id);
  }

  void on_error(const PeerAddress&, ServerError error) override {
    note("error " + std::string(to_string(error)));
  }

  void note(std::string what) {
    const std::lock_guard lock(mutex_);
    log_.push_back(std::move(what));
    changed_.notify_all();
  }

  /// Waits until `what` was noted `times` times.
  bool saw(const std::string& what, std::ptrdiff_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(kTestWaitSeconds),
                             [&] { return std::count(log_.begin(), log_.end(), what) >= times; });
  }

  std::ptrdiff_t times(const std::string& what) {
    const std::lock_guard lock(mutex_);
    return std::count(log_.begin(), log_.end(), what);
  }

  Server* server = nullptr;
  ConnectionId last = ConnectionId::None;
  std::function<void(ConnectionId, const HttpRequest&)> on_request;
  std::function<void(ConnectionId)> on_open;
  std::function<void(ConnectionId, std::string_view)> on_text;
  std::function<void(ConnectionId)> drained;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> log_;
};

/// A server on its own loop and thread.
class ServerTest : public testing::Test {
 protected:
  void start(const ServerLimits& limits = {}) {
    thread_.emplace();
    thread_->call([&] {
      server_ = std::make_unique<Server>(thread_->loop(), handler_, ListenConfig{}, limits);
      handler_.server = server_.get();
      port_ = server_->local_port();
    });
  }

  void TearDown() override {
    if (!thread_) return;
    thread_->call([&] { server_.reset(); });
    thread_.reset();
  }

  /// Ends the server before the test's locals that its handler uses.
  struct Ender {
    explicit Ender(ServerTest& owner) : test(owner) {}

    ~Ender() { test.TearDown(); }

    Ender(const Ender&) = delete;
    Ender& operator=(const Ender&) = delete;
    Ender(Ender&&) = delete;
    Ender& operator=(Ender&&) = delete;
    ServerTest& test;
  };

  EchoHandler handler_;
  std::optional<LoopThread> thread_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
};

using WebSocket = ServerTest;
using Http = ServerTest;

TEST_F(WebSocket, EchoesText) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "hi"));
  const auto frame = peer.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->kind, WsEventKind::Text);
  EXPECT_EQ(frame->payload, "hi");
  peer.shut();
  EXPECT_TRUE(handler_.saw("close"));
}

TEST_F(WebSocket, KeepsFramesThatCameWithTheHandshake) {
  start();
  std::string early;
  for (const char* text : {"one", "two", "three"})
    append_ws_frame(early, WsOpcode::Text, text, std::array<std::uint8_t, 4>{1, 2, 3, 4});
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade(early));
  for (const char* text : {"one", "two", "three"}) {
    const auto frame = peer.read_frame();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->payload, text);
  }
}

TEST_F(WebSocket, JoinsFragmentsAndAnswersPingsBetweenThem) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  const auto send_part = [&](std::uint8_t first_byte, std::string_view text) {
    std::string frame;
    append_ws_frame(frame, WsOpcode::Text, text, std::array<std::uint8_t, 4>{9, 8, 7, 6});
    frame[0] = static_cast<char>(first_byte);
    ASSERT_TRUE(peer.send(frame));
  };
  send_part(0x01, "frag");
  send_part(0x89, "still there?");
  send_part(0x00, "men");
  send_part(0x80, "ted");
  auto frame = peer.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->kind, WsEventKind::Pong);
  EXPECT_EQ(frame->payload, "still there?");
  frame = peer.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, "fragmented");
}

TEST_F(WebSocket, ReturnsRandomMessagesByteForByte) {
  ServerLimits limits;
  limits.message_bytes_max = 1 << 20;
  start(limits);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  std::mt19937 random(20'240);  // fixed: the same bytes in every run
  std::vector<std::string> sent;
  for (int i = 0; i < 300; ++i) {
    const std::size_t bytes = i % 50 == 0 ? 200'000 : random() % (i % 5 == 0 ? 70'000 : 300);
    std::string text(bytes, ' ');
    for (char& c : text) c = static_cast<char>(32 + random() % 95);
    sent.push_back(std::move(text));
  }
  std::thread writer([&] {
    for (const std::string& text : sent) EXPECT_TRUE(peer.send_frame(WsOpcode::Text, text));
  });
  for (const std::string& text : sent) {
    const auto frame = peer.read_frame();
    ASSERT_TRUE(frame);
    ASSERT_EQ(frame->payload == text, true) << text.size() << " bytes";
  }
  writer.join();
  EXPECT_EQ(server_->counters().messages_in.read(), 300U);
  EXPECT_EQ(server_->counters().messages_out.read(), 300U);
}

TEST_F(WebSocket, CarriesOneMebibyte) {
  ServerLimits limits;
  limits.message_bytes_max = 1 << 20;
  start(limits);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  const std::string big(1 << 20, 'x');
  std::thread writer([&] { EXPECT_TRUE(peer.send_frame(WsOpcode::Text, big)); });
  const auto frame = peer.read_frame();
  writer.join();
  ASSERT_TRUE(frame);
  EXPECT_TRUE(frame->payload == big);
}

TEST_F(WebSocket, RefusesUnmaskedFramesWith1002) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  std::string frame;
  append_ws_frame(frame, WsOpcode::Text, "naked");
  ASSERT_TRUE(peer.send(frame));
  const auto answer = peer.read_frame();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, WsEventKind::Close);
  EXPECT_EQ(answer->close_code, kWsCloseProtocolError);
  EXPECT_TRUE(peer.ended());
  EXPECT_TRUE(handler_.saw("error protocol"));
  EXPECT_TRUE(handler_.saw("close"));
  EXPECT_EQ(handler_.times("close"), 1);
}

TEST_F(WebSocket, RefusesOversizeWith1009AlsoAcrossFragments) {
  ServerLimits limits;
  limits.message_bytes_max = 1'000;
  start(limits);
  {
    Peer peer(port_);
    ASSERT_TRUE(peer.upgrade());
    ASSERT_TRUE(peer.send_frame(WsOpcode::Text, std::string(1'001, 'a')));
    const auto answer = peer.read_frame();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->close_code, kWsCloseTooBig);
    EXPECT_TRUE(peer.ended());
  }
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  for (const int first : {0x01, 0x80}) {
    std::string frame;
    append_ws_frame(frame, WsOpcode::Text, std::string(501, 'a'),
                    std::array<std::uint8_t, 4>{1, 1, 1, 1});
    frame[0] = static_cast<char>(first);
    peer.send(frame);
  }
  const auto answer = peer.read_frame();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->close_code, kWsCloseTooBig);
  EXPECT_TRUE(handler_.saw("error too_big", 2));
}

TEST_F(WebSocket, RefusesBadUtf8With1007) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "\xC3\x28"));
  const auto answer = peer.read_frame();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->close_code, kWsCloseBadData);
  EXPECT_TRUE(handler_.saw("error bad_utf8"));
}

TEST_F(WebSocket, EchoesThePeersCloseCodeAndEnds) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Close, ws_close_payload(4321, "bye")));
  const auto answer = peer.read_frame();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, WsEventKind::Close);
  EXPECT_EQ(answer->close_code, 4321);
  EXPECT_TRUE(peer.ended());
  EXPECT_TRUE(handler_.saw("close"));
}

TEST_F(WebSocket, ServerCloseSendsWhatWasQueuedFirst) {
  handler_.on_text = [&](ConnectionId id, std::string_view) {
    EXPECT_TRUE(server_->send_text(id, "last words"));
    EXPECT_TRUE(server_->close(id, kWsClosePolicy, "enough"));
    EXPECT_FALSE(server_->send_text(id, "too late"));
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "x"));
  auto frame = peer.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, "last words");
  frame = peer.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->close_code, kWsClosePolicy);
  EXPECT_EQ(frame->payload, "enough");
  EXPECT_TRUE(peer.ended());
  EXPECT_TRUE(handler_.saw("close"));
}

TEST_F(WebSocket, DropEndsWithoutAWordAndTellsOnce) {
  handler_.on_text = [&](ConnectionId id, std::string_view) {
    EXPECT_TRUE(server_->drop(id));
    EXPECT_FALSE(server_->drop(id));
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "x"));
  EXPECT_TRUE(peer.ended());
  EXPECT_TRUE(handler_.saw("close"));
  EXPECT_EQ(handler_.times("close"), 1);
}

TEST_F(WebSocket, JoinsTheMessagesOfATurnInOneWrite) {
  const auto shared = std::make_shared<const std::string>("{\"common\":true}");
  handler_.on_text = [&](ConnectionId id, std::string_view) {
    for (int i = 0; i < 50; ++i)
      EXPECT_TRUE(server_->send_shared(id, "[" + std::to_string(i) + ",", shared, "]"));
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  const std::uint64_t writes_before =
      thread_->call([&] { return server_->counters().writes.read(); });
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "go"));
  for (int i = 0; i < 50; ++i) {
    const auto frame = peer.read_frame();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->payload, "[" + std::to_string(i) + ",{\"common\":true}]");
  }
  EXPECT_EQ(thread_->call([&] { return server_->counters().writes.read(); }) - writes_before, 1U);
}

TEST_F(WebSocket, AFloodOfMessagesIsReadInPartsAndWhole) {
  std::vector<std::string> order;
  handler_.on_text = [&](ConnectionId id, std::string_view text) {
    order.emplace_back(text);
    server_->send_text(id, text);
  };
  start();
  const Ender ender(*this);
  Peer flooder(port_);
  Peer other(port_);
  ASSERT_TRUE(flooder.upgrade());
  ASSERT_TRUE(other.upgrade());
  std::string flood;
  const int count = 1'000;
  for (int i = 0; i < count; ++i) {
    append_ws_frame(flood, WsOpcode::Text, std::to_string(i), std::array<std::uint8_t, 4>{});
  }
  ASSERT_TRUE(flooder.send(flood));
  for (int i = 0; i < count; ++i) {
    const auto frame = flooder.read_frame();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->payload, std::to_string(i));
  }
  EXPECT_EQ(thread_->call([&] { return order.size(); }), static_cast<std::size_t>(count));
}

// Counted in messages, not in time: what the busy ones have had between the light one's two.
TEST_F(WebSocket, WhoTakesLittleDoesNotWaitForThoseWhoTakeMuch) {
  constexpr int kBusyCount = 8;
  constexpr int kMessages = 400;
  std::atomic<int> busy = 0;
  std::atomic<int> busy_when_heard = 0;
  handler_.on_text = [&](ConnectionId id, std::string_view text) {
    if (text == "busy") {
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
      while (std::chrono::steady_clock::now() < until) {
      }
      ++busy;
    } else {
      busy_when_heard = busy.load();
      server_->send_text(id, text);
    }
  };
  start();
  const Ender ender(*this);
  Peer light(port_);
  ASSERT_TRUE(light.upgrade());
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < kBusyCount; ++i) {
    peers.push_back(std::make_unique<Peer>(port_));
    ASSERT_TRUE(peers.back()->upgrade());
    for (int j = 0; j < kMessages; ++j) {
      ASSERT_TRUE(peers.back()->send_frame(WsOpcode::Text, "busy"));
    }
  }
  int heard = 0;
  int most = 0;
  while (heard < 20 && busy < kBusyCount * kMessages / 2) {
    const int before = busy;
    ASSERT_TRUE(light.send_frame(WsOpcode::Text, "light"));
    ASSERT_TRUE(light.read_frame());
    most = std::max(most, busy_when_heard.load() - before);
    ++heard;
  }
  EXPECT_EQ(heard, 20);
  EXPECT_LT(most, 100) << "of the 512 that a turn of 64 each would be";
}

TEST_F(WebSocket, DropsAPeerThatDoesNotRead) {
  ServerLimits limits;
  limits.pending_bytes_max = 256 << 10;
  limits.send_buffer_bytes = 8'192;
  std::atomic<std::size_t> most{0};
  std::atomic<bool> refused{false};
  handler_.on_text = [&](ConnectionId id, std::string_view) {
    const std::string piece(10'000, 'p');
    for (int i = 0; i < 2'000 && !refused; ++i) {
      if (!server_->send_text(id, piece)) refused = true;
      most = std::max(most.load(), server_->pending_bytes(id));
    }
  };
  start(limits);
  const Ender ender(*this);
  Peer peer(port_, 4'096);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "go"));
  EXPECT_TRUE(handler_.saw("error slow_reader"));
  EXPECT_TRUE(handler_.saw("close"));
  EXPECT_TRUE(refused);
  EXPECT_LE(most, limits.pending_bytes_max);
}

TEST_F(WebSocket, ASlowReaderGetsEverythingWhenTheSenderWaitsForDrained) {
  ServerLimits limits;
  limits.pending_bytes_max = 64 << 10;
  limits.send_buffer_bytes = 8'192;
  constexpr int kPieces = 400;
  int next = 0;
  const auto push = [&](ConnectionId id) {
    while (next < kPieces && server_->pending_bytes(id) < 30'000) {
      ASSERT_TRUE(server_->send_text(id, std::to_string(next) + std::string(9'000, '.')));
      ++next;
    }
  };
  handler_.on_text = [&](ConnectionId id, std::string_view) { push(id); };
  handler_.drained = push;
  start(limits);
  const Ender ender(*this);
  Peer peer(port_, 4'096);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "go"));
  for (int i = 0; i < kPieces; ++i) {
    const auto frame = peer.read_frame();
    ASSERT_TRUE(frame) << i;
    ASSERT_EQ(frame->payload, std::to_string(i) + std::string(9'000, '.'));
  }
}

TEST_F(WebSocket, PausedReadingHoldsMessagesAndPushesBack) {
  std::atomic<int> got{0};
  handler_.on_text = [&](ConnectionId id, std::string_view) {
    if (++got == 3) server_->pause_reading(id);
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  std::string burst;
  for (int i = 0; i < 100; ++i)
    append_ws_frame(burst, WsOpcode::Text, "m", std::array<std::uint8_t, 4>{1, 2, 3, 4});
  ASSERT_TRUE(peer.send(burst));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // long enough for a wrong delivery
  EXPECT_EQ(got, 3);
  thread_->call([&] { server_->resume_reading(handler_.last); });
  ASSERT_TRUE(peer.send_frame(WsOpcode::Ping, "done?"));
  const auto pong = peer.read_frame();
  ASSERT_TRUE(pong);
  EXPECT_EQ(got, 100);
}

TEST_F(WebSocket, PingsASilentPeerThenDropsIt) {
  ServerLimits limits;
  limits.ping_after_ms = 80;
  limits.pong_wait_ms_max = 80;
  start(limits);
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  const auto ping = peer.read_frame();
  ASSERT_TRUE(ping);
  EXPECT_EQ(ping->kind, WsEventKind::Ping);
  ASSERT_TRUE(peer.send_frame(WsOpcode::Pong, ""));
  const auto again = peer.read_frame();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->kind, WsEventKind::Ping);
  EXPECT_TRUE(peer.ended());
  EXPECT_TRUE(handler_.saw("error ping_timeout"));
}

TEST_F(WebSocket, RefusesBadHandshakes) {
  start();
  const std::string good =
      "Host: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const auto answer = [&](const std::string& request) {
    Peer peer(port_);
    EXPECT_TRUE(peer.send(request));
    return peer.read_all();
  };
  EXPECT_NE(answer("GET /refused HTTP/1.1\r\n" + good).find(" 403 "), std::string::npos);
  EXPECT_NE(answer("POST / HTTP/1.1\r\n" + good).find(" 400 "), std::string::npos);
  const std::string old = answer(
      "GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\nSec-WebSocket-Version: 8\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_NE(old.find(" 426 "), std::string::npos);
  EXPECT_NE(old.find("Sec-WebSocket-Version: 13"), std::string::npos);
  EXPECT_NE(answer("GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: "
                   "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n")
                .find(" 400 "),
            std::string::npos);
  EXPECT_EQ(handler_.times("open"), 0);
}

TEST_F(WebSocket, SurvivesResetsAtAnyMoment) {
  start();
  for (int i = 0; i < 40; ++i) {
    Peer peer(port_);
    if (i % 4 != 0) {
      ASSERT_TRUE(peer.upgrade());
      for (int k = 0; k < 20; ++k) peer.send_frame(WsOpcode::Text, std::string(5'000, 'r'));
    }
    if (i % 2 == 0) peer.reset();
  }
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "alive"));
  const auto frame = peer.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, "alive");
  EXPECT_TRUE(handler_.saw("close", 30));
}

TEST_F(Http, PassesOverEmptyLinesAndTakesAbsoluteTargets) {
  start();
  Peer peer(port_);
  const auto ask = [&](std::string_view before, std::string_view target) {
    EXPECT_TRUE(peer.send(std::string(before) + "GET " + std::string(target) +
                          " HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n!"));
    EXPECT_NE(peer.read_until("hello !").find("200"), std::string::npos) << target;
  };
  ask("\r\n", "/hello");
  ask("\r\n\r\n", "http://example.com:7447/hello");
  ask("", "http://test/hello?x");
  EXPECT_TRUE(handler_.saw("http GET /hello", 2));
  EXPECT_TRUE(handler_.saw("http GET /hello?x"));
  EXPECT_EQ(server_->counters().connections_accepted.read(), 1U);
}

TEST_F(Http, AnswersAndKeepsTheConnection) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(peer.send("GET /hello HTTP/1.1\r\nHost: t\r\n\r\n"));
  const std::string head = peer.read_until("\r\n\r\n");
  EXPECT_NE(head.find("HTTP/1.1 200 OK\r\n"), std::string::npos);
  EXPECT_NE(head.find("Content-Length: 6\r\n"), std::string::npos);
  EXPECT_EQ(peer.read_exactly(6), "hello ");
  ASSERT_TRUE(peer.send("POST /hello HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nworld"));
  EXPECT_NE(peer.read_until("\r\n\r\n").find("Content-Length: 11"), std::string::npos);
  EXPECT_EQ(peer.read_exactly(11), "hello world");
  ASSERT_TRUE(peer.send("GET /nope HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
  EXPECT_NE(peer.read_all().find("HTTP/1.1 404 Not Found"), std::string::npos);
  EXPECT_TRUE(peer.ended());
}

TEST_F(Http, AnswersPipelinedRequestsInOrder) {
  std::vector<ConnectionId> waiting;
  handler_.on_request = [&](ConnectionId id, const HttpRequest& request) {
    // Answered later, from a timer: the second request must wait.
    thread_->loop().after(5, [this, id, target = request.target] {
      server_->respond(id, {200, {}, target});
    });
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(
      peer.send("GET /1 HTTP/1.1\r\nHost: t\r\n\r\nGET /2 HTTP/1.1\r\nHost: t\r\n\r\nGET /3 "
                "HTTP/1.1\r\nHost: t\r\n\r\n"));
  for (const char* target : {"/1", "/2", "/3"}) {
    peer.read_until("\r\n\r\n");
    EXPECT_EQ(peer.read_exactly(2), target);
  }
}

TEST_F(Http, APeerThatReadsNoAnswersGetsNoMoreOfThem) {
  ServerLimits limits;
  limits.send_buffer_bytes = 8'192;
  std::atomic<int> asked{0};
  handler_.on_request = [&](ConnectionId id, const HttpRequest&) {
    ++asked;
    server_->respond(id, {200, {}, std::string(50'000, 'x')});
  };
  start(limits);
  const Ender ender(*this);
  Peer peer(port_, 4'096);
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += "GET /x HTTP/1.1\r\nHost: t\r\n\r\n";
  ASSERT_TRUE(peer.send(requests));
  // Another connection is served meanwhile: so the loop has turned often enough.
  Peer other(port_);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(other.send("GET /y HTTP/1.1\r\nHost: t\r\n\r\n"));
    other.read_until("\r\n\r\n");
    other.read_exactly(50'000);
  }
  EXPECT_LE(asked, 20 + 10);
  for (int i = 0; i < 200; ++i) {
    ASSERT_NE(peer.read_until("\r\n\r\n").find("200 OK"), std::string::npos) << i;
    ASSERT_EQ(peer.read_exactly(50'000).size(), 50'000U);
  }
}

TEST_F(Http, HeadHasNoBody) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(peer.send("HEAD /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
  const std::string all = peer.read_all();
  EXPECT_NE(all.find("Content-Length: 6\r\n"), std::string::npos);
  EXPECT_EQ(all.substr(all.size() - 4), "\r\n\r\n");
}

TEST_F(Http, TakesAChunkedBodyAndSaysContinue) {
  start();
  Peer peer(port_);
  ASSERT_TRUE(
      peer.send("POST /hello HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nExpect: "
                "100-continue\r\n\r\n"));
  EXPECT_EQ(peer.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(peer.send("3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n"));
  peer.read_until("\r\n\r\n");
  EXPECT_EQ(peer.read_exactly(13), "hello abcdefg");
}

TEST_F(Http, StreamsInChunks) {
  handler_.on_request = [&](ConnectionId id, const HttpRequest&) {
    ASSERT_TRUE(server_->start_stream(id, 200, {{"Content-Type", "text/event-stream"}}));
    ASSERT_TRUE(server_->write_stream(id, "data: 1\n\n"));
    thread_->loop().after(5, [this, id] {
      ASSERT_TRUE(server_->write_stream(id, "data: 2\n\n"));
      ASSERT_TRUE(server_->end_stream(id));
      EXPECT_FALSE(server_->write_stream(id, "late"));
    });
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(peer.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n"));
  EXPECT_NE(peer.read_until("\r\n\r\n").find("Transfer-Encoding: chunked"), std::string::npos);
  const std::string_view chunks = "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n";
  EXPECT_EQ(peer.read_until("0\r\n\r\n"), chunks);
  ASSERT_TRUE(peer.send("GET /again HTTP/1.1\r\nHost: t\r\n\r\n"));
  EXPECT_NE(peer.read_until("\r\n\r\n").find("200"), std::string::npos);
  EXPECT_EQ(peer.read_until("0\r\n\r\n"), chunks);  // its timer needs the server
}

TEST_F(Http, StreamsToOldClientsUntilClose) {
  handler_.on_request = [&](ConnectionId id, const HttpRequest&) {
    server_->start_stream(id, 200, {});
    server_->write_stream(id, "plain");
    server_->end_stream(id);
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(peer.send("GET /stream HTTP/1.0\r\n\r\n"));
  const std::string all = peer.read_all();
  EXPECT_EQ(all.find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(all.substr(all.find("\r\n\r\n")), "\r\n\r\nplain");
}

TEST_F(Http, TellsWhenThePeerLeavesDuringAnAnswer) {
  handler_.on_request = [&](ConnectionId id, const HttpRequest&) {
    server_->start_stream(id, 200, {});
  };
  start();
  const Ender ender(*this);
  Peer peer(port_);
  ASSERT_TRUE(peer.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n"));
  peer.read_until("\r\n\r\n");
  peer.shut();
  EXPECT_TRUE(handler_.saw("http closed"));
}

TEST_F(Http, RefusesBadRequestsAndCloses) {
  start();
  const auto answer = [&](const std::string& request) {
    Peer peer(port_);
    EXPECT_TRUE(peer.send(request));
    const std::string all = peer.read_all();
    EXPECT_NE(all.find("Connection: close"), std::string::npos) << request;
    return all.substr(0, 12);
  };
  EXPECT_EQ(answer("GET / HTTP/1.1\nHost: t\n\n"), "HTTP/1.1 400");
  EXPECT_EQ(answer("GET / HTTP/2.0\r\nHost: t\r\n\r\n"), "HTTP/1.1 505");
  EXPECT_EQ(answer("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n"),
            "HTTP/1.1 413");
  EXPECT_EQ(answer("GET / HTTP/1.1\r\nHost: t\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
            "HTTP/1.1 431");
  EXPECT_TRUE(handler_.saw("error bad_http", 4));
}

TEST_F(Http, ClosesAConnectionThatSaysNothingOrTooLittle) {
  ServerLimits limits;
  limits.handshake_ms_max = 80;
  limits.http_idle_ms_max = 80;
  start(limits);
  Peer silent(port_);
  Peer slow(port_);
  Peer idle(port_);
  ASSERT_TRUE(slow.send("GET / HT"));
  ASSERT_TRUE(idle.send("GET /hello HTTP/1.1\r\nHost: t\r\n\r\n"));
  EXPECT_TRUE(silent.ended());
  EXPECT_NE(slow.read_all().find("408"), std::string::npos);
  EXPECT_NE(idle.read_all().find("hello"), std::string::npos);
  EXPECT_TRUE(handler_.saw("error handshake_timeout", 2));
  EXPECT_EQ(handler_.times("error handshake_timeout"), 2);
}

// The machine was asleep, or had others to serve.
TEST_F(Http, WhatCameWhileTheLoopHadNoProcessorIsInTime) {
  ServerLimits limits;
  limits.http_idle_ms_max = 1'000;
  start(limits);
  constexpr std::string_view kRequest = "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n";
  Peer peer(port_);
  handler_.on_request = [&](ConnectionId id, const HttpRequest&) {
    server_->respond(id, {200, {}, "hello"});
    if (handler_.times("http GET /hello") > 1) return;
    EXPECT_TRUE(peer.send(kRequest));  // the next one
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * limits.http_idle_ms_max));
  };
  ASSERT_TRUE(peer.send(kRequest));
  EXPECT_FALSE(peer.read_until("hello").empty());
  EXPECT_FALSE(peer.read_until("hello").empty());
}

TEST_F(Http, RefusesConnectionsAboveTheLimit) {
  ServerLimits limits;
  limits.connections_count_max = 2;
  start(limits);
  Peer a(port_);
  Peer b(port_);
  ASSERT_TRUE(a.upgrade());
  ASSERT_TRUE(b.upgrade());
  Peer c(port_);
  EXPECT_TRUE(c.ended());
  EXPECT_TRUE(handler_.saw("error too_many_connections"));
  a.shut();
  EXPECT_TRUE(handler_.saw("close"));
  // The place is free again once the turn is over.
  bool taken = false;
  for (int i = 0; i < 50 && !taken; ++i) taken = Peer(port_).upgrade();
  EXPECT_TRUE(taken);
}

TEST_F(Http, CloseAllSaysGoodbyeToEveryone) {
  start();
  Peer ws(port_);
  ASSERT_TRUE(ws.upgrade());
  Peer http(port_);
  ASSERT_TRUE(http.send("GET /hello HTTP/1.1\r\nHost: t\r\n\r\n"));
  http.read_until("hello ");
  thread_->call([&] {
    server_->stop_listening();
    server_->close_all("restart");
  });
  const auto frame = ws.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->close_code, kWsCloseGoingAway);
  EXPECT_TRUE(http.ended());
  EXPECT_FALSE(Peer(port_).connected());
}

TEST(ServerPort, IsSharedByTheServersOfSeveralLoops) {
  EchoHandler first_handler;
  EchoHandler second_handler;
  LoopThread first;
  LoopThread second;
  std::unique_ptr<Server> a;
  std::unique_ptr<Server> b;
  first.call([&] { a = std::make_unique<Server>(first.loop(), first_handler, ListenConfig{}); });
  ListenConfig same;
  same.port = a->local_port();
  same.joins = true;
  second.call([&] { b = std::make_unique<Server>(second.loop(), second_handler, same); });
  first_handler.server = a.get();
  second_handler.server = b.get();
  for (int i = 0; i < 40; ++i) {
    Peer peer(same.port);
    ASSERT_TRUE(peer.upgrade());
    ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "x"));
    ASSERT_TRUE(peer.read_frame());
  }
  EXPECT_GT(a->counters().connections_accepted.read(), 0U);
  EXPECT_GT(b->counters().connections_accepted.read(), 0U);
  first.call([&] { a.reset(); });
  second.call([&] { b.reset(); });
}

TEST_F(WebSocket, SendsWhatATurnEndHookQueues) {
  bool due = false;
  handler_.on_text = [&](ConnectionId, std::string_view) { due = true; };
  start();
  const Ender ender(*this);
  thread_->call([&] {
    thread_->loop().on_turn_end([&] {  // after the server's own hook
      if (std::exchange(due, false)) server_->send_text(handler_.last, "from the hook");
    });
  });
  Peer peer(port_);
  ASSERT_TRUE(peer.upgrade());
  ASSERT_TRUE(peer.send_frame(WsOpcode::Text, "go"));
  const auto frame = peer.read_frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, "from the hook");
}

TEST(ServerPort, SaysWhichAddressItCannotTake) {
  Loop loop;
  EchoHandler handler;
  ListenConfig bad;
  bad.host = "localhost";
  EXPECT_THROW(Server(loop, handler, bad), std::runtime_error);
  bad.host = "203.0.113.7";
  EXPECT_THROW(Server(loop, handler, bad), std::runtime_error);
}

}  // namespace
}  // namespace nostril::net
