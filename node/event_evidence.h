#pragma once

#include "attestation/evidence.h"
#include "attestation/vendor_documents.h"
#include "events/inference.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nostril::node {

/// Evidence as its event carries it.
struct EventEvidence {
  attestation::Evidence evidence;  ///< names what is in `documents`
  std::string packed;              ///< attestation/pack.h
  /// What vendors sign and other nodes name, too: events of their own.
  std::vector<attestation::VendorDocument> documents;
};

/// Above so many bytes of text vendors' documents are named in place of being held: relays and
/// clients have them once for all nodes and all of a node's offers.
inline constexpr std::size_t kWholeEvidenceBytesMax = 16U << 10U;

/// Packs; 30 ms for a board of eight GPUs. `evidence` must be within_limits().
[[nodiscard]] EventEvidence evidence_for_event(const attestation::Evidence& evidence);

/// The event that carries `made`, of its statement.
[[nodiscard]] AttestationEvent attestation_event(const EventEvidence& made,
                                                 std::int64_t created_at);

/// Why `evidence`, which packs to `packed_bytes`, can't be published: no event holds more than
/// `bytes_max`. One line for the operator: each part with its size, the largest first, and what can
/// be done about that. Nothing when it fits.
[[nodiscard]] std::optional<std::string> too_large(const attestation::Evidence& evidence,
                                                   std::size_t packed_bytes, std::size_t bytes_max);

}  // namespace nostril::node
