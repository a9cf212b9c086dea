// Chutes: one instance of /chutes/{id}/evidence with its key of /e2e/instances.
#include "attestation/report_form.h"
#include "base/hex.h"
#include "schnorr/hash.h"

namespace nostril::attestation {

Result<ParsedReport, ReportError> parse_chutes_report(const Json& report, ByteSpan nonce) {
  ReportFields fields(&report);
  ReportFields evidence(report.find("evidence"));
  ReportPart part;
  const std::string_view key = fields.text("e2e_pubkey");
  part.evidence = evidence.base64("quote");
  part.lists_gpus = true;
  part.gpus = read_gpus(evidence.array("gpu_evidence"), evidence);
  part.gpu_nonce_is_binding = true;
  part.binding.rule = "begins with SHA-256(nonce as hex text, e2e_pubkey)";
  // The answer does not repeat the nonce: only who asked can tell.
  if (!nonce.empty()) {
    const Digest digest = Sha256().update(encode_hex(nonce)).update(key).finish();
    part.binding.start.emplace(digest.bytes.begin(), digest.bytes.end());
    part.binding.nonce.emplace(nonce.begin(), nonce.end());
  }
  part.claims.push_back(
      {"e2e_pubkey_sha256", encode_hex(sha256(key)), "report, bound by report_data"});
  part.equalities.push_back({"instance_id", std::string(evidence.text("instance_id")),
                             std::string(fields.text("instance_id")), "report, instance_id"});
  if (const auto error = evidence.error()) fields.fail(*error);
  if (fields.error()) return failure(*fields.error());
  ParsedReport out{"chutes", {}};
  out.parts.push_back(std::move(part));
  return out;
}

}  // namespace nostril::attestation
