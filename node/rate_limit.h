#pragma once

#include "net/peer_address.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

namespace nostril::node {

/// A bucket an address (net::peer_group): `per_minute` tokens come in a minute, as many at most
/// wait in it. Full buckets are forgotten; beyond `addresses_max` of others all share one. Threads:
/// one.
class RateLimit {
 public:
  explicit RateLimit(std::int64_t per_minute, std::size_t addresses_max = 10'000)
      : per_minute_(per_minute), addresses_max_(addresses_max) {}

  /// Takes a token. 0: it was there; else milliseconds until there is one.
  [[nodiscard]] std::int64_t take(const net::PeerAddress& peer, std::int64_t now_ms);

 private:
  void forget_full(std::int64_t now_ms);

  const std::int64_t per_minute_;
  const std::size_t addresses_max_;
  /// When each bucket will be full again, monotonic milliseconds.
  std::map<std::array<std::uint8_t, 16>, std::int64_t> full_at_ms_;
};

}  // namespace nostril::node
