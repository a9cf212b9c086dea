#pragma once

// Helpers of the net tests: a loop on its own thread, and a plain blocking socket that speaks
// bytes.

#include "net/loop.h"
#include "net/ws_codec.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::net {

inline constexpr int kTestWaitSeconds = 20;

/// A Loop running on a thread of its own. call() runs code there and waits for it.
class LoopThread {
 public:
  explicit LoopThread(LoopLimits limits = {}) : loop_(limits), thread_([this] { loop_.run(); }) {}

  ~LoopThread() {
    loop_.stop();
    thread_.join();
  }

  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;
  LoopThread(LoopThread&&) = delete;
  LoopThread& operator=(LoopThread&&) = delete;

  Loop& loop() { return loop_; }

  template <typename F>
  auto call(F function) -> decltype(function()) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto result = task.get_future();
    EXPECT_TRUE(loop_.post([&task] { task(); }));
    return result.get();
  }

 private:
  Loop loop_;
  std::thread thread_;
};

/// A blocking TCP connection to 127.0.0.1. Every read gives up after kTestWaitSeconds.
class Peer {
 public:
  explicit Peer(std::uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    const timeval wait{kTestWaitSeconds, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  explicit Peer(int fd) : fd_(fd), connected_(true) {}

  /// From an address of this machine, e.g. "127.0.0.2".
  static int connect_from(const char* source, std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval wait{kTestWaitSeconds, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    EXPECT_EQ(inet_pton(AF_INET, source, &address.sin_addr), 1);
    EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  ~Peer() { shut(); }

  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  Peer(Peer&&) = delete;
  Peer& operator=(Peer&&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }

  [[nodiscard]] int fd() const { return fd_; }

  void shut() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  /// Closes with a reset instead of a FIN.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    shut();
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// Sends a masked frame.
  bool send_frame(WsOpcode opcode, std::string_view payload) {
    std::string frame;
    append_ws_frame(frame, opcode, payload, std::array<std::uint8_t, 4>{0x11, 0x22, 0x33, 0x44});
    return send(frame);
  }

  /// More bytes into the buffer; false at the end or on a timeout.
  bool fill() {
    char piece[65'536];
    const ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
    if (got > 0) buffer_.append(piece, static_cast<std::size_t>(got));
    ended_ = got == 0 || (got < 0 && errno == ECONNRESET);
    return got > 0;
  }

  /// Up to and with `end`.
  std::string read_until(std::string_view end) {
    std::size_t found = buffer_.find(end);
    while (found == std::string::npos && fill()) found = buffer_.find(end);
    if (found == std::string::npos) return {};
    std::string out = buffer_.substr(0, found + end.size());
    buffer_.erase(0, out.size());
    return out;
  }

  std::string read_exactly(std::size_t bytes) {
    while (buffer_.size() < bytes && fill()) {
    }
    std::string out = buffer_.substr(0, bytes);
    buffer_.erase(0, out.size());
    return out;
  }

  /// Everything until the other side ends.
  std::string read_all() {
    while (fill()) {
    }
    return std::exchange(buffer_, {});
  }

  /// True when the other side closed (not a mere timeout).
  bool ended() {
    while (!ended_ && fill()) {
    }
    return ended_;
  }

  /// Upgrades; `with` is sent in the same packet. With an offer of extensions, read_frame() also
  /// takes compressed messages.
  bool upgrade(std::string_view with = {}, std::string_view extensions = {},
               std::string_view more_headers = {}) {
    std::string request =
        "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    if (!extensions.empty()) {
      request.append("Sec-WebSocket-Extensions: ").append(extensions).append("\r\n");
      decoder_ = WsDecoder(WsRole::Client, kMessageBytesMax, &inflaters_);
    }
    request.append(more_headers).append("\r\n").append(with);
    if (!send(request)) return false;
    head_ = read_until("\r\n\r\n");
    return head_.find("101") != std::string::npos &&
           head_.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != std::string::npos;
  }

  /// The server's answer to upgrade().
  [[nodiscard]] const std::string& head() const { return head_; }

  struct Frame {
    WsEventKind kind;
    std::string payload;
    std::uint16_t close_code;
  };

  /// The next message or control frame from a server.
  std::optional<Frame> read_frame() {
    for (;;) {
      while (!input_.empty()) {
        std::span<std::uint8_t> view(input_);
        const auto next = decoder_.next(view);
        std::optional<Frame> out;
        if (next && *next)
          out = Frame{(*next)->kind, std::string((*next)->payload), (*next)->close_code};
        input_.erase(input_.begin(), input_.end() - static_cast<std::ptrdiff_t>(view.size()));
        if (!next) return std::nullopt;
        if (out) return out;
      }
      if (buffer_.empty() && !fill()) return std::nullopt;
      input_.assign(buffer_.begin(), buffer_.end());
      buffer_.clear();
    }
  }

 private:
  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
  std::vector<std::uint8_t> input_;
  static constexpr std::size_t kMessageBytesMax = 64 << 20;
  std::string head_;
  WsInflaters inflaters_{false};
  WsDecoder decoder_{WsRole::Client, kMessageBytesMax};
};

/// Bytes of a DEFLATE stream (RFC 1951) that are dear to read and stand for nothing: `count` times
/// four blocks of 90 bits that hold the tables of their codes and the end, 45 bytes.
inline std::string empty_deflate_blocks(std::size_t count) {
  std::vector<bool> bits;
  const auto put = [&](unsigned value, int width) {
    for (int i = 0; i < width; ++i) bits.push_back((value >> i & 1U) != 0);
  };
  for (int i = 0; i < 4; ++i) {
    put(0b100, 3);   // not the last, codes of its own
    put(0, 5 + 5);   // 257 literals and lengths, one distance
    put(18 - 4, 4);  // of 18 lengths of codes, in this order: 16, 17, 18, 0, 8 … 14, 1
    for (int j = 0; j < 18; ++j) put(j == 2 || j == 17 ? 1 : 0, 3);  // 1: code 0, 18: code 1
    for (const unsigned zeros : {138U, 118U}) {                      // no literal
      put(1, 1);
      put(zeros - 11, 7);
    }
    put(0, 1 + 1 + 1);  // 256 (the end) and the distance: one bit each; and the end
  }
  std::string four(bits.size() / 8, '\0');
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (bits[i]) four[i / 8] = static_cast<char>(four[i / 8] | 1 << i % 8);
  }
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += four;
  return out;
}

}  // namespace nostril::net
