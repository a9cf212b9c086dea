#pragma once

#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace nostril::client {

/// How nodes have served this client: how soon, and how often not. In memory; what is old counts
/// less. Times are of a monotonic clock. Pure; one thread.
class NodeHistory {
 public:
  static constexpr std::size_t kNodesMax = 4096;       ///< the one heard of longest ago makes room
  static constexpr std::int64_t kHalfLifeMs = 60'000;  ///< failures lose half their weight
  static constexpr std::uint32_t kFailuresMax = 64;

  /// The first byte of an answer came after `ms`. Failures are forgiven by half.
  void answered(const PublicKey& node, std::uint32_t ms, std::int64_t now_ms);
  void failed(const PublicKey& node, std::int64_t now_ms);

  [[nodiscard]] std::optional<std::uint32_t> first_byte_ms(const PublicKey& node) const;
  [[nodiscard]] std::uint32_t failures(const PublicKey& node, std::int64_t now_ms) const;

 private:
  struct Entry {
    std::optional<std::uint32_t> first_byte_ms;
    std::uint32_t failures = 0;
    std::int64_t failed_at_ms = 0;
    std::int64_t heard_at_ms = 0;
  };

  Entry& entry(const PublicKey& node, std::int64_t now_ms);

  std::map<PublicKey, Entry> nodes_;
};

}  // namespace nostril::client
