#include "node/event_evidence.h"

#include "attestation/pack.h"
#include "attestation/tee_tag.h"
#include "base/bytes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace nostril::node {

namespace {

/// A part of the evidence and how an operator makes it smaller.
struct Part {
  std::string_view name;
  std::string_view remedy;
  Bytes bytes;
  std::size_t packed_bytes = 0;
};

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

Bytes bytes_of(std::string_view text) {
  const ByteSpan bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

Bytes joined(const attestation::Collateral& collateral) {
  Bytes out = bytes_of(collateral.tcb_info + collateral.tcb_info_issuer_chain +
                       collateral.qe_identity + collateral.qe_identity_issuer_chain);
  out.insert(out.end(), collateral.root_ca_crl.begin(), collateral.root_ca_crl.end());
  out.insert(out.end(), collateral.pck_crl.begin(), collateral.pck_crl.end());
  return out;
}

std::vector<Part> parts_of(const attestation::Evidence& evidence) {
  constexpr std::string_view kNone = "it can't be made smaller";
  const attestation::AppDocuments app = evidence.app.value_or(attestation::AppDocuments{});
  Bytes cpu = evidence.cpu_quote;
  if (evidence.snp) {
    cpu.insert(cpu.end(), evidence.snp->vek.begin(), evidence.snp->vek.end());
    cpu.insert(cpu.end(), evidence.snp->crl.begin(), evidence.snp->crl.end());
  }
  std::vector<Part> out = {
      {"quote or report of the processor", kNone, std::move(cpu)},
      {"Intel's collateral", kNone, evidence.collateral ? joined(*evidence.collateral) : Bytes{}},
      {"compose text", "make app-compose.json shorter: long scripts belong into an image",
       bytes_of(app.compose)},
      {"event log", "emit fewer or shorter events after the boot", bytes_of(app.event_log)},
      {"model manifest",
       "fewer files: weights_folder may hold what the engine does not read (other formats, "
       "original/); or name weight_files",
       bytes_of(evidence.manifest)},
      {"reports and certificates of GPUs and NVSwitches", kNone,
       joined({joined(evidence.gpu_reports), joined(evidence.gpu_chains),
               joined(evidence.switch_reports), joined(evidence.switch_chains)})},
      {"reference manifests", kNone, joined(evidence.gpu_manifests)},
      {"OCSP answers", "collateral.nvidia_ocsp_url = \"\" leaves them out",
       joined(evidence.ocsp_answers)},
  };
  std::erase_if(out, [](const Part& part) { return part.bytes.empty(); });
  for (Part& part : out) part.packed_bytes = attestation::pack_bytes(part.bytes).size();
  std::ranges::sort(out, std::ranges::greater(), &Part::packed_bytes);
  return out;
}

}  // namespace

EventEvidence evidence_for_event(const attestation::Evidence& evidence) {
  EventEvidence whole{evidence, attestation::pack_evidence(evidence), {}};
  if (whole.packed.size() <= kWholeEvidenceBytesMax) return whole;
  EventEvidence out{evidence, {}, {}};
  out.documents = attestation::take_documents(out.evidence);
  const bool fit = std::ranges::all_of(out.documents, [](const auto& document) {
    return attestation::pack_bytes(document.bytes).size() <= InferenceLimits::kEvidenceBytesMax;
  });
  if (out.documents.empty() || !fit) return whole;
  out.packed = attestation::pack_evidence(out.evidence);
  return out;
}

AttestationEvent attestation_event(const EventEvidence& made, std::int64_t created_at) {
  const attestation::Statement& statement = made.evidence.statement;
  AttestationEvent out;
  out.node = statement.node;
  out.created_at = created_at;
  out.digest = attestation::statement_digest(statement);
  out.encryption_key = statement.encryption_key;
  out.encryption_key_expires_at = statement.encryption_key_expires_at;
  out.tls_spki = statement.tls_spki;
  out.gpu_evidence = statement.gpu_evidence;
  out.model_manifest = statement.model_manifest;
  out.nonce.bytes = statement.nonce;
  out.tee = attestation::tee_tag(made.evidence);
  out.expires_at = statement.encryption_key_expires_at;
  out.evidence = made.packed;
  return out;
}

std::optional<std::string> too_large(const attestation::Evidence& evidence,
                                     std::size_t packed_bytes, std::size_t bytes_max) {
  if (packed_bytes <= bytes_max) return std::nullopt;
  const std::vector<Part> parts = parts_of(evidence);
  std::vector<std::string> sizes;
  sizes.reserve(parts.size());
  for (const Part& part : parts) {
    sizes.push_back(
        fmt::format("{} {} ({} packed)", part.name, part.bytes.size(), part.packed_bytes));
  }
  return fmt::format("the evidence packs to {} bytes, and an event holds {}: {}. To do: {}",
                     packed_bytes, bytes_max, fmt::join(sizes, ", "), parts.front().remedy);
}

}  // namespace nostril::node
