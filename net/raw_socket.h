#pragma once

#include "base/file.h"
#include "net/loop.h"
#include "net/tls.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct lws;

namespace nostril::net {

/// What happens on a RawSocket. Each call may kill or destroy the socket and its owner.
class RawSocketOwner {
 public:
  virtual ~RawSocketOwner() = default;
  /// TLS only: the handshake is done, write() is allowed. A plain socket is ready at once.
  virtual void on_socket_ready() = 0;
  /// The bytes may be changed in place; they are gone when the call returns.
  virtual void on_socket_bytes(std::span<std::uint8_t> bytes) = 0;
  /// After choked(): write() again.
  virtual void on_socket_writable() = 0;
  /// The peer left or the connection broke; `why` is empty or a line for a log. The socket is dead.
  virtual void on_socket_closed(std::string_view why) = 0;
};

/// A connected TCP or unix socket inside libwebsockets (its "raw" role: readiness and output
/// buffer), with our TLS on top where wanted. libwebsockets does not read a socket while it holds
/// unsent output, and its level-triggered loop would spin on one that still receives: reading stops
/// by itself while choked(). Threads: the loop's only.
class RawSocket {
 public:
  /// Nothing when it fails. `host`: see TlsStream.
  static std::unique_ptr<RawSocket> adopt(Loop& loop, UniqueFd fd, RawSocketOwner& owner,
                                          const std::shared_ptr<TlsContext>& tls = nullptr,
                                          const std::string& host = {});
  /// Closes without a word.
  ~RawSocket();
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;
  RawSocket(RawSocket&&) = delete;
  RawSocket& operator=(RawSocket&&) = delete;

  /// From here on the peer speaks TLS, and its first bytes are these; only inside
  /// on_socket_bytes(), before anything was written. May kill or destroy the socket and its owner.
  void begin_tls(const std::shared_ptr<TlsContext>& tls, std::span<std::uint8_t> bytes);

  /// At most this many bytes a write().
  static constexpr std::size_t kWriteBytesMax = 128 << 10;

  /// Hands bytes on; what the kernel does not take is kept. Only if !choked(). False: broken, kill
  /// it.
  [[nodiscard]] bool write(std::string_view bytes);
  /// Output of an earlier write() still waits; on_socket_writable() follows.
  [[nodiscard]] bool choked() const;

  /// Bytes of the last write() that may still wait (upper bound).
  [[nodiscard]] std::size_t unsent_bytes() const { return choked() ? last_write_bytes_ : 0; }

  void set_reading(bool reading);
  /// No more output: TLS goodbye and FIN. Reading goes on.
  void finish_output();

 private:
  friend int raw_socket_event(lws* wsi, int reason, void* in, std::size_t bytes);

  explicit RawSocket(RawSocketOwner& owner);
  void apply_reading();
  bool send(std::string_view bytes);
  void receive(std::span<std::uint8_t> bytes);
  void receive_tls(std::span<std::uint8_t> bytes);

  RawSocketOwner* owner_;
  lws* wsi_ = nullptr;
  std::unique_ptr<TlsStream> tls_;
  std::size_t last_write_bytes_ = 0;
  bool* destroyed_ = nullptr;  // set while inside a call to the owner
  bool in_callback_ = false;
  bool want_reading_ = true;
  bool reading_ = true;
  bool ready_told_ = false;
};

}  // namespace nostril::net
