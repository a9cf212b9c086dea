#pragma once

#include "net/loop.h"
#include "net/peer_address.h"

#include <cstdint>
#include <functional>
#include <string>

namespace nostril::net {

/// A listening TCP socket on a loop. SO_REUSEPORT: several loops may listen on one port.
/// Threads: the loop's only.
class Listener {
 public:
  /// Takes over the accepted, non-blocking descriptor.
  using OnAccept = std::function<void(int fd, const PeerAddress& peer)>;

  /// `host`: numeric address. Throws std::runtime_error naming the address.
  Listener(Loop& loop, const std::string& host, std::uint16_t port, int backlog,
           OnAccept on_accept);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  Listener(Listener&&) = delete;
  Listener& operator=(Listener&&) = delete;

  [[nodiscard]] std::uint16_t local_port() const { return local_port_; }

  /// Closes the listening socket; accepted ones are not touched.
  void stop();

 private:
  struct Watch;

  void accept_some();
  void start_watching();

  Loop& loop_;
  OnAccept on_accept_;
  Watch* watch_ = nullptr;  // owned by its uv handle
  TimerId rest_timer_ = TimerId::None;
  std::uint16_t local_port_ = 0;
};

}  // namespace nostril::net
