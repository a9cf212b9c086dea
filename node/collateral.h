#pragma once

#include "attestation/trust_roots.h"
#include "node/collateral_store.h"
#include "node/evidence_source.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

/// What Intel, AMD and NVIDIA say about this machine, put beside its evidence: so clients need not
/// ask them.
namespace nostril::node {

struct CollateralSettings {
  /// Intel's service, or a PCCS of one's own; empty: only what is in the folder.
  std::string intel_url = "https://api.trustedservices.intel.com";
  std::string intel_root_crl_url =
      "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
  /// AMD's key server; empty: only what is in the folder.
  std::string amd_url = "https://kdsintf.amd.com";
  /// NVIDIA's service of reference manifests (RIM); empty: only what is in the folder.
  std::string nvidia_url = "https://rim.attestation.nvidia.com";
  CollateralStoreSettings store;
  attestation::TrustRoots roots = attestation::TrustRoots::vendors();
};

/// An answer {"<member>":{…},"signature":"<128 hex>"} taken apart: the exact text of the object,
/// which is what is signed, and the signature. Nothing for another form. Pure.
struct SignedAnswer {
  std::string text;
  std::array<std::uint8_t, 64> signature{};
};

[[nodiscard]] std::optional<SignedAnswer> parse_signed_answer(std::string_view body,
                                                              std::string_view member);

/// A CRL's DER from an answer: DER, or the hex of it, as a PCCS answers. Pure.
[[nodiscard]] Bytes crl_from_answer(ByteSpan body);

/// A vendor's word is missing, so that clients' default policy refuses.
[[nodiscard]] bool lacks_collateral(const attestation::Evidence& evidence);

/// Adds to what a source gives the collateral that it lacks: to a TDX quote all of Intel's; to an
/// SNP report the VCEK certificate when the host gave none, and AMD's CRL; for GPUs the manifests
/// of driver and VBIOS. What can't be had is left out, with a line in the log: then clients'
/// default policy refuses a TDX quote. Threads: as its source.
[[nodiscard]] std::unique_ptr<EvidenceSource> with_collateral(
    std::unique_ptr<EvidenceSource> source, CollateralSettings settings);

}  // namespace nostril::node
