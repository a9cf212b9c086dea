#pragma once

#include "base/clock.h"

#include <cstdint>
#include <filesystem>

namespace nostril::node {

/// `created_at` of what a node publishes under an address: no two share a second, also not with
/// those of an earlier process of this node. A relay keeps what is newer, and of two of one second
/// the one with the lower id: after a quick restart it could go on showing an offer whose key died.
///
/// The last one is in a small file, written before it is used. When that can't be written or makes
/// no sense (further ahead than relays take), times begin at the clock's. Threads: one.
class PublishTimes {
 public:
  static constexpr std::int64_t kAheadSMax = 600;

  PublishTimes(std::filesystem::path file, Clock& clock);

  [[nodiscard]] std::int64_t next();

 private:
  std::filesystem::path file_;
  Clock& clock_;
  std::int64_t last_ = 0;
  bool told_ = false;
};

}  // namespace nostril::node
