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

/// Each where the part it stands for could be, and no part twice.
bool within_document_limits(const Evidence& evidence) {
  const auto& documents = evidence.documents;
  const auto count = [&documents](DocumentKind kind) {
    return static_cast<std::size_t>(
        std::count_if(documents.begin(), documents.end(),
                      [kind](const NamedDocument& one) { return one.kind == kind; }));
  };
  const bool gpus = !evidence.gpu_reports.empty();
  const std::size_t manifests = count(DocumentKind::Manifest);
  const std::size_t answers = count(DocumentKind::OcspAnswers);
  const std::size_t collateral = count(DocumentKind::Collateral);
  return manifests + answers + collateral == documents.size() &&
         std::all_of(documents.begin(), documents.end(),
                     [](const NamedDocument& one) { return is_document_name(one.name); }) &&
         std::is_sorted(documents.begin(), documents.end(),
                        [](const auto& a, const auto& b) { return a.kind < b.kind; }) &&
         manifests + evidence.gpu_manifests.size() <=
             (gpus ? kGpuManifestCountMax : evidence.gpu_manifests.size()) &&
         answers <= (gpus && evidence.ocsp_answers.empty() ? 1U : 0U) &&
         collateral <= (is_snp_kind(evidence.kind) || evidence.collateral ? 0U : 1U);
}

}  // namespace

bool is_document_name(std::string_view name) {
  return !name.empty() && name.size() <= kDocumentNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

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
         within_board_limits(evidence) && within_document_limits(evidence) &&
         (!evidence.collateral || within_limits(*evidence.collateral)) &&
         evidence.manifest.size() <= kManifestTextBytesMax &&
         (!evidence.snp || within_limits(*evidence.snp)) &&
         (!evidence.app || within_limits(*evidence.app));
}

}  // namespace nostril::attestation
