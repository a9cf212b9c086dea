#include "attestation/collateral_json.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"
#include "client/cli/node_evidence.h"

#include <CLI/CLI.hpp>
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

// ---- How it is asked for
// -------------------------------------------------------------------------

namespace {

void add_report_options(CLI::App& app, EvidenceOptions& options) {
  app.add_option("--html", options.html, "also write the verdict as a page without scripts");
  app.add_flag("--json", options.json, "the verdict as one JSON object");
  app.add_flag("--explain", options.explain, "every step with its value and its source");
}

void add_evidence_options(CLI::App& app, EvidenceOptions& options) {
  app.add_option("--now", options.now, "unix seconds in place of the clock");
  app.add_option("--policy", options.policy, "TOML file; `nostril verify policy` prints all keys");
  app.add_option(
         "--root", options.roots,
         "certificate (PEM or DER) in place of the built-in roots; marks the verdict; again "
         "for more")
      ->allow_extra_args(false);
  app.add_option("--nonce", options.nonce,
                 "hex: report_data must end in it; a GPU's report or token must be over it");
  add_report_options(app, options);
}

void add_verify_intel(CLI::App& verify_app, Options& o, Command& run) {
  auto* app =
      add_evidence_command(verify_app, "intel", "an Intel TDX or SGX quote", verify_intel, o, run);
  app->add_option("--quote", o.evidence.quote, "raw quote")->required();
  app->add_option("--collateral", o.evidence.collateral,
                  "JSON: TCB info, QE identity, CRLs, signatures, issuer chains");
}

void add_verify_snp(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "snp", "an AMD SEV-SNP report", verify_snp, o, run);
  app->add_option("--report", o.evidence.report, "raw report, 1184 bytes")->required();
  add_vek_options(*app, o.evidence, true);
}

void add_verify_offer(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = verify_app.add_subcommand(
      "offer",
      "a node's evidence as its relays have it; 0 accepted, 1 refused, 2 unusable, 3 accepted but "
      "simulated");
  add_client(*app, o.client, o.home);
  app->add_option("--node", o.evidence.node, "npub of the node")->required();
  app->add_option("-m,--model", o.evidence.model, "its newest offer's when not given");
  add_report_options(*app, o.evidence);
  app->callback([&] {
    run = [&o](Process& process) { return verify_offer(process, settings_of(o), o.evidence); };
  });
}

}  // namespace

void add_vek_options(CLI::App& app, EvidenceOptions& options, bool required) {
  app.add_option("--vcek", options.vcek, "certificate of the VCEK or VLEK, DER or PEM")
      ->required(required);
  app.add_option("--chain", options.chain, "PEM: ASK or ASVK, then ARK; else AMD's own");
  app.add_option("--crl", options.crl, "DER: CRL of the ARK");
}

void add_rim_option(CLI::App& app, EvidenceOptions& options) {
  app.add_option("--rim", options.rims,
                 "reference manifest (XML, or NVIDIA's JSON around it); once each");
}

CLI::App* add_evidence_command(CLI::App& verify_app, const char* name, const std::string& what,
                               EvidenceCommand command, Options& o, Command& run) {
  auto* app = verify_app.add_subcommand(name, what + "; 0 accepted, 1 refused, 2 unusable");
  add_evidence_options(*app, o.evidence);
  app->callback([&o, &run, command] {
    run = [&o, command](Process& process) { return command(process, o.evidence); };
  });
  return app;
}

void add_evidence(CLI::App& verify_app, Options& o, Command& run) {
  add_verify_intel(verify_app, o, run);
  add_verify_snp(verify_app, o, run);
  add_verify_gpu(verify_app, o, run);
  add_verify_offer(verify_app, o, run);
  add_verify_report(verify_app, o, run);
  add_verify_nras(verify_app, o, run);
  add_verify_manifest(verify_app, o, run);
  auto* policy = verify_app.add_subcommand("policy", "print a policy file with all defaults");
  policy->callback([&] { run = [](Process&) { return print_policy(); }; });
}

}  // namespace nostril::client::cli
