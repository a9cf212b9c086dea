#include "attestation/intel_examine.h"

#include "attestation/collateral.h"
#include "attestation/tdx_verify.h"
#include "attestation/utc_time.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

namespace nostril::attestation {

namespace {

bool is_image(const AllowedMeasurements& allowed, const Measurements& found) {
  bool same = found.mrtd == allowed.mrtd &&
              (!allowed.mrconfigid || *allowed.mrconfigid == found.mrconfigid);
  for (std::size_t i = 0; i < allowed.rtmr.size(); ++i) {
    same &= !allowed.rtmr.at(i) || *allowed.rtmr.at(i) == found.rtmr.at(i);
  }
  return same;
}

constexpr std::uint64_t kAttributeUntrustedMask = 0xff;  // bits 0..7: debug and reserved
constexpr std::uint64_t kAttributeSeptVeDisable = 1ULL << 28U;
constexpr std::uint64_t kAttributeMigratable = 1ULL << 29U;

std::string_view name_of(TrustRoots::Class root_class) {
  switch (root_class) {
    case TrustRoots::Class::Genuine:
      return "Intel SGX Root CA";
    case TrustRoots::Class::Test:
      return kTestRootName;
    case TrustRoots::Class::Given:
      break;
  }
  return "the root given by the caller";
}

std::string describe(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

/// `Quote` is TdxQuoteView or SgxQuoteView: what differs has an overload for each.
template <typename Quote>
class IntelExamination {
 public:
  IntelExamination(const IntelInput& input, Verdict& verdict)
      : input_(input),
        now_(input.now),
        policy_(input.policy),
        verdict_(verdict),
        checks_(verdict.checks) {}

  std::optional<TrustRoots::Class> run(const Quote& quote) {
    claim("quote_version", std::int64_t{quote.version}, "quote, header");
    check_body(quote);
    return check_signatures(quote);
  }

 private:
  bool record(std::string_view name, bool passed, std::string found, std::string wanted) {
    return checks_.record(name, passed, std::move(found), std::move(wanted));
  }

  void claim(std::string name, Claim::Value value, std::string source) {
    verdict_.claims.push_back({std::move(name), std::move(value), std::move(source)});
  }

  void check_body(const TdxQuoteView& quote) {
    verdict_.platform = "tdx";
    verdict_.measurements = quote.td.measurements;
    claim_td(quote);
    check_attributes(quote);
    check_measurements(quote);
  }

  void check_body(const SgxQuoteView& quote) {
    verdict_.platform = "sgx";
    const std::string body = "quote, enclave report";
    const EnclaveReport& enclave = quote.enclave;
    claim("mrenclave", encode_hex(enclave.mrenclave), body);
    claim("mrsigner", encode_hex(enclave.mrsigner), body);
    claim("isv_prod_id", std::int64_t{enclave.isv_prod_id}, body);
    claim("isv_svn", std::int64_t{enclave.isv_svn}, body);
    claim("attributes", encode_hex(enclave.attributes), body);
    claim("report_data", encode_hex(enclave.report_data), body);
    const bool debug = ((enclave.attributes[0] | quote.qe.attributes[0]) & kEnclaveDebug) != 0;
    record("debug", !debug,
           fmt::format("enclave attributes {}, quoting enclave {}", encode_hex(enclave.attributes),
                       encode_hex(quote.qe.attributes)),
           "no debug bit");
  }

  void claim_td(const TdxQuoteView& quote) {
    const Measurements& m = quote.td.measurements;
    const std::string body = fmt::format("quote, TD report {}", quote.td.is_td15 ? "1.5" : "1.0");
    claim("mrtd", encode_hex(m.mrtd), body);
    for (std::size_t i = 0; i < m.rtmr.size(); ++i) {
      claim(fmt::format("rtmr{}", i), encode_hex(m.rtmr.at(i)), body);
    }
    claim("mrconfigid", encode_hex(m.mrconfigid), body);
    claim("mrowner", encode_hex(m.mrowner), body);
    claim("mrownerconfig", encode_hex(m.mrownerconfig), body);
    claim("mrseam", encode_hex(m.mrseam), body);
    claim("mrservicetd", encode_hex(m.mrservicetd), body);
    claim("td_attributes", fmt::format("{:016x}", quote.td.td_attributes), body);
    claim("tee_tcb_svn", encode_hex(quote.td.tee_tcb_svn), body);
    claim("report_data", encode_hex(quote.td.report_data), body);
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
      return is_image(allowed, found);
    };
    identify(found);
    const auto& images = policy_.allowed_measurements;
    record_known(verdict_, "measurements", Subject::Image, "MRTD " + encode_hex(found.mrtd),
                 std::any_of(images.begin(), images.end(), matches),
                 !images.empty() || policy_.level_min >= Level::ImageMeasured, policy_.acceptance,
                 now_);
  }

  void identify(const Measurements& found) {
    auto& identities = verdict_.identities;
    identities.push_back({"mrtd", encode_hex(found.mrtd)});
    for (std::size_t i = 0; i < found.rtmr.size(); ++i) {
      identities.push_back({fmt::format("rtmr{}", i), encode_hex(found.rtmr.at(i))});
    }
    identities.push_back({"mrconfigid", encode_hex(found.mrconfigid)});
  }

  std::optional<TrustRoots::Class> check_signatures(const Quote& quote) {
    const auto chain = check_pck_chain(quote.pck_chain, input_.roots, now_, cache_);
    const auto root_class = chain ? std::optional(chain->root_class) : std::nullopt;
    // Anything that smells of the simulator is called simulated, trusted or not.
    verdict_.simulated |= (chain && chain->root_class != TrustRoots::Class::Genuine) ||
                          quote.qe_vendor == kSimulatorQeVendor;
    record_simulated(verdict_, policy_.accept_simulated);
    record("pck_chain", chain.has_value(),
           std::string(chain ? name_of(chain->root_class) : to_string(chain.error())),
           "leaf, PCK CA and a trusted root, valid now");
    record("qe_report_data", check_qe_report_data(quote), "QE report data",
           "hash of the attestation key");
    record("quote_signature", check_quote_signature(quote), "quote signature",
           "by the attestation key");
    if (!chain) return std::nullopt;
    verdict_.limit(valid_until(chain->certificates));
    claim("root_sha256", encode_hex(sha256(chain->root().der)), "quote, PCK chain");

    // Any enclave with provisioning rights gets a PCK signature: which one it is must be known even
    // without collateral.
    const ChainNames names = chain_names(chain->root_class);
    checks_.compare("qe_signer", quote.qe.mrsigner,
                    kTee == IntelTee::Tdx ? names.qe_signer : names.sgx_qe_signer);
    record("qe_report_signature", check_qe_report_signature(quote, chain->leaf()),
           "QE report signature", "by the PCK key");
    const auto platform = sgx_extension(chain->leaf());
    if (check_platform(quote, *chain, platform) && input_.collateral != nullptr) {
      check_collateral(quote, *chain, *platform);
    }
    return root_class;
  }

  /// Platform data of the PCK certificate; vendor id and FMSPC tell the simulator apart a second
  /// time, should a root ever be mistaken.
  bool check_platform(const Quote& quote, const TrustedChain& chain,
                      const std::optional<SgxExtension>& platform) {
    if (!platform) {
      return record("platform", false, "malformed SGX extension", "a PCK certificate's");
    }
    verdict_.platform_id = {encode_hex(platform->fmspc), encode_hex(platform->ppid)};
    verdict_.identities.push_back({"ppid", verdict_.platform_id.ppid});
    claim("fmspc", verdict_.platform_id.fmspc, "PCK certificate");
    claim("ppid", verdict_.platform_id.ppid, "PCK certificate");
    const bool test = chain.root_class == TrustRoots::Class::Test;
    const bool test_vendor = quote.qe_vendor == kSimulatorQeVendor;
    const bool test_fmspc = platform->fmspc == kSimulatorFmspc;
    return record("platform", test == test_vendor && test == test_fmspc,
                  fmt::format("FMSPC {}, QE vendor {}", verdict_.platform_id.fmspc,
                              encode_hex(quote.qe_vendor)),
                  test ? "the simulator's" : "a genuine platform's");
  }

  void check_collateral(const Quote& quote, const TrustedChain& pck, const SgxExtension& platform) {
    const Collateral& collateral = *input_.collateral;
    const auto tcb = check_tcb_info(collateral, kTee, input_.roots, pck.root(), now_, cache_);
    check_tcb_document(tcb);
    if (tcb) limit(*tcb);
    const auto qe =
        attestation::check_qe_identity(collateral, kTee, input_.roots, pck.root(), now_, cache_);
    if (qe) limit(*qe);
    const SvnLevel* qe_level = qe ? match_qe(qe->document, quote.qe) : nullptr;
    const std::string qe_found(qe ? "quoting enclave not known" : to_string(qe.error()));
    record("qe_identity", qe_level != nullptr,
           qe_level != nullptr ? std::string(to_string(qe_level->status)) : qe_found,
           "Intel's quoting enclave");
    if (!tcb || !qe) return;

    const auto current =
        check_revocation(collateral, pck, tcb->chain.leaf(), qe->chain.leaf(), now_);
    if (current) verdict_.limit(*current);
    record("revocation", current.has_value(),
           std::string(current ? "not revoked" : to_string(current.error())),
           "current CRLs of root and PCK CA");
    if (qe_level != nullptr) check_tcb(*tcb, platform, quote, *qe_level);
  }

  template <typename Document>
  void limit(const Vouched<Document>& vouched) {
    verdict_.limit(vouched.document.next_update);
    verdict_.limit(valid_until(vouched.chain.certificates));
  }

  void check_tcb_document(const Result<Vouched<TcbInfo>, CollateralError>& tcb) {
    const std::uint32_t number = tcb ? tcb->document.evaluation_number : 0;
    if (tcb) claim("tcb_evaluation_number", std::int64_t{number}, "TCB info");
    record("tcb_info", tcb && number >= policy_.tcb_evaluation_number_min,
           tcb ? fmt::format("evaluation number {}", number) : std::string(to_string(tcb.error())),
           fmt::format("signed, current, evaluation number {} or later",
                       policy_.tcb_evaluation_number_min));
  }

  static Result<TcbEvaluation, TcbError> evaluate(const TcbInfo& info, const SgxExtension& platform,
                                                  const TdxQuoteView& quote,
                                                  const SvnLevel& qe_level) {
    return evaluate_tcb(info, platform, quote.td, qe_level);
  }

  static Result<TcbEvaluation, TcbError> evaluate(const TcbInfo& info, const SgxExtension& platform,
                                                  const SgxQuoteView& /*quote*/,
                                                  const SvnLevel& qe_level) {
    return evaluate_sgx_tcb(info, platform, qe_level);
  }

  void check_tcb(const Vouched<TcbInfo>& tcb, const SgxExtension& platform, const Quote& quote,
                 const SvnLevel& qe_level) {
    std::vector<std::string> accepted = policy_.accepted_tcb_statuses;
    accepted.emplace_back(to_string(TcbStatus::UpToDate));
    const auto evaluation = evaluate(tcb.document, platform, quote, qe_level);
    if (!evaluation) {
      record("tcb", false, std::string(to_string(evaluation.error())), describe(accepted));
      return;
    }
    verdict_.tcb_status = to_string(evaluation->status);
    verdict_.advisories = evaluation->advisories;
    claim("tcb_status", verdict_.tcb_status, "TCB info, QE identity");
    if (kTee == IntelTee::Tdx) {
      claim("module_status", std::string(to_string(evaluation->module_status)), "TCB info");
    }
    if (evaluation->date != 0) claim("tcb_date", format_iso_utc(evaluation->date), "TCB info");
    claim("qe_status", std::string(to_string(qe_level.status)), "QE identity");
    claim("advisories", verdict_.advisories, "TCB info, QE identity");
    const bool listed =
        std::find(accepted.begin(), accepted.end(), verdict_.tcb_status) != accepted.end();
    const bool known =
        evaluation->status == TcbStatus::UpToDate ||
        std::all_of(verdict_.advisories.begin(), verdict_.advisories.end(),
                    [this](const std::string& advisory) { return is_accepted(advisory); });
    const std::string with =
        verdict_.advisories.empty() ? "" : " with " + describe(verdict_.advisories);
    const auto& advisories = policy_.accepted_advisories;
    record("tcb", listed && known && evaluation->status != TcbStatus::Revoked,
           fmt::format("{}{}, FMSPC {}", verdict_.tcb_status, with, verdict_.platform_id.fmspc),
           describe(accepted) +
               (advisories.empty() ? "" : ", with no advisories but " + describe(advisories)));
  }

  [[nodiscard]] bool is_accepted(const std::string& advisory) const {
    const auto& list = policy_.accepted_advisories;
    return std::any_of(list.begin(), list.end(), [&advisory](const std::string& accepted) {
      return accepted == advisory || accepted == kAnyAdvisory;
    });
  }

  static constexpr IntelTee kTee =
      std::is_same_v<Quote, TdxQuoteView> ? IntelTee::Tdx : IntelTee::Sgx;

  const IntelInput& input_;
  const UnixTime now_;
  const Policy& policy_;
  Verdict& verdict_;
  Checklist checks_;
  ChainCache cache_;
};

}  // namespace

void list_intel_checks(Checklist& checks, const Policy& policy, bool wants_nonce, IntelTee tee) {
  const bool tcb = !policy.allow_unchecked_tcb;
  checks.add("quote_format", true, "quote");
  checks.add("report_data", wants_nonce, "quote, body, report_data");
  checks.add("simulated", true, "root, QE vendor id");
  checks.add("pck_chain", true, "quote, certification data");
  checks.add("platform", true, "PCK certificate, SGX extension");
  checks.add("qe_signer", true, "quote, QE report, MRSIGNER");
  checks.add("qe_report_signature", true, "quote, QE report");
  checks.add("qe_report_data", true, "quote, QE report, report_data");
  checks.add("quote_signature", true, "quote, header and body");
  checks.add("tcb_info", tcb, "collateral, TCB info");
  checks.add("qe_identity", tcb, "collateral, QE identity; quote, QE report");
  checks.add("revocation", tcb, "collateral, CRLs of root and PCK CA");
  checks.add("tcb", tcb, "TCB info; PCK certificate; quote, body, tee_tcb_svn");
  checks.add("debug", true, "quote, body and QE report, attributes");
  if (tee == IntelTee::Tdx) {
    checks.add("tdx_module", true, "quote, TD report, mrsignerseam, seamattributes");
    checks.add("sept_ve_disable", true, "quote, TD report, tdattributes");
    checks.add("migratable", true, "quote, TD report, tdattributes");
    checks.add("service_td", true, "quote, TD report, mrservicetd");
  }
  checks.add("measurements",
             !policy.allowed_measurements.empty() || policy.level_min >= Level::ImageMeasured ||
                 demands(policy.acceptance, Subject::Image),
             "quote, TD report, mrtd, rtmr, mrconfigid");
}

std::optional<TdxQuoteView> examine_tdx_format(ByteSpan bytes, Checklist& checks) {
  const auto quote = parse_tdx_quote(bytes);
  checks.record("quote_format", quote.has_value(),
                quote ? fmt::format("TDX quote, version {}", quote->version)
                      : std::string(to_string(quote.error())),
                "a TDX quote");
  return quote ? std::optional(*quote) : std::nullopt;
}

std::optional<SgxQuoteView> examine_sgx_format(ByteSpan bytes, Checklist& checks) {
  const auto quote = parse_sgx_quote(bytes);
  checks.record("quote_format", quote.has_value(),
                std::string(quote ? "SGX quote, version 3" : to_string(quote.error())),
                "an SGX quote");
  return quote ? std::optional(*quote) : std::nullopt;
}

std::optional<TrustRoots::Class> examine_tdx(const TdxQuoteView& quote, const IntelInput& input,
                                             Verdict& verdict) {
  return IntelExamination<TdxQuoteView>(input, verdict).run(quote);
}

std::optional<TrustRoots::Class> examine_sgx(const SgxQuoteView& quote, const IntelInput& input,
                                             Verdict& verdict) {
  return IntelExamination<SgxQuoteView>(input, verdict).run(quote);
}

std::vector<std::string> fixed_registers(const Policy& policy, const Verdict& verdict) {
  std::vector<std::string> out;
  for (const AllowedMeasurements& image : policy.allowed_measurements) {
    if (!is_image(image, verdict.measurements)) continue;
    if (image.rtmr[3]) out.emplace_back("rtmr3");
    if (image.mrconfigid) out.emplace_back("mrconfigid");
  }
  return out;
}

}  // namespace nostril::attestation
