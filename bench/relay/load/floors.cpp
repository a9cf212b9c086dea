#include "bench/relay/load/floors.h"

#include "base/check.h"
#include "bench/relay/load/connections.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <secp256k1.h>
#include <secp256k1_schnorrsig.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace nostril::bench {

namespace {

constexpr std::size_t kSendsTogether = 16;  // what fits a socket's buffers at 8 KB each
constexpr std::size_t kSpreadTurns = 16;
constexpr std::size_t kSyncs = 32;
constexpr std::chrono::milliseconds kDurablePause{5};

double thread_cpu_us() {
  timespec time{};
  CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

template <typename Step>
double cpu_us_each(std::size_t count, const Step& step) {
  const double start = thread_cpu_us();
  for (std::size_t i = 0; i < count; ++i) step(i);
  return (thread_cpu_us() - start) / static_cast<double>(count);
}

void verify(const Event& event) {
  secp256k1_xonly_pubkey key;
  CHECK(secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key, event.pubkey.bytes.data()) ==
        1);
  CHECK(secp256k1_schnorrsig_verify(secp256k1_context_static, event.sig.bytes.data(),
                                    event.id.bytes.data(), event.id.bytes.size(), &key) == 1);
}

// Two ends of a TCP connection over loopback.
class SocketPair {
 public:
  SocketPair() {
    const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    from_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(listener.get(), generic, size) != 0 || listen(listener.get(), 1) != 0 ||
        getsockname(listener.get(), generic, &size) != 0 ||
        connect(from_.get(), generic, size) != 0) {
      throw std::runtime_error("no loopback sockets");
    }
    // Ends without TIME_WAIT, which would use up the ports.
    const linger at_once{1, 0};
    CHECK(setsockopt(from_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    to_ = UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

  void send_one(const std::string& text) const {
    CHECK(send(from_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(text.size()));
  }

  [[nodiscard]] int reader() const { return to_.get(); }

  void drain(std::size_t bytes) const {
    std::array<char, 65'536> buffer{};
    while (bytes > 0) {
      const ssize_t count = recv(to_.get(), buffer.data(), buffer.size(), 0);
      CHECK(count > 0);
      bytes -= static_cast<std::size_t>(count);
    }
  }

 private:
  UniqueFd from_;
  UniqueFd to_;
};

double send_us(const std::vector<std::string>& texts) {
  const SocketPair sockets;
  double sum = 0;
  for (std::size_t first = 0; first < texts.size(); first += kSendsTogether) {
    const std::size_t count = std::min(kSendsTogether, texts.size() - first);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) bytes += texts[first + i].size();
    const double start = thread_cpu_us();
    for (std::size_t i = 0; i < count; ++i) sockets.send_one(texts[first + i]);
    sum += thread_cpu_us() - start;
    sockets.drain(bytes);
  }
  return sum / static_cast<double>(texts.size());
}

// Reads what comes on any of the sockets, as a thread of its own.
class Reader {
 public:
  explicit Reader(const std::vector<SocketPair>& sockets) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    for (const SocketPair& pair : sockets) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = pair.reader();
      CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pair.reader(), &event) == 0);
    }
    thread_ = std::thread([this] { run(); });
  }

  ~Reader() {
    stopping_.store(true);
    thread_.join();
  }

  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  Reader(Reader&&) = delete;
  Reader& operator=(Reader&&) = delete;

  void wait_for(std::size_t bytes) const {
    while (bytes_.load() < bytes) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }

 private:
  void run() {
    std::array<epoll_event, 64> events{};
    std::array<char, 65'536> buffer{};
    while (!stopping_.load()) {
      const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 10);
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
        CHECK(got > 0);
        bytes_.fetch_add(static_cast<std::size_t>(got));
      }
    }
  }

  UniqueFd epoll_;
  std::atomic<std::size_t> bytes_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

double spread_us(const std::vector<std::string>& texts) {
  const std::vector<SocketPair> sockets(kSpreadSockets);
  const Reader reader(sockets);
  double sum = 0;
  std::size_t bytes = 0;
  for (std::size_t turn = 0; turn < kSpreadTurns; ++turn) {
    const std::string& text = texts[turn * texts.size() / kSpreadTurns];
    const double start = thread_cpu_us();
    for (const SocketPair& pair : sockets) pair.send_one(text);
    sum += thread_cpu_us() - start;
    bytes += text.size() * sockets.size();
    reader.wait_for(bytes);
  }
  return sum / static_cast<double>(kSpreadTurns * sockets.size());
}

// A check and a sync, kDurablePause after the ones before: then the processor has gone to sleep and
// its caches hold other things, as when a relay gets 200 events a second. The file's blocks are all
// written before, so that a sync has nothing but the text to write.
double durable_us(std::span<const Event> events, const std::vector<std::string>& texts,
                  std::size_t longest, const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  const std::filesystem::path path = directory / fmt::format("sync-{}", getpid());
  const UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  CHECK(file.get() >= 0);
  std::filesystem::remove(path);
  const auto put = [&](const std::string& text, std::size_t at) {
    CHECK(pwrite(file.get(), text.data(), text.size(), static_cast<off_t>(at)) ==
          static_cast<ssize_t>(text.size()));
    CHECK(fdatasync(file.get()) == 0);
  };
  put(std::string(longest + kSyncs, '\0'), 0);
  double sum = 0;
  for (std::size_t i = 0; i < kSyncs; ++i) {
    std::this_thread::sleep_for(kDurablePause);
    const std::size_t at = i % texts.size();
    sum += cpu_us_each(1, [&](std::size_t) {
      verify(events[at]);
      put(texts[at], i);
    });
  }
  return sum / kSyncs;
}

}  // namespace

Floors measure_floors(std::span<const Event> events, const std::filesystem::path& directory) {
  CHECK(!events.empty());
  std::vector<std::string> texts;
  std::size_t longest = 0;
  for (const Event& event : events) {
    texts.push_back(to_json(event));
    longest = std::max(longest, texts.back().size());
  }
  std::string copy(longest, '\0');
  std::uint64_t used = 0;  // so that nothing is optimised away
  Floors floors;
  floors.verify_us = cpu_us_each(events.size(), [&](std::size_t i) { verify(events[i]); });
  floors.send_us = send_us(texts);
  floors.spread_us = spread_us(texts);
  floors.durable_us = durable_us(events, texts, longest, directory);
  floors.hash_us =
      cpu_us_each(texts.size(), [&](std::size_t i) { used += sha256(texts[i]).bytes[0]; });
  floors.copy_us = cpu_us_each(texts.size(), [&](std::size_t i) {
    std::memcpy(copy.data(), texts[i].data(), texts[i].size());
    used += static_cast<std::uint8_t>(copy[texts[i].size() / 2]);
  });
  CHECK(used > 0);
  return floors;
}

}  // namespace nostril::bench
