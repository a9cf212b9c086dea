#pragma once

#include "base/finding.h"
#include "node/config.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

/// What `nostril-node doctor` looks at where the node listens: addresses, ports, certificate. Binds
/// and closes at once; a node that runs is not disturbed. Threads: the caller's.
namespace nostril::node {

/// "https", and "metrics": that they can be opened, or are by a node that runs.
[[nodiscard]] Findings check_listeners(const NodeConfig& config, std::int64_t now_s);

/// Certificate and key of the HTTPS face: there, of each other, in date, the key its owner's alone.
/// Only where files are named.
[[nodiscard]] Finding check_certificate(const NodeConfig::Https& https, std::int64_t now_s);

}  // namespace nostril::node
