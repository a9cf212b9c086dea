#pragma once

#include "base/clock.h"
#include "base/finding.h"
#include "base/rng.h"
#include "net/loop.h"
#include "node/config.h"
#include "node/machine_checks.h"

#include <functional>
#include <string>
#include <string_view>

namespace nostril::node {

/// `nostril-node doctor`: everything an operator would have to look at, in the order in which the
/// node needs it. `begin` is told what comes next, for a line of progress. Threads: the caller's;
/// runs `loop` meanwhile.
[[nodiscard]] Findings examine_node(const NodeConfig& config, const Judge& judge, net::Loop& loop,
                                    Clock& clock, Rng& rng,
                                    const std::function<void(std::string_view)>& begin);

/// The command; returns the process' exit status: 0 ok, 1 warnings, 2 something is wrong. Empty
/// `path`: the defaults. A table to standard output, progress to standard error when that is a
/// terminal; `json`: one object.
int doctor(const std::string& path, bool json);

}  // namespace nostril::node
