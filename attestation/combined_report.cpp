#include "attestation/combined_report.h"

#include "attestation/acceptance.h"
#include "attestation/app_identity.h"
#include "attestation/checklist.h"
#include "attestation/intel_examine.h"
#include "attestation/report_form.h"
#include "attestation/tdx_quote.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "base/json.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::ptrdiff_t kGpuNonceBytes = 32;

bool equal_text(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&lower](char x, char y) { return lower(x) == lower(y); });
}

/// The collateral of the quote's platform; the first when none is, so that the verdict says what is
/// wrong with it. Not trusted: the verifier compares FMSPCs again.
const Collateral* collateral_for(const TdxQuoteView& quote,
                                 std::span<const Collateral> collateral) {
  if (collateral.empty()) return nullptr;
  const auto chain = parse_pem_chain(quote.pck_chain);
  const auto platform = chain && !chain->empty() ? sgx_extension(chain->front()) : std::nullopt;
  if (!platform) return collateral.data();
  const std::string fmspc = encode_hex(platform->fmspc);
  const auto found =
      std::find_if(collateral.begin(), collateral.end(), [&fmspc](const Collateral& item) {
        const auto info = Json::parse(item.tcb_info);
        return info && equal_text(info->find_string("fmspc").value_or(""), fmspc);
      });
  return found == collateral.end() ? collateral.data() : &*found;
}

/// The checks of conclude(), which is called once, when all that a machine has is looked at.
void drop_conclusion(Verdict& verdict) {
  static constexpr std::array<std::string_view, 5> kNames = {"compose", "machines", "denied",
                                                             "level", "open_registers"};
  std::erase_if(verdict.checks, [](const Check& check) {
    return std::find(kNames.begin(), kNames.end(), check.name) != kNames.end();
  });
}

/// One machine.
class PartExamination {
 public:
  PartExamination(const ReportPart& part, const ReportInput& input)
      : part_(part), input_(input), policy_(input.policy) {}

  Verdict run() {
    if (part_.is_snp) {
      examine_snp();
    } else {
      verdict_ = examine_quote(part_.evidence, report_data_);
    }
    drop_conclusion(verdict_);
    check_binding(verdict_, part_.binding, report_data_);
    check_nonce(verdict_, part_.binding);
    check_peer();
    check_equalities();
    verdict_.claims.insert(verdict_.claims.end(), part_.claims.begin(), part_.claims.end());
    if (part_.app) check_app(*part_.app);
    check_gpus();
    if (part_.post_boot) check_post_boot(*part_.post_boot);
    Checklist checks(verdict_.checks);
    if (!part_.app) list_open_registers(checks, policy_.tdx.level_min);
    list_acceptance_checks(checks, policy_.tdx.acceptance);
    conclude(verdict_, proven_level(), policy_.tdx.level_min, policy_.tdx.acceptance, input_.now);
    return std::move(verdict_);
  }

 private:
  /// Were everything else to pass. A known image that starts containers of nobody knows whom proves
  /// nothing of what runs.
  [[nodiscard]] Level proven_level() {
    const auto fixed =
        part_.is_snp ? fixed_registers(policy_.snp) : fixed_registers(policy_.tdx, verdict_);
    const auto& acceptance = policy_.tdx.acceptance;
    const bool app_known = part_.app
                               ? vouching(verdict_, acceptance, Subject::Compose, input_.now).enough
                               : record_open_registers(verdict_, fixed, acceptance, input_.now);
    const Check* measured = verdict_.find("measurements");
    const bool known = measured != nullptr && measured->status == CheckStatus::Passed;
    return known && app_known && gpus_measured_ && !verdict_.simulated ? Level::ImageMeasured
                                                                       : Level::Declared;
  }

  Verdict examine_quote(ByteSpan quote, std::optional<Bytes>& report_data) {
    const auto view = parse_tdx_quote(quote);
    const Collateral* collateral = view ? collateral_for(*view, input_.collateral) : nullptr;
    Verdict out = verify_intel_quote(quote, collateral, input_.roots, input_.now, policy_.tdx, {});
    if (view) {
      report_data.emplace(view->td.report_data.begin(), view->td.report_data.end());
    } else {
      // An enclave is no machine.
      Checklist(out.checks)
          .record("quote_format", false, std::string(to_string(view.error())), "a TDX quote");
    }
    return out;
  }

