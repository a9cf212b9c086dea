#include "attestation/collateral_json.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"
#include "client/cli/node_evidence.h"

#include <fmt/format.h>

#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr int kSimulated = 3;

Judged intel_verdict(std::int64_t now_s, const EvidenceOptions& options) {
  const VerifyPolicy policy = read_policy(options, now_s);
  const auto roots = roots_of(options, attestation::TrustRoots::intel);
  const Bytes quote = read_bytes(options.quote);
  std::optional<attestation::Collateral> collateral;
  if (!options.collateral.empty()) {
    const Bytes text = read_bytes(options.collateral);
    const auto parsed = attestation::parse_collateral_json(as_text(text));
    if (!parsed) {
      throw std::runtime_error(options.collateral + ": " + std::string(to_string(parsed.error())));
    }
    collateral = *parsed;
  }
  return {attestation::verify_intel_quote(quote, collateral ? &*collateral : nullptr, roots, now_s,
                                          policy.tdx, read_nonce(options.nonce)),
          chains_of_quote(quote)};
}

Judged snp_verdict(std::int64_t now_s, const EvidenceOptions& options) {
  VerifyPolicy policy = read_policy(options, now_s);
  const auto roots = roots_of(options, attestation::TrustRoots::amd);
  attestation::SnpEvidence evidence;
  evidence.report = read_bytes(options.report);
  evidence.certificates.vek = read_certificate(options.vcek);
  if (!options.chain.empty()) evidence.certificates.chain = as_text(read_bytes(options.chain));
  if (!options.crl.empty()) evidence.certificates.crl = read_bytes(options.crl);
  policy.snp.nonce = read_nonce(options.nonce);
  return {attestation::verify_snp(evidence, roots, now_s, policy.snp), chains_of_snp(evidence)};
}

}  // namespace

int verify_intel(Process& process, const EvidenceOptions& options) {
  return judge_files(process, options, options.quote, intel_verdict);
}

int verify_snp(Process& process, const EvidenceOptions& options) {
  return judge_files(process, options, options.report, snp_verdict);
}

int verify_offer(Process& process, const ClientSettings& settings, const EvidenceOptions& options) {
  try {
    const JudgedOffer judged = judge_from_relays(process, settings, options.node, options.model);
    fmt::print(stderr, "offer    {} of {}\n", judged.offer.model, options.node);
    if (!judged.verdict) {
      fmt::print("REFUSED: {}\n", judged.reason);
      return kRefused;
    }
    const int status = report(*judged.verdict, options,
                              {judged.offer.model + " of " + options.node, settings.policy,
                               process.clock.unix_s(), judged.chains});
    return status == 0 && judged.verdict->simulated ? kSimulated : status;
  } catch (const std::exception& error) {
    return unusable(error);
  }
}

int print_policy() {
  fmt::print("{}", print_verify_policy());
  return 0;
}

}  // namespace nostril::client::cli
