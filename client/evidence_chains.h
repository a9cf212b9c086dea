#pragma once

#include "attestation/combined_report.h"
#include "attestation/evidence.h"
#include "attestation/gpu_verify.h"
#include "attestation/nras.h"
#include "attestation/snp_verify.h"
#include "base/bytes.h"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The certificates that stand in evidence, to be shown beside a verdict. Nothing here judges: what
/// can't be read is left out, and the verdict says why.
namespace nostril::client {

struct ShownCertificate {
  std::string subject;  ///< RFC 2253, ASCII: "CN=Intel SGX Root CA,O=Intel Corporation,…"
  std::int64_t valid_from = 0;
  std::int64_t valid_until = 0;
};

/// Chains by name, leaf first. PREFIX is the machine's, as in the names of its checks ("",
/// "gateway.", "model.post_boot."):
///   PREFIX cpu      of a quote or an SNP report
///   PREFIX gpu0 …   of each GPU
///   rim VERSION     of the signer of a reference manifest: "rim 550.90.07"
///   nras            of the key of NVIDIA's attestation service
using ShownChains = std::map<std::string, std::vector<ShownCertificate>, std::less<>>;

[[nodiscard]] ShownChains chains_of_quote(ByteSpan quote);
[[nodiscard]] ShownChains chains_of_snp(const attestation::SnpEvidence& evidence);
[[nodiscard]] ShownChains chains_of_gpus(std::span<const attestation::GpuEvidence> gpus,
                                         std::span<const attestation::GpuEvidence> switches,
                                         std::span<const Bytes> rims);
[[nodiscard]] ShownChains chains_of_nras(const attestation::NrasEvidence& evidence);
[[nodiscard]] ShownChains chains_of_report(const attestation::ReportInput& input);
/// Of a node's offer.
[[nodiscard]] ShownChains chains_of_evidence(const attestation::Evidence& evidence);

}  // namespace nostril::client
