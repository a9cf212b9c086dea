#pragma once

#include "attestation/evidence.h"

#include <string>
#include <string_view>

/// The offer's word for its machine, tag `T`, by which clients filter before they look at evidence:
///
///   tag = cpu *("+" count "x" chip)     tdx   sev-snp+8xgh100   simulated
///   cpu = "tdx" / "sev-snp" / "simulated"
///
/// count: 1 to 16; chip: as NVIDIA's certificates name it, in lower case; ascending, each once.
/// Certificates name no product (H100 and H200 are both gh100), so no tag can. Pure.
namespace nostril::attestation {

/// What this evidence shows, by its kind and the names in its GPUs' certificates. Verifies nothing.
std::string tee_tag(const Evidence& evidence);

/// `tag` says no more than `evidence` shows: the same CPU, or "simulated", and no chip more often.
/// A tag of another form claims what nothing shows.
bool shows_tee(const Evidence& evidence, std::string_view tag);

}  // namespace nostril::attestation
