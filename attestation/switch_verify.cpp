#include "attestation/switch_verify.h"

#include "attestation/evidence.h"
#include "attestation/gpu_certificates.h"
#include "base/hex.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::string_view kChainWanted =
    "FMC, BROM, provisioner of one switch, identity, a trusted root, valid now";

/// Judges the switches of one verdict, one after the other.
class SwitchExamination {
 public:
  SwitchExamination(const GpuInput& input, GpuReferences& references, OcspAnswers& ocsp,
                    ChainCache& cache, Checklist& checks, std::vector<Claim>& claims)
      : input_(input),
        references_(references),
        ocsp_(ocsp),
        cache_(cache),
        checks_(checks),
        claims_(claims) {}

  JudgedSwitches run() && {
    out_.count = input_.switches.size();
    const std::size_t wanted = input_.policy.switch_count;
    if (wanted != 0) {
      record("switch_count", out_.count == wanted, fmt::format("{}", out_.count),
             fmt::format("{}", wanted));
    }
    for (; at_ < out_.count; ++at_) examine(input_.switches[at_]);
    if (out_.count != 0) check_set();
    check_revocation();
    out_.sound = out_.count != 0 && std::all_of(kNames.begin(), kNames.end(), [this](auto name) {
                   return !refuses(checks_.at(name));
                 });
    return std::move(out_);
  }

  static constexpr std::array<std::string_view, 10> kNames = {
      "switch_count",     "switch_report",    "switch_nonce", "switch_chain",
      "switch_signature", "switch_distinct",  "switch_rim",   "switch_measurements",
      "switch_gpus",      "switch_revocation"};

 private:
  /// The first failure stays; a check that passed has the last finding.
  bool record(std::string_view name, bool passed, const std::string& found, std::string wanted) {
    if (checks_.at(name).status == CheckStatus::Failed) return passed;
    const bool of_one = !passed && at_ < out_.count;
    return checks_.record(name, passed, of_one ? fmt::format("switch {}: {}", at_, found) : found,
                          std::move(wanted));
  }

  void claim(std::string_view name, std::string value, std::string source) {
    claims_.push_back({fmt::format("switch{}.{}", at_, name), std::move(value), std::move(source)});
  }

  void examine(const GpuEvidence& evidence) {
    const auto report = parse_switch_report(evidence.report);
    record("switch_report", report.has_value(),
           report ? fmt::format("report of {} bytes", evidence.report.size())
                  : std::string(to_string(report.error())),
           "SPDM 1.1, request and response of a switch");
    if (!report) return miss();
    claim("pdi", encode_hex(report->pdi), "report, opaque 22");
    claim("vbios", report->vbios, "report, opaque 6");
    const auto& nonce = input_.policy.nonce;
    if (!nonce.empty()) {
      record("switch_nonce", equal(report->nonce, nonce), encode_hex(report->nonce),
             encode_hex(nonce));
    }
    pdis_.push_back(report->pdi);
    gpus_.emplace_back(report->gpus.begin(), report->gpus.end());
    const auto chip = check_certificates(evidence, *report);
    if (!chip) return miss();
    check_measurements(*report, *chip);
  }

