#include "attestation/gpu_verify.h"

#include "attestation/ecdsa.h"
#include "attestation/evidence.h"
#include "attestation/gpu_certificates.h"
#include "attestation/gpu_references.h"
#include "attestation/gpu_report.h"
#include "attestation/ocsp.h"
#include "attestation/switch_verify.h"
#include "base/check.h"
#include "base/hex.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace nostril::attestation {

namespace {

constexpr std::string_view kChainWanted =
    "FMC, BROM, provisioner, identity of one chip, a trusted root, valid now";
constexpr std::array<RimKind, 2> kRimKinds = {RimKind::Driver, RimKind::Vbios};

/// "550.90.07" as numbers; nothing when it is written otherwise.
std::optional<std::vector<std::uint32_t>> parse_version(std::string_view text) {
  std::vector<std::uint32_t> out;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    std::uint32_t number = 0;
    const auto [stop, error] = std::from_chars(at, end, number);
    if (error != std::errc()) return std::nullopt;
    out.push_back(number);
    if (stop == end) return out;
    if (*stop != '.') return std::nullopt;
    at = stop + 1;
  }
}

std::string to_text(bool state) {
  return state ? "0xaa" : "0x55";  // as the report has it
}

/// What the GPUs of one verdict have in common.
struct Shared {
  GpuReferences references;
  OcspAnswers ocsp;
  ChainCache cache;
  JudgedSwitches switches;
};

/// What was found of one GPU.
struct JudgedGpu {
  std::vector<Check> checks;
  std::vector<Claim> claims;
  std::string serial;
  bool simulated = false;
  UnixTime valid_until = kForever;
};

/// Of every GPU by itself.
void list_each_checks(Checklist& checks, const GpuPolicy& policy, bool required) {
  checks.add("gpu_report", required, "GPU reports");
  checks.add("gpu_nonce", required && !policy.nonce.empty(), "GPU reports 0x04, request");
  checks.add("gpu_mode", required, "GPU reports, opaque 21, 22, 36");
  checks.add("gpu_switches", required && !policy.allow_unchecked_switches,
             "GPU reports, opaque 21, 22, 36");
  checks.add("gpu_driver", required && !policy.driver_min.empty(), "GPU reports, opaque 3");
  checks.add("gpu_chain", required, "GPU certificates");
  checks.add("gpu_signature", required, "GPU reports, last 96 bytes over all before; leaf key");
  checks.add("gpu_fwid", required && !policy.allow_missing_fwid,
             "GPU reports, opaque 20; leaf certificate, extension 2.23.133.5.4.1");
  checks.add("gpu_debug", required, "leaf certificate, extension 2.23.133.5.4.1");
  for (const RimKind kind : kRimKinds) {
    const bool wanted = required && !policy.allow_missing_rims;
    std::vector<Check> rim_checks;
    Checklist rim_list(rim_checks);
    list_rim_checks(rim_list, kind);
    checks.add(fmt::format("gpu_{}_rim", to_string(kind)), wanted, "manifests");
    for (const Check& check : rim_checks) {
      checks.add(check.name, false, check.source);  // the one above needs them all
    }
  }
  checks.add("gpu_revocation", required && policy.require_ocsp,
             "OCSP answers; certificates of GPU and manifests but leaf and roots");
  checks.add("gpu_measurements", required && !policy.allow_missing_rims,
             "GPU reports, measurements; manifests");
}

/// One GPU of a verdict.
class GpuExamination {
 public:
  GpuExamination(const GpuEvidence& gpu, const GpuInput& input, Shared& shared)
      : gpu_(gpu), input_(input), policy_(input.policy), shared_(shared), checks_(out_.checks) {
    list_each_checks(checks_, policy_, true);
  }

  JudgedGpu run() && {
    const auto report = parse_gpu_report(gpu_.report);
    record("gpu_report", report.has_value(),
           report ? fmt::format("report of {} bytes", gpu_.report.size())
                  : std::string(to_string(report.error())),
           "SPDM 1.1, request and response");
    if (report) examine(*report);
    return std::move(out_);
  }

