#include "attestation/evidence.h"

#include "attestation/model_manifest.h"
#include "attestation/ocsp.h"
#include "attestation/rim.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

bool within_limits(const Collateral& collateral) {
  return collateral.tcb_info.size() <= kCollateralTextBytesMax &&
         collateral.qe_identity.size() <= kCollateralTextBytesMax &&
         collateral.tcb_info_issuer_chain.size() <= kIssuerChainBytesMax &&
         collateral.qe_identity_issuer_chain.size() <= kIssuerChainBytesMax &&
         collateral.root_ca_crl.size() <= kCrlBytesMax && collateral.pck_crl.size() <= kCrlBytesMax;
}

bool within_limits(const SnpCertificates& certificates) {
  return certificates.vek.size() <= kVekBytesMax &&
         certificates.chain.size() <= kIssuerChainBytesMax &&
         certificates.crl.size() <= kCrlBytesMax;
}

bool within_limits(const std::vector<Bytes>& parts, std::size_t count_max, std::size_t bytes_max) {
  return parts.size() <= count_max &&
         std::all_of(parts.begin(), parts.end(),
                     [bytes_max](const Bytes& part) { return part.size() <= bytes_max; });
}

/// NVSwitches and OCSP answers are about GPUs.
bool within_board_limits(const Evidence& evidence) {
  const std::size_t switch_count = evidence.switch_reports.size();
  const bool gpus = !evidence.gpu_reports.empty();
  return within_limits(evidence.switch_reports, gpus ? kSwitchCountMax : 0, kGpuReportBytesMax) &&
         within_limits(evidence.switch_chains, switch_count, kGpuChainBytesMax) &&
         within_limits(evidence.ocsp_answers, gpus ? kOcspCountMax : 0, kOcspBytesMax);
}

}  // namespace

bool within_limits(const AppDocuments& app) {
  return !app.event_log.empty() && app.event_log.size() <= kAppLogBytesMax &&
         app.compose.size() <= kAppComposeBytesMax && app.mr_config.size() <= kMrConfigBytesMax;
}

bool within_limits(const Evidence& evidence) {
  const std::size_t gpu_count = evidence.gpu_reports.size();
  return !evidence.kind.empty() && evidence.kind.size() <= kKindBytesMax &&
         evidence.cpu_quote.size() <= kQuoteBytesMax &&
         within_limits(evidence.gpu_reports, kGpuReportCountMax, kGpuReportBytesMax) &&
         within_limits(evidence.gpu_chains, gpu_count, kGpuChainBytesMax) &&
         within_limits(evidence.gpu_manifests, kGpuManifestCountMax, kRimBytesMax) &&
         within_board_limits(evidence) &&
         (!evidence.collateral || within_limits(*evidence.collateral)) &&
         evidence.manifest.size() <= kManifestTextBytesMax &&
         (!evidence.snp || within_limits(*evidence.snp)) &&
         (!evidence.app || within_limits(*evidence.app));
}

}  // namespace nostril::attestation
