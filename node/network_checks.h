#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "net/loop.h"
#include "node/config.h"
#include "node/engine.h"
#include "node/finding.h"
#include "node/relay_probe.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

/// What `nostril-node doctor` looks at beyond the machine: engines, relays, the clock by them.
namespace nostril::node {

/// The engines that are configured, or those on loopback. Runs `loop` until they have answered, or
/// five seconds.
[[nodiscard]] Findings check_engines(const NodeConfig& config, net::Loop& loop);

/// Each relay, and then the clock by what they said and by beacons. Runs `loop` until they have
/// answered, or `wait_ms`.
[[nodiscard]] Findings check_relays(const NodeConfig& config, net::Loop& loop, Clock& clock,
                                    Rng& rng, std::uint64_t wait_ms = 8'000);

/// What is known of the clock.
struct ClockFacts {
  std::vector<std::int64_t> ahead_ms = {};  ///< by each relay that said the time
  bool kernel_in_step = true;  ///< the kernel says that something disciplines its clock
  bool beacons_wanted = false;
  std::optional<std::int64_t> beacon_age_s = {};  ///< of the newest; negative: from our future
};

/// Pure.
[[nodiscard]] Finding judge_clock(const ClockFacts& facts);

}  // namespace nostril::node