 private:
  bool record(std::string_view name, bool passed, std::string found, std::string wanted) {
    return checks_.record(name, passed, std::move(found), std::move(wanted));
  }

  void claim(std::string name, Claim::Value value, std::string source) {
    out_.claims.push_back({std::move(name), std::move(value), std::move(source)});
  }

  void examine(const GpuReport& report) {
    claim_report(report);
    if (!policy_.nonce.empty()) checks_.compare("gpu_nonce", report.nonce, policy_.nonce);
    check_mode(report);
    check_driver_minimum(report);
    auto certificates = parse_chain();
    if (!certificates) {
      record("gpu_chain", false, std::string(to_string(certificates.error())),
             std::string(kChainWanted));
      return;
    }
    if (certificates->empty()) {
      record("gpu_chain", false, "no certificate", std::string(kChainWanted));
      return;
    }
    const Certificate& leaf = certificates->front();
    record("gpu_signature", verify_p384(p384_key_of(leaf), report.signed_part, report.signature),
           "report signature", "by the key of the leaf, over request and response");
    check_leaf(report, leaf);
    if (const auto chip = check_chain(*certificates)) {
      check_references(report, *chip);
      check_revocation(*certificates);
    }
  }

  void claim_report(const GpuReport& report) {
    const std::string opaque = "report, opaque ";
    claim("nonce", encode_hex(report.nonce), "report 0x04");
    claim("measurement_blocks", static_cast<std::int64_t>(report.measurements.size()),
          "report 0x29");
    claim("driver", report.driver, opaque + "3");
    claim("vbios", report.vbios, opaque + "6");
    claim("nvdec0", to_text(report.nvdec0), opaque + "11");
    if (!report.chip_sku.empty()) claim("chip_sku", report.chip_sku, opaque + "15");
    if (!report.project.empty()) claim("project", report.project, opaque + "17");
    if (!report.project_sku.empty()) claim("project_sku", report.project_sku, opaque + "18");
    if (report.fwid) claim("fwid", encode_hex(*report.fwid), opaque + "20");
    if (report.protected_pcie) {
      claim("protected_pcie", to_text(*report.protected_pcie), opaque + "21");
    }
    if (report.opaque_version) {
      claim("opaque_version", std::int64_t{*report.opaque_version}, opaque + "34");
    }
    if (report.features) {
      claim("feature_flag", static_cast<std::int64_t>(*report.features), opaque + "36");
    }
  }

  /// Two fields say whether PCIe is protected; NVSwitches stand between the GPUs only then.
  void check_mode(const GpuReport& report) {
    const bool by_feature = report.features == GpuFeatures::ProtectedPcie;
    const bool on = report.protected_pcie.value_or(by_feature);
    const std::string found = fmt::format(
        "protected PCIe {}, features {}, {} links to switches",
        report.protected_pcie ? (*report.protected_pcie ? "on" : "off") : "not stated",
        report.features ? to_string(*report.features) : "not stated", report.switches.size());
    record("gpu_mode", (!report.features || by_feature == on) && (on || report.switches.empty()),
           found, "one mode by all fields");
    const std::string wanted = "no NVSwitch, or a sound report of each one that the GPU names";
    checks_.at("gpu_switches").wanted = wanted;
    const bool free = !on && !by_feature && report.switches.empty();
    const JudgedSwitches& switches = shared_.switches;
    if (free) {
      record("gpu_switches", true, "no NVSwitch", wanted);
    } else if (switches.count != 0) {
      const std::set<Pdi> named = named_switches(report);
      record("gpu_switches", switches.sound && named == switches.pdis,
             fmt::format("{} named, {} given and {}", named.size(), switches.count,
                         switches.sound ? "sound" : "not all sound"),
             wanted);
    }
  }

  void check_driver_minimum(const GpuReport& report) {
    if (policy_.driver_min.empty()) return;
    const auto wanted = parse_version(policy_.driver_min);
    const auto found = parse_version(report.driver);
    record("gpu_driver", wanted && found && *found >= *wanted, report.driver,
           policy_.driver_min + " or later");
  }

  Result<std::vector<Certificate>, ChainError> parse_chain() const {
    if (gpu_.chain.size() > kIssuerChainBytesMax) return failure(ChainError::BadPem);
    return parse_gpu_chain(gpu_.chain, shared_.cache);
  }

