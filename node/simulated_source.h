#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "node/evidence_source.h"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace nostril::node {

/// SIMULATED evidence of a `platform`, "tdx" or "snp". Its root is written to `data`/sim-root.der,
/// for clients that ask for it, and stays the same at each start (`data`/sim-seed). Does not look
/// whether there is a real TEE: make_evidence_source() does. The error is one line for the
/// operator.
[[nodiscard]] Result<std::unique_ptr<EvidenceSource>, std::string> make_simulated_source(
    std::string_view platform, const std::filesystem::path& data, Rng& rng);

}  // namespace nostril::node
