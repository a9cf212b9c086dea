#pragma once

#include "attestation/trust_roots.h"
#include "attestation/vendor_services.h"
#include "node/collateral_store.h"
#include "node/evidence_source.h"

#include <cstdint>
#include <memory>
#include <string>

/// What Intel, AMD and NVIDIA say about this machine, put beside its evidence: so clients need not
/// ask them.
namespace nostril::node {

struct CollateralSettings {
  /// Intel's service, or a PCCS of one's own; empty: only what is in the folder.
  std::string intel_url = attestation::kIntelServiceUrl;
  std::string intel_root_crl_url = attestation::kIntelRootCrlUrl;
  /// AMD's key server; empty: only what is in the folder.
  std::string amd_url = attestation::kAmdServiceUrl;
  /// NVIDIA's service of reference manifests (RIM); empty: only what is in the folder.
  std::string nvidia_url = "https://rim.attestation.nvidia.com";
  /// NVIDIA's OCSP responder; empty: only what is in the folder.
  std::string nvidia_ocsp_url = "https://ocsp.ndis.nvidia.com";
  CollateralStoreSettings store;
  attestation::TrustRoots roots = attestation::TrustRoots::vendors();
};

/// A vendor's word is missing, so that clients' default policy refuses.
[[nodiscard]] bool lacks_collateral(const attestation::Evidence& evidence);

/// Adds to what a source gives the collateral that it lacks: to a TDX quote all of Intel's; to an
/// SNP report the VCEK certificate when the host gave none, and AMD's CRL; for GPUs and NVSwitches
/// the manifests of driver, VBIOS and BIOS, and OCSP answers about all certificates that NVIDIA
/// gives one of. What can't be had is left out, with a line in the log: then clients' default
/// policy refuses a TDX quote. Threads: as its source.
[[nodiscard]] std::unique_ptr<EvidenceSource> with_collateral(
    std::unique_ptr<EvidenceSource> source, CollateralSettings settings);

}  // namespace nostril::node