  /// What the leaf says of the GPU and of the firmware that holds its key.
  void check_leaf(const GpuReport& report, const Certificate& leaf) {
    out_.serial = serial_of(leaf);
    claim("serial", out_.serial, "leaf certificate, serial number");
    claim("ueid", to_decimal(out_.serial), "leaf certificate, serial number, decimal");
    if (const auto id = gpu_device_id(leaf); !id.empty()) {
      claim("device", id, "leaf certificate, subject alternative name");
    }
    const auto firmware = gpu_firmware(leaf);
    record("gpu_debug", firmware && !firmware->debug,
           !firmware         ? "extension malformed or missing"
           : firmware->debug ? "not secure, in recovery or in debug mode"
                             : "no such flag",
           "no flag of debug");
    check_fwid(report, firmware);
  }

  void check_fwid(const GpuReport& report, const std::optional<GpuFirmware>& firmware) {
    std::string wanted = "what the leaf certificate names:";
    if (firmware) {
      for (const Measurement& fwid : firmware->fwids) wanted += " " + encode_hex(fwid);
    } else {
      wanted += " nothing";
    }
    checks_.at("gpu_fwid").wanted = wanted;
    if (!report.fwid) return;
    const bool same = firmware && std::find(firmware->fwids.begin(), firmware->fwids.end(),
                                            *report.fwid) != firmware->fwids.end();
    record("gpu_fwid", same, encode_hex(*report.fwid), wanted);
  }

  /// The chip, when the chain is sound.
  std::optional<std::string> check_chain(const std::vector<Certificate>& certificates) {
    const auto root_class = chain_class(certificates);
    if (!root_class) {
      record("gpu_chain", false, std::string(to_string(root_class.error())),
             std::string(kChainWanted));
      return std::nullopt;
    }
    out_.simulated = *root_class != TrustRoots::Class::Genuine;
    out_.valid_until = attestation::valid_until(certificates);
    std::string found;
    for (const Certificate& certificate : certificates) {
      found += (found.empty() ? "" : " <- ") + common_name(certificate);
    }
    auto chip = chip_of(certificates, *root_class);
    record("gpu_chain", chip.has_value(), found, std::string(kChainWanted));
    if (chip) claim("chip", *chip, "certificates, names");
    return chip;
  }

  Result<TrustRoots::Class, ChainError> chain_class(const std::vector<Certificate>& certificates) {
    if (certificates.size() != kGpuChainCount) return failure(ChainError::WrongLength);
    const auto root_class = input_.roots.classify(certificates.back().der);
    if (!root_class) return failure(ChainError::UntrustedRoot);
    const auto error =
        attestation::check_chain(certificates, Algorithms::Nvidia, input_.now, shared_.cache);
    if (error) return failure(*error);
    return *root_class;
  }

  /// Driver and VBIOS against NVIDIA's reference values.
  void check_references(const GpuReport& report, const std::string& chip) {
    claim("driver_rim_id", rim_id(RimKind::Driver, report, chip), "report and certificates");
    claim("vbios_rim_id", rim_id(RimKind::Vbios, report, chip), "report and certificates");
    const Rim* driver = take_rim(RimKind::Driver, report.driver, chip);
    const Rim* vbios = take_rim(RimKind::Vbios, report.vbios, chip);
    const std::string wanted = "every reference value of both manifests";
    checks_.at("gpu_measurements").wanted = wanted;
    const GpuComparison result = compare_measurements(report, driver, vbios);
    claim("rim_checked", static_cast<std::int64_t>(result.compared_count), "manifests");
    const bool sound = result.mismatches.empty() && result.overlaps.empty();
    if (sound && (driver == nullptr || vbios == nullptr)) return;  // not all was compared
    std::string found = fmt::format("{} compared", result.compared_count);
    if (!result.mismatches.empty()) {
      found += fmt::format(", mismatch at {}", fmt::join(result.mismatches, ", "));
    }
    if (!result.overlaps.empty()) {
      found += fmt::format(", both manifests have {}", fmt::join(result.overlaps, ", "));
    }
    record("gpu_measurements", sound && result.compared_count > 0, found, wanted);
  }

