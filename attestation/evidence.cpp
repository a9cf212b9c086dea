#include "attestation/evidence.h"

#include "attestation/model_manifest.h"

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

}  // namespace

bool within_limits(const Evidence& evidence) {
  const auto& reports = evidence.gpu_reports;
  return !evidence.kind.empty() && evidence.kind.size() <= kKindBytesMax &&
         evidence.cpu_quote.size() <= kQuoteBytesMax && reports.size() <= kGpuReportCountMax &&
         std::all_of(reports.begin(), reports.end(),
                     [](const auto& report) { return report.size() <= kGpuReportBytesMax; }) &&
         (!evidence.collateral || within_limits(*evidence.collateral)) &&
         evidence.manifest.size() <= kManifestTextBytesMax &&
         (!evidence.snp || within_limits(*evidence.snp));
}

}  // namespace nostril::attestation
