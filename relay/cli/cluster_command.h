#pragma once

#include "relay/config.h"

#include <cstdint>
#include <string>

namespace nostril::relay {

struct ClusterArguments {
  std::string relay;  ///< of drain and resnapshot
  bool json = false;
  bool no_wait = false;            ///< drain, resnapshot: until it has begun only
  std::int64_t wait_s = 600;       ///< for the end of it
  std::int64_t answer_ms = 1'500;  ///< status: relays that answer later are not shown
};

/// How a command ended: the program's exit status. 2 is of wrong command lines
/// (base/command_tree.h).
enum class ClusterExit : std::uint8_t {
  Fine = 0,   ///< status: every relay that answered serves, by the same rules
  Error = 1,  ///< no connection to the servers, or no such configuration
  Unhealthy =
      3,  ///< status: a relay does not serve, or rules differ; else: refused, or not done yet
  NoAnswer = 4,  ///< status: no relay at all; else: not the one that was named
};

// `nostril-relay cluster …`: asks the relays of the configuration's cluster, over its servers. No
// relay has to run on this machine. Throw std::runtime_error with one line. Threads: the program's
// main one.

/// A line a relay: state, position, lag. --json: one object.
int show_cluster(const RelayConfig& config, const ClusterArguments& arguments);
/// The relay takes no new connection, finishes what is under way and stops.
int drain_relay(const RelayConfig& config, const ClusterArguments& arguments);
/// The relay's data are replaced by a snapshot of another's, while it serves; then it starts anew.
int resnapshot_relay(const RelayConfig& config, const ClusterArguments& arguments);

}  // namespace nostril::relay
