#pragma once

#include "base/result.h"
#include "node/nvml.h"
#include "schnorr/types.h"

#include <string>
#include <vector>

namespace nostril::node {

inline constexpr const char* kNscqLibrary = "libnvidia-nscq.so.2";

/// Reports of all NVSwitches over `nonce`, in the library's order, by NVIDIA's NSCQ library, which
/// is loaded for the call. The error is one line for the operator: no library, one that lacks what
/// is needed, a switch that gives no report or says sizes beyond its buffers. No switch: none.
/// Threads: one at a time in a process. By the library's published interface; no machine with
/// switches was at hand.
[[nodiscard]] Result<std::vector<GpuAnswer>, std::string> switch_reports(
    const Digest& nonce, const std::string& library = kNscqLibrary);

}  // namespace nostril::node