  /// The manifest, when it was given and every check of it passed; those checks become this GPU's.
  const Rim* take_rim(RimKind kind, const std::string& version, const std::string& chip) {
    const std::string name = fmt::format("gpu_{}_rim", to_string(kind));
    const std::string wanted =
        fmt::format("a manifest for {} {} of {}", to_string(kind), version, chip);
    checks_.at(name).wanted = wanted;
    const JudgedRim* judged = shared_.references.find(kind, version, chip, shared_.cache);
    if (judged == nullptr) return nullptr;
    for (const Check& check : judged->checks) {
      const bool required = checks_.at(check.name).required;
      checks_.at(check.name) = check;
      checks_.at(check.name).required = required;
    }
    out_.claims.insert(out_.claims.end(), judged->claims.begin(), judged->claims.end());
    const auto& verified = judged->verified;
    record(name, verified.has_value(), verified ? wanted : "a manifest that does not verify",
           wanted);
    if (!verified) return nullptr;
    out_.simulated |= verified->root_class != TrustRoots::Class::Genuine;
    rim_chains_.push_back(&verified->chain);
    return &verified->rim;
  }

  /// By the OCSP answers given. What NVIDIA's responder does not speak of, the GPU's leaf, is left
  /// out; a certificate that none speaks of leaves the check undone.
  void check_revocation(const std::vector<Certificate>& chain) {
    if (shared_.ocsp.count() == 0) return;
    OcspFindings found;
    found.add(chain, 1, shared_.ocsp, shared_.cache);
    for (const std::vector<Certificate>* manifest : rim_chains_) {
      found.add(*manifest, 0, shared_.ocsp, shared_.cache);
    }
    if (found.record(checks_, "gpu_revocation")) {
      out_.valid_until = std::min(out_.valid_until, found.valid_until);
    }
  }

  const GpuEvidence& gpu_;
  const GpuInput& input_;
  const GpuPolicy& policy_;
  Shared& shared_;
  JudgedGpu out_;
  Checklist checks_;
  std::vector<const std::vector<Certificate>*> rim_chains_;
};

/// One check of all GPUs: what refuses for one refuses for all.
Check merge(const std::vector<JudgedGpu>& gpus, std::size_t check_index) {
  const auto of = [check_index](const JudgedGpu& gpu) -> const Check& {
    return gpu.checks[check_index];
  };
  Check out = of(gpus.front());
  std::size_t worst = 0;
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    const CheckStatus status = of(gpus[i]).status;
    const bool worse = status == CheckStatus::Failed
                           ? out.status != CheckStatus::Failed
                           : status == CheckStatus::NotChecked && out.status == CheckStatus::Passed;
    if (!worse) continue;
    out = of(gpus[i]);
    worst = i;
  }
  if (gpus.size() == 1 || out.found.empty()) return out;
  const bool same = std::all_of(gpus.begin(), gpus.end(), [&](const JudgedGpu& gpu) {
    return of(gpu).status == out.status && of(gpu).found == out.found;
  });
  out.found = same ? fmt::format("{} GPUs: {}", gpus.size(), out.found)
                   : fmt::format("GPU {}: {}", worst, out.found);
  return out;
}

bool has_switches(const GpuInput& input) {
  return !input.switches.empty() || input.policy.switch_count != 0;
}

/// Those that were given; their checks are listed when there are any or the policy wants some.
void judge_switches(const GpuInput& input, Shared& shared, Verdict& verdict) {
  if (!has_switches(input)) return;
  Checklist checks(verdict.checks);
  shared.switches =
      examine_switches(input, shared.references, shared.ocsp, shared.cache, checks, verdict.claims);
  verdict.simulated |= shared.switches.simulated;
  verdict.limit(shared.switches.valid_until);
}

