#pragma once

#include "attestation/x509.h"
#include "node/collateral_store.h"
#include "node/evidence_source.h"

#include <span>
#include <string>
#include <vector>

namespace nostril::node {

/// A certificate that NVIDIA's OCSP responder speaks of.
struct OcspSubject {
  attestation::Certificate certificate;
  attestation::Certificate issuer;
};

/// Those of the board's devices, but for the leaves, and of the signers of `manifests`, but for the
/// roots; each once. What can't be read is left out. Pure.
[[nodiscard]] std::vector<OcspSubject> ocsp_subjects(const BoardAnswer& board,
                                                     std::span<const Bytes> manifests);

/// The request for an answer about it, kept by the certificate's digest. An answer is good when the
/// responder's word on this certificate is sound now, "revoked" as well: clients must hear that,
/// too. `url` may be empty. Borrows `subject`.
[[nodiscard]] VendorRequest ocsp_vendor_request(const OcspSubject& subject, const std::string& url);

}  // namespace nostril::node
