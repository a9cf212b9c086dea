#pragma once

#include "base/file.h"
#include "net/url.h"
#include "net/ws_codec.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::bench {

/// A whole masked text frame. Made outside the timed part and sent as often as wanted.
[[nodiscard]] std::string client_frame(std::string_view text);

/// Many WebSocket connections to one relay over plain epoll: the client shares the machine with
/// what it measures, so it must cost little. ws:// only. What is sent in one turn leaves in one
/// write a connection. Errors are std::runtime_error. One thread.
class Connections {
 public:
  using OnMessage = std::function<void(std::size_t connection, std::string_view text)>;

  /// `deflate`: offers permessage-deflate, and fails where the relay declines.
  explicit Connections(net::Url url, bool deflate = false);

  /// Opens more until there are `count`.
  void open(std::size_t count);
  void close_all();

  [[nodiscard]] std::size_t size() const { return connections_.size(); }

  /// Called for each text message inside run(). May send, call done() and fail().
  OnMessage on_message;

  void send(std::size_t connection, std::string_view frame);
  /// Calls `tick` each `period_ns` inside run(), until it returns false.
  void every(std::int64_t period_ns, std::function<bool()> tick);

  /// What has come in this turn is still handed out, then run() returns.
  void done() { done_ = true; }

  void fail(std::string why);

  /// Throws with `phase` when it failed, or nothing called done() within `ms_max`.
  void run(const char* phase, std::int64_t ms_max = 60'000);
  /// Goes on for some time although nothing is missing: what comes now came without being due.
  void linger(const char* phase, std::int64_t ms);

 private:
  struct Connection {
    UniqueFd socket;
    std::unique_ptr<net::WsInflaters> inflaters;  // its own where context is taken over
    std::unique_ptr<net::WsDecoder> decoder;      // once open
    std::string head;                             // of the handshake's answer, until it is complete
    std::string out;
    bool open = false;
    bool dirty = false;
    bool waits_to_write = false;
  };

  void connect_one();
  void turn(int wait_ms);
  void receive(std::size_t index);
  std::span<std::uint8_t> finish_handshake(std::size_t index, std::span<std::uint8_t> bytes);
  void take_bytes(std::size_t index, std::span<std::uint8_t> bytes);
  void queue(std::size_t index, std::string_view bytes);
  void flush();
  void write(std::size_t index);
  void watch(std::size_t index, bool for_write);
  void on_tick();

  const net::Url url_;
  const bool deflate_;
  net::WsInflaters inflaters_{false};
  std::vector<std::uint8_t> address_;  // a sockaddr
  UniqueFd epoll_;
  UniqueFd timer_;
  std::function<bool()> tick_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::size_t> dirty_;
  std::vector<std::uint8_t> buffer_;
  std::size_t open_count_ = 0;
  bool done_ = false;
  std::string failure_;
};

}  // namespace nostril::bench
