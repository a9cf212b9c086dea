#include "attestation/verify.h"

#include "attestation/app_identity.h"
#include "attestation/checklist.h"
#include "attestation/intel_examine.h"
#include "attestation/model_manifest.h"
#include "attestation/snp_report.h"
#include "attestation/tee_tag.h"
#include "attestation/verity.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::size_t kReportDataBytes = 64;

/// One run of the verifier. Steps go from cheap and binding to costly; what a failed step makes
/// impossible stays NotChecked, which refuses as surely.
class Examination {
 public:
  Examination(const Evidence& evidence, const Statement& expected, const TrustRoots& roots,
              UnixTime now, const Policy& policy)
      : evidence_(evidence),
        expected_(expected),
        roots_(roots),
        now_(now),
        policy_(policy),
        snp_(is_snp_kind(evidence.kind)),
        snp_policy_(snp_policy(policy, expected)),
        gpu_policy_(gpu_policy(policy, expected)),
        app_rules_(app_rules(policy, evidence.app.has_value())),
        checks_(verdict_.checks) {
    verdict_.statement = expected;
    list_checks();
  }

  Verdict run() && {
    examine();
    conclude();
    return std::move(verdict_);
  }

 private:
  /// All of report_data is what the statement makes it.
  static SnpPolicy snp_policy(const Policy& policy, const Statement& expected) {
    SnpPolicy out = policy.snp;
    out.accept_simulated = policy.accept_simulated;
    out.level_min = policy.level_min;
    out.acceptance = policy.acceptance;
    const auto wanted = report_data(expected);
    out.nonce.assign(wanted.begin(), wanted.end());
    return out;
  }

  /// What each GPU was asked to sign binds it to this node.
  static GpuPolicy gpu_policy(const Policy& policy, const Statement& expected) {
    GpuPolicy out = policy.gpu;
    out.accept_simulated = policy.accept_simulated;
    const Digest nonce = gpu_nonce(expected.nonce, expected.node);
    out.nonce.assign(nonce.bytes.begin(), nonce.bytes.end());
    return out;
  }

  void list_checks() {
    checks_.add("kind", true, "evidence, kind; root");
    checks_.add("size", true, "evidence");
    if (!evidence_.documents.empty()) checks_.add("documents", true, "evidence, named documents");
    for (const char* name : {"node_key", "encryption_key", "encryption_key_expiry", "tls_key",
                             "gpu_evidence", "model_manifest", "nonce"}) {
      checks_.add(name, true, "evidence, statement");
    }
    if (!policy_.offered_tee.empty()) checks_.add("tee", true, "offer, T; kind, GPU certificates");
    list_gpu_checks(checks_, gpu_policy_, !evidence_.gpu_reports.empty(),
                    !evidence_.switch_reports.empty());
    if (snp_) {
      list_snp_checks(checks_, snp_policy_);
    } else {
      list_intel_checks(checks_, policy_, true, IntelTee::Tdx);
    }
    if (app_rules_.needs_log()) {
      snp_ ? list_snp_app_checks(checks_, app_rules_) : list_app_checks(checks_, app_rules_);
    }
    if (!evidence_.app) list_open_registers(checks_, policy_.level_min);
    checks_.add("freshness", policy_.acceptance.require_beacon, "statement, nonce");
    checks_.add("model",
                !policy_.allowed_model_manifests.empty() ||
                    policy_.level_min >= Level::WeightsMeasured ||
                    demands(policy_.acceptance, Subject::Weights),
                "statement, model manifest");
    checks_.add("manifest", false, "model manifest's text; statement");
    list_acceptance_checks(checks_, policy_.acceptance);
  }

  bool record(std::string_view name, bool passed, std::string found, std::string wanted) {
    return checks_.record(name, passed, std::move(found), std::move(wanted));
  }

  void examine() {
    if (!check_size()) return;
    check_documents();
    check_statement();
    check_tee();
    check_gpus();
    check_model();
    check_manifest();
    if (snp_) {
      examine_report();
    } else {
      examine_quote();
    }
  }

  void examine_report() {
    const SnpEvidence report{evidence_.cpu_quote, evidence_.snp.value_or(SnpCertificates{})};
    check_kind(examine_snp(report, roots_, now_, snp_policy_, verdict_));
    const auto parsed = parse_snp_report(evidence_.cpu_quote);
    if (!evidence_.app || !parsed) return;
    examine_snp_app(app_evidence(*evidence_.app), parsed->host_data, app_rules_, verdict_);
  }

  void examine_quote() {
    const auto quote = examine_tdx_format(evidence_.cpu_quote, checks_);
    if (!quote) {
      check_kind(std::nullopt);
      return;
    }
    checks_.compare("report_data", quote->td.report_data, report_data(expected_));
    verdict_.simulated |= evidence_.kind == kKindSimulatedTdx;
    const IntelInput input{evidence_.collateral ? &*evidence_.collateral : nullptr, roots_, now_,
                           policy_};
    check_kind(examine_tdx(*quote, input, verdict_));
    if (!evidence_.app) return;
    examine_app(app_evidence(*evidence_.app), app_registers(verdict_, policy_.acceptance),
                app_rules_, verdict_);
  }

