#pragma once

#include "base/file.h"
#include "net/loop.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace nostril::net {

/// Finds the addresses of a host and connects to the first that answers, each in turn. Never blocks
/// the loop: names are looked up on libuv's thread pool. Threads: the loop's only. Destroying it
/// gives up without a callback.
class Connector {
 public:
  /// A connected, non-blocking descriptor, or a closed one and why. Once; not from inside start().
  using OnDone = std::function<void(UniqueFd fd, const std::string& why)>;

  explicit Connector(Loop& loop);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;
  Connector(Connector&&) = delete;
  Connector& operator=(Connector&&) = delete;

  void start(const std::string& host, std::uint16_t port, std::uint64_t wait_ms_max,
             OnDone on_done);

  struct Impl;  // for connector.cpp

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace nostril::net
