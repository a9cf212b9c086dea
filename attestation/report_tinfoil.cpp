// Tinfoil's "attestation/v3".
#include "attestation/report_form.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <array>

namespace nostril::attestation {

namespace {

constexpr std::size_t kFieldBytes = 32;
constexpr std::size_t kReportDataBytes = 64;

/// Evidence that report_data commits to by the digest of its exact text.
struct HashedMember {
  std::string_view hash;    ///< member of "report_data"
  std::string_view member;  ///< member of the report
  std::string_view check;
};

constexpr std::array<HashedMember, 2> kHashed = {
    {{"gpu_evidence_hash", "gpu", "gpu_evidence_hash"},
     {"nvswitch_evidence_hash", "nvswitch", "nvswitch_evidence_hash"}}};

bool is_known(std::string_view name) {
  return name == "tls_key_fp" || name == "hpke_key" || name == "nonce" || name == kHashed[0].hash ||
         name == kHashed[1].hash;
}

/// Everything that is in "report_data", in the order in which it is hashed.
void read_binding(const Json& report, std::string_view text, ReportFields& fields,
                  ReportPart& part) {
  const Json* object = report.find("report_data");
  ReportFields data(object);
  Sha256 hash;
  const auto take = [&](std::string_view name) {
    Bytes bytes = data.hex(name);
    if (bytes.size() != kFieldBytes) data.fail(ReportError::BadEncoding);
    hash.update(ByteSpan(bytes));
    return bytes;
  };
  const Bytes tls = take("tls_key_fp");
  const Bytes hpke = take("hpke_key");
  part.binding.nonce = take("nonce");
  part.binding.tls_spki = Digest::from(tls);
  part.gpu_nonce = *part.binding.nonce;
  for (const HashedMember& hashed : kHashed) {
    const bool committed = data.find(hashed.hash) != nullptr;
    // Evidence that report_data does not commit to would be anybody's.
    if (!committed && report.find(hashed.member) == nullptr) continue;
    const auto raw = raw_member(text, hashed.member);
    part.equalities.push_back({std::string(hashed.check),
                               raw ? encode_hex(sha256(*raw)) : "no such evidence",
                               committed ? encode_hex(take(hashed.hash)) : "in report_data",
                               "report, exact text of \"" + std::string(hashed.member) + "\""});
  }
  // Another member may be part of a hash that is not known here.
  if (object != nullptr) {
    for (const auto& [name, value] : object->members()) {
      if (!is_known(name)) data.fail(ReportError::UnknownForm);
    }
  }
  const Digest digest = hash.finish();
  Bytes start(digest.bytes.begin(), digest.bytes.end());
  start.resize(kReportDataBytes);
  part.binding.start = std::move(start);
  part.binding.rule = "SHA-256(TLS key, HPKE key, nonce, evidence hashes), zeros";
  part.claims.push_back({"tls_spki_sha256", encode_hex(tls), "report, bound by report_data"});
  part.claims.push_back({"hpke_key", encode_hex(hpke), "report, bound by report_data"});
  if (data.error()) fields.fail(*data.error());
}

}  // namespace

Result<ParsedReport, ReportError> parse_tinfoil_report(const Json& report, std::string_view text) {
  ReportFields fields(&report);
  ReportPart part;
  read_binding(report, text, fields, part);
  ReportFields cpu(report.find("cpu"));
  const std::string_view platform = cpu.text("platform");
  part.is_snp = platform == "sev-snp";
  if (!part.is_snp && platform != "tdx") cpu.fail(ReportError::UnknownForm);
  part.evidence = cpu.base64("report");
  if (cpu.error()) fields.fail(*cpu.error());
  if (const Json* gpu = report.find("gpu")) {
    part.lists_gpus = true;
    ReportFields gpus(gpu);
    part.gpus = read_gpus(gpus.array("evidences"), fields);
    if (gpus.error()) fields.fail(*gpus.error());
  }
  if (fields.error()) return failure(*fields.error());
  ParsedReport out{"tinfoil", {}};
  out.parts.push_back(std::move(part));
  return out;
}

}  // namespace nostril::attestation
