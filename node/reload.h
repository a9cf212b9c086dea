#pragma once

#include "base/result.h"
#include "node/config.h"

#include <string>
#include <vector>

namespace nostril::node {

/// What a changed configuration file comes to for a node that runs.
struct Reload {
  NodeConfig next;                         ///< what runs from now on
  std::vector<std::string> changed;        ///< keys that it takes over
  std::vector<std::string> needs_restart;  ///< keys that keep their running value
};

/// `running` with what may change in `wanted`. A key that nobody listed as changeable needs a
/// restart. The error: why `wanted` can't be offered at all, so that nothing changes. Pure.
///
/// Of several [[engine]], one is the same when its url is: its changeable keys are taken over,
/// engines that are new are served, and those that are gone end as at a drain.
[[nodiscard]] Result<Reload, std::string> plan_reload(const NodeConfig& running, NodeConfig wanted);

}  // namespace nostril::node
