#pragma once

#include "attestation/evidence.h"

#include <cstddef>
#include <optional>
#include <string>

namespace nostril::node {

/// Why `evidence`, which packs to `packed_bytes`, can't be published: no event holds more than
/// `bytes_max`. One line for the operator: each part with its size, the largest first, and what can
/// be done about that. Nothing when it fits.
[[nodiscard]] std::optional<std::string> too_large(const attestation::Evidence& evidence,
                                                   std::size_t packed_bytes, std::size_t bytes_max);

}  // namespace nostril::node
