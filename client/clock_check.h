#pragma once

#include "base/finding.h"

#include <cstdint>
#include <optional>
#include <vector>

/// Whether this machine's clock is right enough, for `doctor` of both programs.
namespace nostril::client {

/// What is known of the clock.
struct ClockFacts {
  std::vector<std::int64_t> ahead_ms = {};  ///< by each relay that said the time
  bool kernel_in_step = true;  ///< the kernel says that something disciplines its clock
  bool beacons_wanted = false;
  std::optional<std::int64_t> beacon_age_s = {};  ///< of the newest; negative: from our future
};

/// What the kernel says (adjtimex).
[[nodiscard]] bool kernel_in_step();

/// Pure.
[[nodiscard]] Finding judge_clock(const ClockFacts& facts);

}  // namespace nostril::client