  void examine_snp() {
    SnpEvidence evidence;
    evidence.report = part_.evidence;
    const auto own = parse_pem_chain(part_.vek);
    if (!input_.vek.empty()) {
      evidence.certificates.vek.assign(input_.vek.begin(), input_.vek.end());
    } else if (own && own->size() == 1) {
      evidence.certificates.vek = own->front().der;
    }
    evidence.certificates.chain = input_.vek_chain;
    evidence.certificates.crl.assign(input_.crl.begin(), input_.crl.end());
    SnpPolicy policy = policy_.snp;
    policy.nonce.clear();
    verdict_ = verify_snp(evidence, input_.roots, input_.now, policy);
    if (const auto report = parse_snp_report(part_.evidence)) {
      report_data_.emplace(report->report_data.begin(), report->report_data.end());
      host_data_ = report->host_data;
    }
  }

  void check_binding(Verdict& verdict, const ReportBinding& binding,
                     const std::optional<Bytes>& report_data) const {
    Check& check = Checklist(verdict.checks).at("report_data");
    check.required = binding.names_keys || !policy_.allow_any_nonce;
    check.wanted = binding.rule;
    if (!report_data || !binding.start) return;
    const Bytes& start = *binding.start;
    const bool same = start.size() <= report_data->size() &&
                      std::equal(start.begin(), start.end(), report_data->begin());
    const bool same_copy = binding.copy.empty() || binding.copy == *report_data;
    check.status = same && same_copy ? CheckStatus::Passed : CheckStatus::Failed;
    check.found = encode_hex(*report_data);
    check.wanted = fmt::format("{}: {}{}", binding.rule, encode_hex(start),
                               same_copy ? "" : "; the report's own copy differs");
  }

  void check_nonce(Verdict& verdict, const ReportBinding& binding) const {
    Checklist checks(verdict.checks);
    checks.add("nonce", binding.takes_nonce && !policy_.allow_any_nonce, "report, nonce");
    if (input_.nonce.empty()) {
      checks.at("nonce").wanted = "the nonce that the report was asked for with";
      return;
    }
    const std::string found = binding.nonce ? encode_hex(*binding.nonce) : "a report without nonce";
    checks.record("nonce", found == encode_hex(input_.nonce), found, encode_hex(input_.nonce));
  }

  void check_peer() {
    const auto& bound = part_.binding.tls_spki;
    const bool here = part_.binding.faces_caller;
    Checklist checks(verdict_.checks);
    checks.add("peer_key", bound && here && !policy_.allow_any_peer, "report, TLS key");
    if (!here) return;
    if (input_.peer) {
      checks.record("peer_key", bound == input_.peer->spki_sha256,
                    bound ? encode_hex(*bound) : "the report binds no TLS key",
                    encode_hex(input_.peer->spki_sha256));
    } else if (bound) {
      checks.at("peer_key").wanted = "the key of the caller's connection";
    }
  }

  void check_equalities() {
    Checklist checks(verdict_.checks);
    for (const ReportPart::Equality& item : part_.equalities) {
      checks.add(item.check, true, item.source);
      checks.record(item.check, item.found == item.wanted, item.found, item.wanted);
    }
  }

  void check_app(const ReportApp& app) {
    Checklist checks(verdict_.checks);
    const AppEvidence evidence{app.log, app.compose, app.mr_config};
    const AppRules rules = app_rules(policy_.tdx, true);
    if (part_.is_snp) {
      list_snp_app_checks(checks, rules);
      if (host_data_) examine_snp_app(evidence, *host_data_, rules, verdict_);
      return;
    }
    list_app_checks(checks, rules);
    const AppRegisters registers = app_registers(verdict_, policy_.tdx.acceptance);
    if (report_data_) examine_app(evidence, registers, rules, verdict_);
  }

  void check_gpus() {
    if (!part_.lists_gpus) return;
    verdict_.claims.push_back(
        {"gpu_count", static_cast<std::int64_t>(part_.gpus.size()), "report, GPU evidence"});
    GpuPolicy policy = policy_.gpu;
    policy.nonce = part_.gpu_nonce;
    if (part_.gpu_nonce_is_binding && report_data_) {
      policy.nonce.assign(report_data_->begin(), report_data_->begin() + kGpuNonceBytes);
    }
    if (policy.nonce.empty()) policy.nonce.resize(kGpuNonceBytes);  // it fits nothing
    Checklist checks(verdict_.checks);
    list_gpu_checks(checks, policy, !part_.gpus.empty());
    if (part_.gpus.empty()) return;
    gpus_measured_ =
        examine_gpus({part_.gpus, input_.rims, input_.roots, input_.now, policy}, verdict_);
    record_simulated(verdict_, policy_.tdx.accept_simulated);
  }

