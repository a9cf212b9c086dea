#pragma once

#include "base/clock.h"
#include "base/finding.h"
#include "base/rng.h"
#include "net/loop.h"
#include "node/config.h"
#include "node/engine.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

/// What `nostril-node doctor` looks at beyond the machine: engines, relays, the clock by them,
/// and what settles.
namespace nostril::node {

/// The engines that are configured, or those on loopback. Runs `loop` until they have answered, or
/// five seconds.
[[nodiscard]] Findings check_engines(const NodeConfig& config, net::Loop& loop);

/// Each relay, and then the clock by what they said and by beacons. Runs `loop` until they have
/// answered, or `wait_ms`.
[[nodiscard]] Findings check_relays(const NodeConfig& config, net::Loop& loop, Clock& clock,
                                    Rng& rng, std::uint64_t wait_ms = 8'000);

/// What settles: the chain, its contract and the account that claims; or the wallet services. Empty
/// when nothing is configured. Runs `loop` meanwhile.
[[nodiscard]] Findings check_settlement(const NodeConfig& config, net::Loop& loop, Clock& clock,
                                        Rng& rng);

}  // namespace nostril::node