  static AppEvidence app_evidence(const AppDocuments& app) {
    return {parse_event_log(app.event_log), app.compose, app.mr_config};
  }

  bool check_size() {
    return record("size", within_limits(evidence_),
                  fmt::format("quote of {} bytes, {} GPU reports", evidence_.cpu_quote.size(),
                              evidence_.gpu_reports.size()),
                  "within the limits");
  }

  /// Those that the evidence only names must have been put into it; what is left is not at hand.
  void check_documents() {
    if (evidence_.documents.empty()) return;
    std::string missing;
    for (const NamedDocument& document : evidence_.documents) {
      missing += fmt::format("{}{} (SHA-256 {})", missing.empty() ? "" : ", ", document.name,
                             encode_hex(document.sha256));
    }
    record("documents", false, "not at hand: " + missing,
           "every vendor's document that the evidence names, with that SHA-256");
  }

  /// The node's claims against what the caller expects, field by field: the hash alone would not
  /// say which one differs.
  void check_statement() {
    const Statement& claimed = evidence_.statement;
    checks_.compare("node_key", claimed.node.bytes, expected_.node.bytes);
    checks_.compare("encryption_key", claimed.encryption_key.bytes, expected_.encryption_key.bytes);
    checks_.compare("tls_key", claimed.tls_spki.bytes, expected_.tls_spki.bytes);
    checks_.compare("model_manifest", claimed.model_manifest.bytes, expected_.model_manifest.bytes);
    const Nonce wanted = policy_.required_nonce.value_or(expected_.nonce);
    record("nonce", claimed.nonce == wanted && expected_.nonce == wanted, encode_hex(claimed.nonce),
           encode_hex(wanted));

    record_freshness(verdict_, claimed.nonce, policy_.required_nonce.has_value(),
                     policy_.acceptance, now_);

    const UnixTime expiry = expected_.encryption_key_expires_at;
    verdict_.limit(expiry);
    const bool alive =
        now_ >= 0 && now_ <= expiry && expiry - now_ <= policy_.encryption_key_life_s_max;
    record("encryption_key_expiry", alive && claimed.encryption_key_expires_at == expiry,
           fmt::format("{}", claimed.encryption_key_expires_at),
           fmt::format("{}, from now {} on, at most {} s ahead", expiry, now_,
                       policy_.encryption_key_life_s_max));
  }

  /// Who filters offers by what they say of themselves must not be lied to.
  void check_tee() {
    if (policy_.offered_tee.empty()) return;
    record("tee", shows_tee(evidence_, policy_.offered_tee), policy_.offered_tee,
           tee_tag(evidence_) + ", or less");
  }

  /// The text that a node hands over beside the digest that its quote commits to.
  void check_manifest() {
    if (evidence_.manifest.empty()) return;
    if (is_verity_text(evidence_.manifest)) {
      check_verity();
      return;
    }
    const Digest digest = manifest_digest(evidence_.manifest);
    const auto manifest = parse_manifest(evidence_.manifest);
    record("manifest", manifest && digest == expected_.model_manifest,
           manifest ? encode_hex(digest) : "malformed", encode_hex(expected_.model_manifest));
    if (!manifest) return;
    std::uint64_t bytes = 0;
    for (const ManifestFile& file : manifest->files) bytes += file.bytes;
    verdict_.claims.push_back(
        {"manifest.files", static_cast<std::int64_t>(manifest->files.size()), "model manifest"});
    verdict_.claims.push_back(
        {"manifest.bytes", static_cast<std::int64_t>(bytes), "model manifest"});
  }

  /// The same of a dm-verity device.
  void check_verity() {
    const Digest digest = verity_digest(evidence_.manifest);
    const auto device = parse_verity(evidence_.manifest);
    record("manifest", device && digest == expected_.model_manifest,
           device ? encode_hex(digest) : "malformed", encode_hex(expected_.model_manifest));
    if (!device) return;
    verdict_.claims.push_back({"verity.root", encode_hex(device->root), "dm-verity device"});
    verdict_.claims.push_back(
        {"verity.bytes", static_cast<std::int64_t>(device->data_blocks * device->data_block_bytes),
         "dm-verity device"});
  }

  void check_model() {
    const auto& models = policy_.allowed_model_manifests;
    const Digest& model = expected_.model_manifest;
    const bool stated = model != Digest{};
    if (stated) verdict_.identities.push_back({"weights", encode_hex(model)});
    record_known(verdict_, "model", Subject::Weights, stated ? encode_hex(model) : "not stated",
                 std::find(models.begin(), models.end(), model) != models.end(),
                 !models.empty() || policy_.level_min >= Level::WeightsMeasured, policy_.acceptance,
                 now_);
  }

