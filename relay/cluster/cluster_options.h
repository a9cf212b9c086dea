#pragma once

#include "relay/cluster/bus.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace nostril::relay {

/// The section [cluster] in its users' terms.
struct ClusterOptions {
  /// What becomes of an event while NATS is away.
  enum class WhenAway : std::uint8_t {
    Refuse,  ///< OK false: its author sends it again
    Queue,   ///< kept on this relay's disk, OK true; the stream gets it later
  };

  /// How a relay gets what was before.
  enum class Join : std::uint8_t {
    Auto,      ///< from the stream where it reaches back to the beginning, else a snapshot
    Stream,    ///< from the stream, or not at all
    Snapshot,  ///< a snapshot whenever the position is not in the stream
  };

  std::string name;   ///< of the cluster; empty: none
  std::string relay;  ///< this one's name in it
  BusOptions bus;
  /// What the stream holds needs no second look at signatures: whoever may publish there has shown
  /// credentials, and the operator has not asked for it.
  bool trusts_stream = false;
  unsigned verifier_threads = 1;  ///< where it is not trusted
  std::int64_t ack_wait_ms = 5'000;
  WhenAway when_away = WhenAway::Refuse;
  std::size_t outbox_events_max = 100'000;
  Join join = Join::Auto;

  [[nodiscard]] bool enabled() const { return !name.empty(); }
};

}  // namespace nostril::relay
