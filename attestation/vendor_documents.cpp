#include "attestation/vendor_documents.h"

#include "attestation/gpu_certificates.h"
#include "attestation/gpu_references.h"
#include "attestation/gpu_report.h"
#include "attestation/ocsp.h"
#include "attestation/rim.h"
#include "attestation/sections.h"
#include "attestation/vendor_services.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr const char* kUnknownManifest = "manifest";
constexpr const char* kOcspName = "nvidia-ocsp";

/// By the ids of NVIDIA's service: the version of a manifest is the end of its id, without dots.
std::string manifest_name(const Evidence& evidence, const Rim& rim) {
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < evidence.gpu_reports.size(); ++i) {
    const auto report = parse_gpu_report(evidence.gpu_reports[i]);
    if (!report || i >= evidence.gpu_chains.size()) continue;
    const std::string& version = rim.kind == RimKind::Driver ? report->driver : report->vbios;
    if (rim.kind == RimKind::Switch || version != rim.version) continue;
    ids.push_back(
        rim_id(rim.kind, *report, gpu_chip(evidence.gpu_chains[i]).value_or(rim.product)));
  }
  for (const Bytes& bytes : evidence.switch_reports) {
    const auto report = parse_switch_report(bytes);
    if (report && rim.kind == RimKind::Switch) ids.push_back(switch_rim_id(*report));
  }
  const auto good = std::ranges::find_if(ids, is_document_name);
  return good == ids.end() ? kUnknownManifest : *good;
}

std::string manifest_name(const Evidence& evidence, const Bytes& bytes) {
  const auto rim = ParsedRim::parse(bytes);
  return rim ? manifest_name(evidence, rim->rim()) : kUnknownManifest;
}

std::string collateral_name(const Evidence& evidence) {
  const auto platform = intel_platform(evidence.cpu_quote);
  return platform ? "intel-tdx-" + encode_hex(platform->fmspc) : "intel-tdx";
}

class Taking {
 public:
  explicit Taking(Evidence& evidence) : evidence_(evidence) {}

  std::vector<VendorDocument> run() && {
    take_manifests();
    if (!evidence_.ocsp_answers.empty()) {
      SectionWriter sections(Texts::Plain);
      sections.add(Section::OcspAnswer, evidence_.ocsp_answers);
      if (add(DocumentKind::OcspAnswers, kOcspName, std::move(sections).take())) {
        evidence_.ocsp_answers.clear();
      }
    }
    if (evidence_.collateral) {
      SectionWriter sections(Texts::Plain);
      sections.add(*evidence_.collateral);
      if (add(DocumentKind::Collateral, collateral_name(evidence_), std::move(sections).take())) {
        evidence_.collateral.reset();
      }
    }
    for (const VendorDocument& document : out_) evidence_.documents.push_back(document.named);
    return std::move(out_);
  }

 private:
  /// All or none: a board's manifests are either held or named.
  void take_manifests() {
    if (evidence_.gpu_reports.empty()) return;
    for (Bytes& manifest : evidence_.gpu_manifests) {
      std::string name = manifest_name(evidence_, manifest);
      add(DocumentKind::Manifest, std::move(name), std::move(manifest));
    }
    evidence_.gpu_manifests.clear();
  }

  bool add(DocumentKind kind, std::string name, Bytes bytes) {
    if (bytes.size() > kDocumentBytesMax) return false;
    const Digest digest = sha256(ByteSpan(bytes));
    out_.push_back({{kind, std::move(name), digest}, std::move(bytes)});
    return true;
  }

  Evidence& evidence_;
  std::vector<VendorDocument> out_;
};

/// False: no such document.
bool put(Evidence& evidence, DocumentKind kind, const Bytes& bytes) {
  SectionReader reader(bytes, Texts::Plain);
  switch (kind) {
    case DocumentKind::Manifest:
      if (bytes.size() > kRimBytesMax) return false;
      evidence.gpu_manifests.push_back(bytes);
      return true;
    case DocumentKind::OcspAnswers: {
      std::vector<Bytes> answers;
      reader.take(Section::OcspAnswer, kOcspCountMax, kOcspBytesMax, answers);
      if (!reader.ok() || !reader.at_end() || answers.empty()) return false;
      evidence.ocsp_answers = std::move(answers);
      return true;
    }
    case DocumentKind::Collateral: {
      Collateral collateral = reader.take_collateral();
      if (!reader.ok() || !reader.at_end()) return false;
      evidence.collateral = std::move(collateral);
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<VendorDocument> take_documents(Evidence& evidence) {
  return Taking(evidence).run();
}

void put_documents(Evidence& evidence, const FindDocument& find) {
  std::erase_if(evidence.documents, [&](const NamedDocument& document) {
    const Bytes* bytes = find(document.sha256);
    return bytes != nullptr && sha256(ByteSpan(*bytes)) == document.sha256 &&
           put(evidence, document.kind, *bytes);
  });
}

}  // namespace nostril::attestation
