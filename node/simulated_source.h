#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "node/evidence_source.h"

#include <filesystem>
#include <memory>
#include <string>

namespace nostril::node {

/// SIMULATED evidence of `settings.simulated_platform`, "tdx" or "snp". Its root is written to
/// `data`/sim-root.der, for clients that ask for it, and stays the same at each start
/// (`data`/sim-seed). The TDX machine says that it booted `settings.simulated_compose` under
/// dstack. `settings.simulated_gpus` GPUs with `settings.simulated_switches` NVSwitches are under a
/// root of their own, `data`/sim-gpu-root.der. Does not look whether there is a real TEE:
/// make_evidence_source() does. The error is one line for the operator.
[[nodiscard]] Result<std::unique_ptr<EvidenceSource>, std::string> make_simulated_source(
    const EvidenceSettings& settings, const std::filesystem::path& data, Rng& rng);

}  // namespace nostril::node