std::vector<JudgedGpu> judge_each(const GpuInput& input, Verdict& verdict) {
  Checklist checks(verdict.checks);
  const RimPolicy rim_policy{input.policy.refuse_expired_rims};
  Shared shared{GpuReferences(input.rims, input.roots, input.now, rim_policy),
                OcspAnswers(input.ocsp, input.now, input.policy.ocsp_nonce),
                {},
                {}};
  const GpuReferences& references = shared.references;
  checks.record("gpu_rims", references.unreadable_count() == 0,
                fmt::format("{} manifests, {} of them unreadable", references.count(),
                            references.unreadable_count()),
                "no file that is not a manifest");
  checks.record("gpu_ocsp", shared.ocsp.unreadable_count() == 0,
                fmt::format("{} answers, {} of them unreadable", shared.ocsp.count(),
                            shared.ocsp.unreadable_count()),
                "no file that is not an answer");
  judge_switches(input, shared, verdict);
  std::vector<JudgedGpu> out;
  out.reserve(input.gpus.size());
  for (const GpuEvidence& gpu : input.gpus) {
    out.push_back(GpuExamination(gpu, input, shared).run());
  }
  return out;
}

/// Two reports of one GPU would let it stand in for another.
void check_distinct(const std::vector<JudgedGpu>& gpus, Checklist& checks) {
  std::vector<std::string> serials;
  for (const JudgedGpu& gpu : gpus) {
    if (gpu.serial.empty()) return;
    serials.push_back(gpu.serial);
  }
  std::sort(serials.begin(), serials.end());
  const auto twice = std::adjacent_find(serials.begin(), serials.end());
  checks.record("gpu_distinct", twice == serials.end(),
                twice == serials.end() ? fmt::format("{} different", serials.size())
                                       : *twice + " more than once",
                "every GPU once");
}

/// What the GPUs say of themselves, each in a group of its own when there is a prefix.
void add_claims(const std::vector<JudgedGpu>& gpus, std::string_view prefix,
                std::vector<Claim>& claims) {
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    for (Claim claim : gpus[i].claims) {
      if (!prefix.empty()) {
        std::replace(claim.name.begin(), claim.name.end(), '.', '_');  // groups do not nest
        claim.name = fmt::format("{}{}.{}", prefix, i, claim.name);
      }
      claims.push_back(std::move(claim));
    }
  }
}

bool run(const GpuInput& input, Verdict& verdict, std::string_view claim_prefix) {
  CHECK(!input.gpus.empty());
  Checklist checks(verdict.checks);
  const std::vector<JudgedGpu> gpus = judge_each(input, verdict);
  for (std::size_t i = 0; i < gpus.front().checks.size(); ++i) {
    Check check = merge(gpus, i);
    checks.at(check.name) = std::move(check);
  }
  check_distinct(gpus, checks);
  for (const JudgedGpu& gpu : gpus) {
    verdict.simulated |= gpu.simulated;
    verdict.limit(gpu.valid_until);
    if (!gpu.serial.empty()) verdict.identities.push_back({"gpu_serial", gpu.serial});
  }
  add_claims(gpus, claim_prefix, verdict.claims);
  return checks.passed("gpu_measurements");
}

}  // namespace

void list_gpu_checks(Checklist& checks, const GpuPolicy& policy, bool required, bool switches) {
  checks.add("gpu_rims", required, "manifests");
  checks.add("gpu_ocsp", required, "OCSP answers");
  if (switches || policy.switch_count != 0) list_switch_checks(checks, policy, required);
  checks.add("gpu_distinct", required, "leaf certificates, serials");
  list_each_checks(checks, policy, required);
}

bool examine_gpus(const GpuInput& input, Verdict& verdict) {
  return run(input, verdict, "gpu");
}

Verdict verify_gpus(const GpuInput& input) {
  Verdict verdict;
  verdict.platform = "nvidia";
  Checklist checks(verdict.checks);
  list_gpu_checks(checks, input.policy, true, !input.switches.empty());
  checks.add("simulated", true, "roots");
  list_acceptance_checks(checks, input.policy.acceptance);
  const bool measured = run(input, verdict, input.gpus.size() == 1 ? "" : "gpu");
  record_simulated(verdict, input.policy.accept_simulated);
  conclude(verdict, measured && !verdict.simulated ? Level::ImageMeasured : Level::Declared,
           input.policy.level_min, input.policy.acceptance, input.now);
  return verdict;
}

}  // namespace nostril::attestation
