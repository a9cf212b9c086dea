#pragma once

#include "base/file.h"
#include "net/loop.h"
#include "net/peer_address.h"

#include <cstdint>
#include <functional>
#include <string>

namespace nostril::net {

/// A listening TCP socket on a loop. Several loops of a process may listen on one port: the first
/// as on any other, the rest join it. Two processes may not: each would get a part of the
/// connections. Threads: the loop's only.
class Listener {
 public:
  /// The accepted, non-blocking descriptor.
  using OnAccept = std::function<void(UniqueFd fd, const PeerAddress& peer)>;

  /// `host`: numeric address. `joins`: a Listener of this process has the port already. Throws
  /// std::runtime_error naming the address.
  Listener(Loop& loop, const std::string& host, std::uint16_t port, bool joins, int backlog,
           OnAccept on_accept);
  /// A socket that listens already (inherited_sockets.h), perhaps also elsewhere in this process.
  Listener(Loop& loop, UniqueFd listening, OnAccept on_accept);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  Listener(Listener&&) = delete;
  Listener& operator=(Listener&&) = delete;

  [[nodiscard]] std::uint16_t local_port() const { return local_port_; }

  /// The same socket once more: while it is open, connections wait in it, whoever else stops.
  [[nodiscard]] UniqueFd duplicate() const;

  /// Closes the listening socket; accepted ones are not touched.
  void stop();

 private:
  struct Watch;

  void watch(UniqueFd fd);
  void accept_some();
  void start_watching();

  Loop& loop_;
  OnAccept on_accept_;
  Watch* watch_ = nullptr;  // owned by its uv handle
  TimerId rest_timer_ = TimerId::None;
  std::uint16_t local_port_ = 0;
};

}  // namespace nostril::net
