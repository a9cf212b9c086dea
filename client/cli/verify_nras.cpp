#include "attestation/nras.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"

#include <CLI/CLI.hpp>

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

void add_verify_nras(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "nras", "tokens of NVIDIA's attestation service",
                                   verify_nras, o, run);
  app->add_option("--token", o.evidence.token, "JSON: the service's whole answer")->required();
  app->add_option("--jwks", o.evidence.key_set, "JSON: the service's key set of that time")
      ->required();
}

}  // namespace nostril::client::cli
