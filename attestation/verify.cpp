#include "attestation/verify.h"

#include "attestation/collateral.h"
#include "attestation/tdx_quote.h"
#include "attestation/tdx_verify.h"
#include "base/check.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::uint64_t kAttributeUntrustedMask = 0xff;  // bits 0..7: debug and reserved
constexpr std::uint64_t kAttributeSeptVeDisable = 1ULL << 28U;
constexpr std::uint64_t kAttributeMigratable = 1ULL << 29U;
constexpr std::uint8_t kEnclaveDebug = 0x02;
constexpr std::size_t kGpuNonceOffset = 4;  // in the SPDM GET_MEASUREMENTS request

std::string_view name_of(TrustRoots::Class root_class) {
  return root_class == TrustRoots::Class::Test ? kTestRootName : "Intel SGX Root CA";
}

std::string describe(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

/// One run of the verifier. Steps go from cheap and binding to costly; what a failed step makes
/// impossible stays NotChecked, which refuses as surely.
class Examination {
 public:
  Examination(const Evidence& evidence, const Statement& expected, const TrustRoots& roots,
              UnixTime now, const Policy& policy)
      : evidence_(evidence), expected_(expected), roots_(roots), now_(now), policy_(policy) {
    verdict_.statement = expected;
    list_checks();
  }

  Verdict run() && {
    examine();
    conclude();
    return std::move(verdict_);
  }

 private:
  void list_checks() {
    const bool tcb = !policy_.allow_unchecked_tcb;
    for (const auto& [name, required] : std::initializer_list<std::pair<const char*, bool>>{
             {"kind", true},
             {"size", true},
             {"node_key", true},
             {"encryption_key", true},
             {"encryption_key_expiry", true},
             {"tls_key", true},
             {"gpu_evidence", true},
             {"model_manifest", true},
             {"nonce", true},
             {"gpu_nonce", true},
             {"quote_format", true},
             {"report_data", true},
             {"simulated", true},
             {"pck_chain", true},
             {"platform", true},
             {"qe_signer", true},
             {"qe_report_signature", true},
             {"qe_report_data", true},
             {"quote_signature", true},
             {"tcb_info", tcb},
             {"qe_identity", tcb},
             {"revocation", tcb},
             {"tcb", tcb},
             {"tdx_module", true},
             {"debug", true},
             {"sept_ve_disable", true},
             {"migratable", true},
             {"service_td", true},
             {"measurements", !policy_.allowed_measurements.empty()},
             {"model", !policy_.allowed_model_manifests.empty()},
             {"gpu_signatures", !policy_.allow_unchecked_gpu},
             {"level", true},
         }) {
      verdict_.checks.push_back({name, CheckStatus::NotChecked, required, {}, {}});
    }
  }

  Check& at(std::string_view name) {
    const auto found = std::find_if(verdict_.checks.begin(), verdict_.checks.end(),
                                    [name](const Check& check) { return check.name == name; });
    CHECK(found != verdict_.checks.end());
    return *found;
  }

  bool record(std::string_view name, bool passed, std::string found, std::string wanted) {
    Check& check = at(name);
    check.status = passed ? CheckStatus::Passed : CheckStatus::Failed;
    check.found = std::move(found);
    check.wanted = std::move(wanted);
    return passed;
  }

  void examine() {
    if (!check_size()) return;
    check_statement();
    check_gpus();
    const auto quote = parse_tdx_quote(evidence_.cpu_quote);
    if (!record("quote_format", quote.has_value(),
                std::string(quote ? "TDX quote" : to_string(quote.error())), "a TDX quote")) {
      check_kind(std::nullopt);
      return;
    }
    verdict_.platform = "tdx";
    verdict_.measurements = quote->td.measurements;
    check_report_data(*quote);
    check_attributes(*quote);
    check_measurements(*quote);
    check_signatures(*quote);
  }

  bool check_size() {
    return record("size", within_limits(evidence_),
                  fmt::format("quote of {} bytes, {} GPU reports", evidence_.cpu_quote.size(),
                              evidence_.gpu_reports.size()),
                  "within the limits");
  }

  /// The node's claims against what the caller expects, field by field: the hash alone would not
  /// say which one differs.
  void check_statement() {
    const Statement& claimed = evidence_.statement;
    compare("node_key", claimed.node.bytes, expected_.node.bytes);
    compare("encryption_key", claimed.encryption_key.bytes, expected_.encryption_key.bytes);
    compare("tls_key", claimed.tls_spki.bytes, expected_.tls_spki.bytes);
    compare("model_manifest", claimed.model_manifest.bytes, expected_.model_manifest.bytes);
    const Nonce wanted = policy_.required_nonce.value_or(expected_.nonce);
    record("nonce", claimed.nonce == wanted && expected_.nonce == wanted, encode_hex(claimed.nonce),
           encode_hex(wanted));

    const UnixTime expiry = expected_.encryption_key_expires_at;
    const bool alive =
        now_ >= 0 && now_ <= expiry && expiry - now_ <= policy_.encryption_key_life_s_max;
    record("encryption_key_expiry", alive && claimed.encryption_key_expires_at == expiry,
           fmt::format("{}", claimed.encryption_key_expires_at),
           fmt::format("{}, from now {} on, at most {} s ahead", expiry, now_,
                       policy_.encryption_key_life_s_max));
  }

  void compare(std::string_view name, ByteSpan found, ByteSpan wanted) {
    record(name, std::equal(found.begin(), found.end(), wanted.begin(), wanted.end()),
           encode_hex(found), encode_hex(wanted));
  }

  void check_gpus() {
    std::vector<ByteSpan> reports(evidence_.gpu_reports.begin(), evidence_.gpu_reports.end());
    const Digest digest = gpu_evidence_digest(reports);
    const bool claimed = evidence_.statement.gpu_evidence == expected_.gpu_evidence;
    record("gpu_evidence", claimed && digest == expected_.gpu_evidence, encode_hex(digest),
           encode_hex(expected_.gpu_evidence));

    const Digest nonce = gpu_nonce(expected_.nonce, expected_.node);
    const auto carries_nonce = [&nonce](ByteSpan report) {
      return report.size() >= kGpuNonceOffset + nonce.bytes.size() &&
             std::equal(nonce.bytes.begin(), nonce.bytes.end(), report.begin() + kGpuNonceOffset);
    };
    record("gpu_nonce", std::all_of(reports.begin(), reports.end(), carries_nonce),
           fmt::format("{} GPU reports", reports.size()), encode_hex(nonce));

    const std::string wanted = "signatures and reference values of every GPU report";
    if (reports.empty()) {
      record("gpu_signatures", true, "no GPU report", wanted);
    } else {
      at("gpu_signatures").wanted = wanted;
    }
  }

  void check_report_data(const TdxQuoteView& quote) {
    compare("report_data", quote.td.report_data, report_data(expected_));
  }

  void check_attributes(const TdxQuoteView& quote) {
    const std::uint64_t bits = quote.td.td_attributes;
    const std::string found = fmt::format("TD attributes {:016x}", bits);
    const bool qe_debug = (quote.qe.attributes[0] & kEnclaveDebug) != 0;
    record("debug", (bits & kAttributeUntrustedMask) == 0 && !qe_debug,
           found + (qe_debug ? ", quoting enclave in debug mode" : ""), "no debug bit");
    record("sept_ve_disable", (bits & kAttributeSeptVeDisable) != 0, found, "bit 28 set");
    record("migratable", (bits & kAttributeMigratable) == 0 || policy_.allow_migratable, found,
           policy_.allow_migratable ? "any" : "bit 29 clear");
    record("tdx_module",
           quote.td.mrsignerseam == Measurement{} &&
               quote.td.seam_attributes == decltype(quote.td.seam_attributes){},
           "signer " + encode_hex(quote.td.mrsignerseam), "Intel's (all zero), no attributes");
    const Measurement& service = quote.td.measurements.mrservicetd;
    const auto& allowed = policy_.allowed_service_tds;
    const bool listed = std::find(allowed.begin(), allowed.end(), service) != allowed.end();
    record("service_td", service == Measurement{} || listed, encode_hex(service),
           "none, or one in the policy's list");
  }

  void check_measurements(const TdxQuoteView& quote) {
    const Measurements& found = quote.td.measurements;
    const auto matches = [&found](const AllowedMeasurements& allowed) {
      bool same = found.mrtd == allowed.mrtd &&
                  (!allowed.mrconfigid || *allowed.mrconfigid == found.mrconfigid);
      for (std::size_t i = 0; i < allowed.rtmr.size(); ++i) {
        same &= !allowed.rtmr.at(i) || *allowed.rtmr.at(i) == found.rtmr.at(i);
      }
      return same;
    };
    const auto& images = policy_.allowed_measurements;
    if (!images.empty()) {
      record("measurements", std::any_of(images.begin(), images.end(), matches),
             "MRTD " + encode_hex(found.mrtd), "an image in the policy's list");
    }
    const auto& models = policy_.allowed_model_manifests;
    if (!models.empty()) {
      const Digest& model = expected_.model_manifest;
      record("model", std::find(models.begin(), models.end(), model) != models.end(),
             encode_hex(model), "a manifest in the policy's list");
    }
  }

  void check_signatures(const TdxQuoteView& quote) {
    const auto chain = check_pck_chain(quote.pck_chain, roots_, now_);
    const auto root_class = chain ? std::optional(chain->root_class) : std::nullopt;
    check_simulated(quote, root_class);
    check_kind(root_class);
    record("pck_chain", chain.has_value(),
           std::string(chain ? name_of(chain->root_class) : to_string(chain.error())),
           "leaf, PCK CA and a trusted root, valid now");
    record("qe_report_data", check_qe_report_data(quote), "QE report data",
           "hash of the attestation key");
    record("quote_signature", check_quote_signature(quote), "quote signature",
           "by the attestation key");
    if (!chain) return;

    // Any enclave with provisioning rights gets a PCK signature: which one it is must be known even
    // without collateral.
    const ChainNames names = chain_names(chain->root_class);
    record("qe_signer", quote.qe.mrsigner == names.qe_signer, encode_hex(quote.qe.mrsigner),
           encode_hex(names.qe_signer));
    record("qe_report_signature", check_qe_report_signature(quote, chain->leaf()),
           "QE report signature", "by the PCK key");
    const auto platform = sgx_extension(chain->leaf());
    if (!check_platform(quote, *chain, platform)) return;
    if (evidence_.collateral) check_collateral(quote, *chain, *platform);
  }

  /// Anything that smells of the simulator is called simulated, trusted or not.
  void check_simulated(const TdxQuoteView& quote, std::optional<TrustRoots::Class> root_class) {
    verdict_.simulated = root_class == TrustRoots::Class::Test ||
                         quote.qe_vendor == kSimulatorQeVendor ||
                         evidence_.kind == kKindSimulatedTdx;
    record("simulated", !verdict_.simulated || policy_.accept_simulated,
           verdict_.simulated ? "simulated" : "not simulated",
           policy_.accept_simulated ? "any" : "not simulated");
  }

  /// The node's word for it must be the root's.
  void check_kind(std::optional<TrustRoots::Class> root_class) {
    const bool known = evidence_.kind == kKindTdx || evidence_.kind == kKindSimulatedTdx;
    if (!root_class && known) return;  // nothing to compare with; the chain refuses
    const bool test = root_class == TrustRoots::Class::Test;
    const auto wanted = test ? kKindSimulatedTdx : kKindTdx;
    record("kind", known && evidence_.kind == wanted, known ? evidence_.kind : "unknown kind",
           std::string(wanted));
  }

  /// Platform data of the PCK certificate; vendor id and FMSPC tell the simulator apart a second
  /// time, should a root ever be mistaken.
  bool check_platform(const TdxQuoteView& quote, const TrustedChain& chain,
                      const std::optional<SgxExtension>& platform) {
    if (!platform) {
      return record("platform", false, "malformed SGX extension", "a PCK certificate's");
    }
    verdict_.platform_id = {encode_hex(platform->fmspc), encode_hex(platform->ppid)};
    const bool test = chain.root_class == TrustRoots::Class::Test;
    const bool test_vendor = quote.qe_vendor == kSimulatorQeVendor;
    const bool test_fmspc = platform->fmspc == kSimulatorFmspc;
    return record("platform", test == test_vendor && test == test_fmspc,
                  fmt::format("FMSPC {}, QE vendor {}", verdict_.platform_id.fmspc,
                              encode_hex(quote.qe_vendor)),
                  test ? "the simulator's" : "a genuine platform's");
  }

  void check_collateral(const TdxQuoteView& quote, const TrustedChain& pck,
                        const SgxExtension& platform) {
    const Collateral& collateral = *evidence_.collateral;
    const auto tcb = check_tcb_info(collateral, roots_, pck.root(), now_);
    check_tcb_document(tcb);
    const auto qe = attestation::check_qe_identity(collateral, roots_, pck.root(), now_);
    const SvnLevel* qe_level = qe ? match_qe(qe->document, quote.qe) : nullptr;
    const std::string qe_found(qe ? "quoting enclave not known" : to_string(qe.error()));
    record("qe_identity", qe_level != nullptr,
           qe_level != nullptr ? std::string(to_string(qe_level->status)) : qe_found,
           "Intel's quoting enclave");
    if (!tcb || !qe) return;

    const auto revoked =
        check_revocation(collateral, pck, tcb->chain.leaf(), qe->chain.leaf(), now_);
    record("revocation", !revoked, std::string(revoked ? to_string(*revoked) : "not revoked"),
           "current CRLs of root and PCK CA");
    if (qe_level != nullptr) check_tcb(*tcb, platform, quote, *qe_level);
  }

  void check_tcb_document(const Result<Vouched<TcbInfo>, CollateralError>& tcb) {
    const std::uint32_t number = tcb ? tcb->document.evaluation_number : 0;
    record("tcb_info", tcb && number >= policy_.tcb_evaluation_number_min,
           tcb ? fmt::format("evaluation number {}", number) : std::string(to_string(tcb.error())),
           fmt::format("signed, current, evaluation number {} or later",
                       policy_.tcb_evaluation_number_min));
  }

  void check_tcb(const Vouched<TcbInfo>& tcb, const SgxExtension& platform,
                 const TdxQuoteView& quote, const SvnLevel& qe_level) {
    std::vector<std::string> accepted = policy_.accepted_tcb_statuses;
    accepted.emplace_back(to_string(TcbStatus::UpToDate));
    const auto evaluation = evaluate_tcb(tcb.document, platform, quote.td, qe_level);
    if (!evaluation) {
      record("tcb", false, std::string(to_string(evaluation.error())), describe(accepted));
      return;
    }
    verdict_.tcb_status = to_string(evaluation->status);
    verdict_.advisories = evaluation->advisories;
    const bool listed =
        std::find(accepted.begin(), accepted.end(), verdict_.tcb_status) != accepted.end();
    record("tcb", listed && evaluation->status != TcbStatus::Revoked, verdict_.tcb_status,
           describe(accepted));
  }

  void conclude() {
    verdict_.simulated |= evidence_.kind == kKindSimulatedTdx;
    const Level level = proven_level();
    record("level", level >= policy_.level_min, std::string(to_string(level)),
           std::string(to_string(policy_.level_min)) + " or higher");
    verdict_.accepted =
        std::all_of(verdict_.checks.begin(), verdict_.checks.end(), [](const Check& check) {
          return check.status == CheckStatus::Passed ||
                 (check.status == CheckStatus::NotChecked && !check.required);
        });
    verdict_.level = verdict_.accepted ? level : Level::None;
  }

  /// Were everything else to pass.
  Level proven_level() {
    if (verdict_.simulated || at("measurements").status != CheckStatus::Passed) {
      return Level::Declared;
    }
    return at("model").status == CheckStatus::Passed ? Level::WeightsMeasured
                                                     : Level::ImageMeasured;
  }

  const Evidence& evidence_;
  const Statement& expected_;
  const TrustRoots& roots_;
  const UnixTime now_;
  const Policy& policy_;
  Verdict verdict_;
};

}  // namespace

Verdict verify(const Evidence& evidence, const Statement& expected, const TrustRoots& roots,
               UnixTime now, const Policy& policy) {
  return Examination(evidence, expected, roots, now, policy).run();
}

}  // namespace nostril::attestation