  /// The second quote is of the same machine, and says which compose files were started since.
  void check_post_boot(const PostBoot& post) {
    std::optional<Bytes> report_data;
    Verdict second = examine_quote(post.quote, report_data);
    drop_conclusion(second);
    check_binding(second, post.binding, report_data);
    check_nonce(second, post.binding);
    Checklist checks(second.checks);
    checks.add("event_log", true, "event log of the second quote");
    checks.add("event_replay", true, "the same; its TD report, rtmr0 to rtmr3");
    checks.add("same_machine", true, "both quotes, PPID, mrtd, rtmr0 to rtmr3");
    checks.add("actions", true, "actions, as compact JSON");
    checks.record("event_log", post.log.has_value(),
                  post.log ? fmt::format("{} events", post.log->size())
                           : std::string(to_string(post.log.error())),
                  "every digest that of its event");
    if (post.log && report_data) {
      checks.record("event_replay", replay(*post.log) == second.measurements.rtmr,
                    "registers replayed", "the quote's registers");
    }
    const Measurements& a = verdict_.measurements;
    const Measurements& b = second.measurements;
    checks.record("same_machine",
                  !second.platform_id.ppid.empty() &&
                      second.platform_id.ppid == verdict_.platform_id.ppid && a.mrtd == b.mrtd &&
                      a.rtmr == b.rtmr,
                  second.platform_id.ppid, verdict_.platform_id.ppid);
    checks.record("actions", post.claimed_sha256 == encode_hex(post.actions_sha256),
                  encode_hex(post.actions_sha256), post.claimed_sha256);
    check_post_boot_files(post, checks);
    second.claims = {{"action_count", static_cast<std::int64_t>(post.action_count), "actions"},
                     {"files", post.files, "actions, file_sha256"}};
    merge(verdict_, second, "post_boot.");
  }

  /// Whoever lists what may run at the boot must list what may run after it.
  void check_post_boot_files(const PostBoot& post, Checklist& checks) const {
    const auto& listed = policy_.tdx.app.post_boot_files;
    const bool required = !listed.empty() || demands(policy_.tdx.acceptance, Subject::Compose);
    checks.add("files", required, "actions, file_sha256");
    if (!required) return;
    std::vector<std::string> strange;
    for (const std::string& file : post.files) {
      const auto digest = from_hex<Digest>(file);
      if (digest && std::find(listed.begin(), listed.end(), *digest) != listed.end()) continue;
      strange.push_back(file.empty() ? "a file without digest" : file);
    }
    checks.record("files", strange.empty(), fmt::format("{}", fmt::join(strange, ", ")),
                  "compose files in the policy's list");
  }

 public:
  /// Adds a part's findings under its name.
  static void merge(Verdict& whole, Verdict& part, std::string_view prefix) {
    whole.simulated |= part.simulated;
    whole.limit(part.holds_until);
    for (Check& check : part.checks) {
      check.name.insert(0, prefix);
      whole.checks.push_back(std::move(check));
    }
    for (Claim& claim : part.claims) {
      claim.name.insert(0, prefix);
      whole.claims.push_back(std::move(claim));
    }
  }

 private:
  const ReportPart& part_;
  const ReportInput& input_;
  const ReportPolicy& policy_;
  Verdict verdict_;
  std::optional<Bytes> report_data_;
  std::optional<std::array<std::uint8_t, 32>> host_data_;
  bool gpus_measured_ = true;
};

/// What the verdict says of the machine itself, of several: the first, and the worst patch level.
void take_platform(Verdict& whole, const Verdict& part) {
  if (whole.platform.empty()) {
    whole.platform = part.platform;
    whole.measurements = part.measurements;
    whole.platform_id = part.platform_id;
  }
  if (whole.tcb_status.empty() || whole.tcb_status == "UpToDate") {
    whole.tcb_status = part.tcb_status;
  }
  whole.identities.insert(whole.identities.end(), part.identities.begin(), part.identities.end());
  for (const std::string& advisory : part.advisories) {
    auto& all = whole.advisories;
    if (std::find(all.begin(), all.end(), advisory) == all.end()) all.push_back(advisory);
  }
}

}  // namespace

Verdict verify_report(const ReportInput& input) {
  Verdict whole;
  Checklist checks(whole.checks);
  checks.add("report_format", true, "report");
  const auto report = parse_report(input.report, input.nonce);
  checks.record("report_format", report.has_value(),
                std::string(report ? report->form : to_string(report.error())),
                "near, phala, tinfoil, chutes, dstack or ra-tls");
  if (!report) return whole;
  whole.claims.push_back({"form", report->form, "report"});
  Level level = Level::ImageMeasured;
  for (const ReportPart& part : report->parts) {
    PartExamination examination(part, input);
    Verdict verdict = examination.run();
    level = std::min(level, verdict.level);
    take_platform(whole, verdict);
    PartExamination::merge(whole, verdict, part.name.empty() ? "" : part.name + ".");
  }
  whole.accepted = checks.accepts();
  whole.level = whole.accepted ? level : Level::None;
  return whole;
}

}  // namespace nostril::attestation
