#pragma once

#include "net/http.h"
#include "net/loop.h"
#include "net/url.h"
#include "net/ws_codec.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace nostril::net {

struct WsClientLimits {
  std::size_t message_bytes_max = 4 << 20;   ///< incoming; above: Close 1009
  std::size_t pending_bytes_max = 16 << 20;  ///< outgoing queue; send_text() refuses above
  std::size_t head_bytes_max = 16 << 10;     ///< of the handshake's answer
  std::uint64_t connect_ms_max = 15'000;     ///< name look-up, TCP, TLS and handshake together
  std::uint64_t ping_after_ms = 30'000;      ///< silence before a Ping, 0: never
  std::uint64_t pong_wait_ms_max = 20'000;   ///< then this long for any byte
  std::uint64_t close_wait_ms_max = 3'000;   ///< after our Close frame
};

struct WsClientOptions {
  HttpHeaders headers;  ///< more fields for the handshake
  std::string ca_path;  ///< PEM file of roots for wss; empty: the system's
  /// Offers permessage-deflate; what it then costs: 40 KiB and 264 KiB once used.
  WsDeflateOptions deflate;
};

struct WsCloseInfo {
  std::uint16_t code =
      kWsCloseAbnormal;  ///< the peer's, or ours, or 1006 when no Close was exchanged
  std::string reason;
  bool was_open = false;  ///< false: the connection never came about; `reason` says why
};

struct WsClientCallbacks {
  std::function<void()> on_open;
  std::function<void(std::string_view)> on_text;
  std::function<void(std::string_view)> on_binary;
  std::function<void()> on_drained;
  /// Once for each connect(), never from inside connect(). The client may be connected again or
  /// destroyed in it.
  std::function<void(const WsCloseInfo&)> on_close;
};

/// One outgoing WebSocket, ws:// or wss:// (certificate and host name always verified). No
/// reconnecting: that policy belongs to the caller. Name look-ups run on libuv's pool; all
/// addresses of a name are tried in turn. Threads: the loop's only. Destroying it drops the
/// connection without a callback; allowed inside callbacks.
class WsClient {
 public:
  explicit WsClient(Loop& loop, const WsClientLimits& limits = {});
  ~WsClient();
  WsClient(const WsClient&) = delete;
  WsClient& operator=(const WsClient&) = delete;
  WsClient(WsClient&&) = delete;
  WsClient& operator=(WsClient&&) = delete;

  /// Only while not connected or connecting (CHECK).
  void connect(const Url& url, WsClientCallbacks callbacks, const WsClientOptions& options = {});
  [[nodiscard]] bool is_open() const;
  [[nodiscard]] bool is_idle() const;  ///< neither open nor on its way in or out
  /// False: not open, or the queue is full.
  bool send_text(std::string_view message);
  bool send_binary(std::string_view message);
  [[nodiscard]] std::size_t pending_bytes() const;
  void pause_reading();
  void resume_reading();
  /// Sends what is queued and a Close frame; on_close follows.
  void close(std::uint16_t code = kWsCloseNormal, std::string_view reason = {});

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace nostril::net
