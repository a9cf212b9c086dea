#pragma once

#include "attestation/verdict.h"
#include "client/evidence_chains.h"

#include <cstdint>
#include <string>

namespace nostril::client {

/// The chains of a verdict as HTML: for each machine its processor (Intel or AMD), its application,
/// its GPUs, the NVSwitches between them and the reference manifests of both, or the tokens of
/// NVIDIA's service. A box is a step; it says which checks prove it, whether they passed, and whose
/// certificate it is, where `chains` has it. Which chains there are is told by the checks alone.
[[nodiscard]] std::string draw_chains(const attestation::Verdict& verdict,
                                      const ShownChains& chains, std::int64_t now_s);

}  // namespace nostril::client