  static bool equal(ByteSpan a, ByteSpan b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

  /// What needs a sound report and chain is not known of this switch.
  void miss() { incomplete_ = true; }

  std::optional<std::string> check_certificates(const GpuEvidence& evidence,
                                                const SwitchReport& report) {
    const std::string wanted(kChainWanted);
    const auto chain =
        evidence.chain.size() > kIssuerChainBytesMax
            ? Result<std::vector<Certificate>, ChainError>(failure(ChainError::BadPem))
            : parse_gpu_chain(evidence.chain, cache_);
    if (!chain || chain->size() != kGpuChainCount) {
      record("switch_chain", false,
             std::string(to_string(chain ? ChainError::WrongLength : chain.error())), wanted);
      return std::nullopt;
    }
    record("switch_signature",
           verify_p384(p384_key_of(chain->front()), report.signed_part, report.signature),
           "report signature", "by the key of the leaf, over request and response");
    const auto root_class = input_.roots.classify(chain->back().der);
    const auto error = root_class ? check_chain(*chain, Algorithms::Nvidia, input_.now, cache_)
                                  : std::optional(ChainError::UntrustedRoot);
    if (error) {
      record("switch_chain", false, std::string(to_string(*error)), wanted);
      return std::nullopt;
    }
    out_.simulated |= *root_class != TrustRoots::Class::Genuine;
    out_.valid_until = std::min(out_.valid_until, valid_until(*chain));
    serials_.insert(serial_of(chain->front()));
    claim("serial", serial_of(chain->front()), "leaf certificate, serial number");
    revocation_.add(*chain, 1, ocsp_, cache_);
    auto chip = switch_of(*chain, *root_class);
    record("switch_chain", chip.has_value(), common_name(chain->front()), wanted);
    return chip;
  }

  void check_measurements(const SwitchReport& report, const std::string& chip) {
    const std::string wanted =
        fmt::format("a manifest for switch BIOS {} of {}", report.vbios, chip);
    checks_.at("switch_rim").wanted = wanted;
    const JudgedRim* judged = references_.find(RimKind::Switch, report.vbios, chip, cache_);
    if (judged == nullptr) return miss_rim();
    record("switch_rim", judged->verified.has_value(),
           judged->verified ? wanted : "a manifest that does not verify", wanted);
    if (!judged->verified) return miss_rim();
    out_.simulated |= judged->verified->root_class != TrustRoots::Class::Genuine;
    revocation_.add(judged->verified->chain, 0, ocsp_, cache_);
    const GpuComparison result = compare_measurements(report, judged->verified->rim);
    record("switch_measurements", result.mismatches.empty(),
           result.mismatches.empty()
               ? fmt::format("{} compared", result.compared_count)
               : fmt::format("mismatch at {}", fmt::join(result.mismatches, ", ")),
           "every reference value of the manifest");
  }

  void miss_rim() { without_rim_ = true; }

  /// What all of them together must be.
  void check_set() {
    for (const std::string_view name : {"switch_chain", "switch_signature"}) {
      if (incomplete_) forget(name);
    }
    if (incomplete_ || without_rim_) {
      forget("switch_rim");
      forget("switch_measurements");
    }
    if (incomplete_) return;
    out_.pdis = {pdis_.begin(), pdis_.end()};
    record("switch_distinct", out_.pdis.size() == out_.count && serials_.size() == out_.count,
           fmt::format("{} PDIs, {} serials", out_.pdis.size(), serials_.size()),
           "every switch once");
    const auto& first = gpus_.front();
    const bool same =
        std::all_of(gpus_.begin(), gpus_.end(), [&first](const auto& set) { return set == first; });
    record("switch_gpus", same && first.size() == input_.gpus.size(),
           same ? fmt::format("{} GPUs at every switch", first.size()) : "other GPUs at another",
           fmt::format("the same {} GPUs at every switch", input_.gpus.size()));
  }

  /// As of GPUs: by the answers given, of all certificates but the switches' leaves.
  void check_revocation() {
    if (ocsp_.count() == 0 || out_.count == 0 || (incomplete_ && revocation_.refusal.empty())) {
      return;
    }
    if (revocation_.record(checks_, "switch_revocation")) {
      out_.valid_until = std::min(out_.valid_until, revocation_.valid_until);
    }
  }

  /// One switch passed, another was not looked at.
  void forget(std::string_view name) {
    Check& check = checks_.at(name);
    if (check.status != CheckStatus::Passed) return;
    check.status = CheckStatus::NotChecked;
    check.found.clear();
  }

  const GpuInput& input_;
  GpuReferences& references_;
  OcspAnswers& ocsp_;
  ChainCache& cache_;
  Checklist& checks_;
  std::vector<Claim>& claims_;
  JudgedSwitches out_;
  std::size_t at_ = 0;
  std::vector<Pdi> pdis_;
  std::vector<std::set<Pdi>> gpus_;
  std::set<std::string> serials_;
  OcspFindings revocation_;
  bool incomplete_ = false;
  bool without_rim_ = false;
};

}  // namespace

void list_switch_checks(Checklist& checks, const GpuPolicy& policy, bool required) {
  const bool rim = required && !policy.allow_missing_rims;
  checks.add("switch_count", required && policy.switch_count != 0, "switch reports");
  checks.add("switch_report", required, "switch reports");
  checks.add("switch_nonce", required && !policy.nonce.empty(), "switch reports 0x04, request");
  checks.add("switch_chain", required, "switch certificates");
  checks.add("switch_signature", required,
             "switch reports, last 96 bytes over all before; leaf key");
  checks.add("switch_distinct", required, "switch reports, opaque 22; leaf certificates, serials");
  checks.add("switch_rim", rim, "manifests");
  checks.add("switch_measurements", rim, "switch reports, measurements; manifest");
  checks.add("switch_gpus", required, "switch reports, opaque 26");
  checks.add("switch_revocation", required && policy.require_ocsp,
             "OCSP answers; switch certificates, manifest's signer");
}

JudgedSwitches examine_switches(const GpuInput& input, GpuReferences& references, OcspAnswers& ocsp,
                                ChainCache& cache, Checklist& checks, std::vector<Claim>& claims) {
  return SwitchExamination(input, references, ocsp, cache, checks, claims).run();
}

std::set<Pdi> named_switches(const GpuReport& report) {
  std::set<Pdi> out;
  for (Pdi pdi : report.switches) {
    std::reverse(pdi.begin(), pdi.end());
    if (pdi != Pdi{}) out.insert(pdi);
  }
  return out;
}

}  // namespace nostril::attestation
