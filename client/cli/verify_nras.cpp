#include "attestation/nras.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"

namespace nostril::client::cli {

namespace {

Judged nras_verdict(std::int64_t now_s, const EvidenceOptions& options) {
  VerifyPolicy policy = read_policy(options, now_s);
  policy.nras.nonce = read_nonce(options.nonce);
  const auto roots = roots_of(options, attestation::TrustRoots::nvidia_service);
  attestation::NrasEvidence evidence;
  evidence.response = as_text(read_bytes(options.token));
  evidence.key_set = as_text(read_bytes(options.key_set));
  return {attestation::verify_nras(evidence, roots, now_s, policy.nras), chains_of_nras(evidence)};
}

}  // namespace

int verify_nras(Process& process, const EvidenceOptions& options) {
  return judge_files(process, options, options.token, nras_verdict);
}

}  // namespace nostril::client::cli