  void check_gpus() {
    const std::vector<ByteSpan> reports(evidence_.gpu_reports.begin(), evidence_.gpu_reports.end());
    const std::vector<ByteSpan> switches(evidence_.switch_reports.begin(),
                                         evidence_.switch_reports.end());
    const Digest digest = gpu_evidence_digest(reports, switches);
    const bool claimed = evidence_.statement.gpu_evidence == expected_.gpu_evidence;
    record("gpu_evidence", claimed && digest == expected_.gpu_evidence, encode_hex(digest),
           encode_hex(expected_.gpu_evidence));

    if (reports.empty()) return;
    const auto gpus = paired(evidence_.gpu_reports, evidence_.gpu_chains);
    const auto between = paired(evidence_.switch_reports, evidence_.switch_chains);
    examine_gpus(
        {gpus, evidence_.gpu_manifests, roots_, now_, gpu_policy_, evidence_.ocsp_answers, between},
        verdict_);
  }

  /// A report without a chain has an empty one, which is refused.
  static std::vector<GpuEvidence> paired(const std::vector<Bytes>& reports,
                                         const std::vector<Bytes>& chains) {
    std::vector<GpuEvidence> out;
    for (std::size_t i = 0; i < reports.size(); ++i) {
      out.push_back({reports[i], i < chains.size() ? chains[i] : Bytes()});
    }
    return out;
  }

  /// The node's word for it must be the root's.
  void check_kind(std::optional<TrustRoots::Class> root_class) {
    const bool known = snp_ || evidence_.kind == kKindTdx || evidence_.kind == kKindSimulatedTdx;
    if (!root_class && known) return;  // nothing to compare with; the chain refuses
    const bool test = root_class == TrustRoots::Class::Test;
    const auto genuine = snp_ ? kKindSnp : kKindTdx;
    const auto simulated = snp_ ? kKindSimulatedSnp : kKindSimulatedTdx;
    const auto wanted = test ? simulated : genuine;
    record("kind", known && evidence_.kind == wanted, known ? evidence_.kind : "unknown kind",
           std::string(wanted));
  }

  void conclude() {
    verdict_.simulated |=
        evidence_.kind == kKindSimulatedTdx || evidence_.kind == kKindSimulatedSnp;
    const Level level = app_known() ? proven_level(verdict_, policy_.acceptance) : Level::Declared;
    attestation::conclude(verdict_, level, policy_.level_min, policy_.acceptance, now_);
  }

  /// A known image that starts containers of nobody knows whom proves nothing of what runs.
  [[nodiscard]] bool app_known() {
    if (evidence_.app) {
      return vouching(verdict_, policy_.acceptance, Subject::Compose, now_).enough;
    }
    return record_open_registers(
        verdict_, snp_ ? fixed_registers(snp_policy_) : fixed_registers(policy_, verdict_),
        policy_.acceptance, now_);
  }

  const Evidence& evidence_;
  const Statement& expected_;
  const TrustRoots& roots_;
  const UnixTime now_;
  const Policy& policy_;
  const bool snp_;
  const SnpPolicy snp_policy_;
  const GpuPolicy gpu_policy_;
  const AppRules app_rules_;
  Verdict verdict_;
  Checklist checks_;
};

}  // namespace

Verdict verify(const Evidence& evidence, const Statement& expected, const TrustRoots& roots,
               UnixTime now, const Policy& policy) {
  return Examination(evidence, expected, roots, now, policy).run();
}

bool carries_nonce(std::span<const std::uint8_t, 64> report_data, ByteSpan nonce) {
  const ByteSpan part = ByteSpan(report_data).last(std::min(nonce.size(), kReportDataBytes));
  return std::equal(part.begin(), part.end(), nonce.begin(), nonce.end());
}

namespace {

void record_nonce(Checklist& checks, std::span<const std::uint8_t, 64> report_data,
                  ByteSpan nonce) {
  if (nonce.empty()) return;
  checks.record("report_data", carries_nonce(report_data, nonce), encode_hex(report_data),
                "ends in " + encode_hex(nonce));
}

}  // namespace

Verdict verify_intel_quote(ByteSpan quote, const Collateral* collateral, const TrustRoots& roots,
                           UnixTime now, const Policy& policy, ByteSpan nonce) {
  Verdict verdict;
  Checklist checks(verdict.checks);
  const IntelTee tee = is_sgx_quote(quote) ? IntelTee::Sgx : IntelTee::Tdx;
  list_intel_checks(checks, policy, !nonce.empty(), tee);
  if (tee == IntelTee::Tdx) list_open_registers(checks, policy.level_min);
  list_acceptance_checks(checks, policy.acceptance);
  const IntelInput input{collateral, roots, now, policy};
  if (tee == IntelTee::Sgx) {
    if (const auto view = examine_sgx_format(quote, checks)) {
      record_nonce(checks, view->enclave.report_data, nonce);
      examine_sgx(*view, input, verdict);
    }
  } else if (const auto view = examine_tdx_format(quote, checks)) {
    record_nonce(checks, view->td.report_data, nonce);
    examine_tdx(*view, input, verdict);
  }
  const bool closed =
      tee == IntelTee::Sgx ||
      record_open_registers(verdict, fixed_registers(policy, verdict), policy.acceptance, now);
  const bool measured = closed && checks.passed("measurements") && !verdict.simulated;
  conclude(verdict, measured ? Level::ImageMeasured : Level::Declared, policy.level_min,
           policy.acceptance, now);
  return verdict;
}

}  // namespace nostril::attestation
