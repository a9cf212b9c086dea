// What permessage-deflate costs a server a message: one event for 500 readers over real sockets,
// and 100 different events for one reader. The time shown is the CPU of the server's thread alone.
// Every reader checks how many bytes came, each message is compared once.

#include "base/check.h"
#include "net/server.h"

#include <benchmark/benchmark.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::net {

namespace {

enum class Mode : std::int64_t { Plain, Deflate };

constexpr std::size_t kReaders = 500;
constexpr std::size_t kEvents = 100;
constexpr std::string_view kPrefix = R"(["EVENT","subscription",)";

// As long and as random as a note with two tags: 320 hex digits, then words.
std::string event_json(std::mt19937& random) {
  static constexpr std::string_view kWords[] = {"relay ", "the ",   "event\\n", "signature ",
                                                "of ",    "nostr ", "store ",   "world "};
  const auto hex = [&random](std::size_t count) {
    std::string out;
    while (out.size() < count) out += "0123456789abcdef"[random() % 16];
    return out;
  };
  std::string out = R"({"id":")" + hex(64) + R"(","pubkey":")" + hex(64);
  out += R"(","created_at":1790000000,"kind":1,"tags":[["e",")" + hex(64) + R"("],["p",")" +
         hex(64) + R"("]],"content":")";
  for (std::size_t i = random() % 60; i > 0; --i) out += kWords[random() % std::size(kWords)];
  return out + R"(","sig":")" + hex(128) + "\"}";
}

std::int64_t thread_cpu_ns() {
  timespec time{};
  CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

class Handler final : public ServerHandler {
 public:
  void on_http(ConnectionId /*id*/, const HttpRequest& /*request*/) override { CHECK(false); }

  void on_ws_open(ConnectionId id, const PeerAddress& /*peer*/,
                  const HttpRequest& /*request*/) override {
    open.push_back(id);
  }

  std::vector<ConnectionId> open;
};

/// A server on a thread of its own and `count` readers of it.
class Setting {
 public:
  Setting(Mode mode, std::size_t count) : thread_([this] { loop_.run(); }) {
    ListenConfig listen;
    listen.deflate.enabled = mode == Mode::Deflate;
    call([&] { server_ = std::make_unique<Server>(loop_, handler_, listen); });
    for (std::size_t i = 0; i < count; ++i) readers_.push_back(connect());
    call([&] { CHECK(handler_.open.size() == count); });
  }

  ~Setting() {
    for (const int fd : readers_) ::close(fd);
    call([&] { server_.reset(); });
    loop_.stop();
    thread_.join();
  }

  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;
  Setting(Setting&&) = delete;
  Setting& operator=(Setting&&) = delete;

  /// Runs `send` on the server's thread and reads all that comes of it.
  template <typename Send>
  void round(const Send& send) {
    std::uint64_t sent = 0;
    call([&] {
      sent = server_->counters().bytes_out.read();
      send(*server_, handler_.open);
    });
    // The turn's output is written when it ends, before the next task runs.
    call([&] { sent = server_->counters().bytes_out.read() - sent; });
    for (const int fd : readers_) read_exactly(fd, sent / readers_.size());
    bytes_ += sent;
  }

  template <typename F>
  void call(F function) {
    std::promise<void> done;
    CHECK(loop_.post([&] {
      function();
      done.set_value();
    }));
    done.get_future().wait();
  }

  std::int64_t server_cpu_ns() {
    std::int64_t out = 0;
    call([&] { out = thread_cpu_ns(); });
    return out;
  }

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  /// The last bytes that the last reader got.
  [[nodiscard]] const std::string& last() const { return last_; }

 private:
  int connect() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->local_port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const std::string request =
        "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    CHECK(::send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size()));
    do {
      read_exactly(fd, 1);
      head_ += last_;
    } while (!head_.ends_with("\r\n\r\n"));
    head_.clear();
    return fd;
  }

  void read_exactly(int fd, std::size_t bytes) {
    last_.resize(bytes);
    CHECK(::recv(fd, last_.data(), bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes));
  }

  Loop loop_;
  Handler handler_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::vector<int> readers_;
  std::uint64_t bytes_ = 0;
  std::string head_;
  std::string last_;
};

void check_last(const std::string& frames, const std::string& expected) {
  WsInflater inflater(false);
  WsDecoder decoder(WsRole::Client, 1 << 20, &inflater);
  std::string copy = frames;
  std::span<std::uint8_t> input(reinterpret_cast<std::uint8_t*>(copy.data()), copy.size());
  std::string last;
  for (;;) {
    const auto next = decoder.next(input);
    CHECK(next);
    if (!*next) break;
    last = (*next)->payload;
  }
  CHECK(last == expected);
}

void finish(benchmark::State& state, const Setting& setting, std::size_t messages) {
  const double all = static_cast<double>(state.iterations()) * static_cast<double>(messages);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(messages));
  state.counters["wire_bytes"] = static_cast<double>(setting.bytes()) / all;
  state.counters["cpu_us"] = benchmark::Counter(
      all / 1e6, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);  // a message
}

void BM_OneEventTo500(benchmark::State& state) {
  Setting setting(static_cast<Mode>(state.range(0)), kReaders);
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same in every run
  for (auto _ : state) {
    const auto json = std::make_shared<const std::string>(event_json(random));
    const std::int64_t before = setting.server_cpu_ns();
    setting.round([&](Server& server, const std::vector<ConnectionId>& open) {
      for (const ConnectionId id : open) CHECK(server.send_shared(id, kPrefix, json, "]"));
    });
    state.SetIterationTime(static_cast<double>(setting.server_cpu_ns() - before) / 1e9);
    check_last(setting.last(), std::string(kPrefix) + *json + "]");
  }
  finish(state, setting, kReaders);
}

void BM_Query100(benchmark::State& state) {
  Setting setting(static_cast<Mode>(state.range(0)), 1);
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same in every run
  for (auto _ : state) {
    std::vector<std::string> messages;
    for (std::size_t i = 0; i < kEvents; ++i)
      messages.push_back(std::string(kPrefix) + event_json(random) + "]");
    const std::int64_t before = setting.server_cpu_ns();
    setting.round([&](Server& server, const std::vector<ConnectionId>& open) {
      for (const std::string& message : messages) CHECK(server.send_text(open[0], message));
    });
    state.SetIterationTime(static_cast<double>(setting.server_cpu_ns() - before) / 1e9);
    check_last(setting.last(), messages.back());
  }
  finish(state, setting, kEvents);
}

BENCHMARK(BM_OneEventTo500)->ArgName("deflate")->Arg(0)->Arg(1)->UseManualTime();
BENCHMARK(BM_Query100)->ArgName("deflate")->Arg(0)->Arg(1)->UseManualTime();

}  // namespace

}  // namespace nostril::net
