#include "attestation/snp_verify.h"

#include "attestation/amd_certificates.h"
#include "attestation/checklist.h"
#include "attestation/ecdsa.h"
#include "attestation/evidence.h"
#include "attestation/verify.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

template <typename T>
bool is_listed(const std::vector<T>& list, const T& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string to_text(const SnpTcb& tcb, SnpProduct product) {
  const std::string fmc =
      product == SnpProduct::Turin ? fmt::format("fmc {}, ", tcb.fmc) : std::string();
  return fmt::format("{}bl {}, tee {}, snp {}, ucode {}", fmc, tcb.bootloader, tcb.tee, tcb.snp,
                     tcb.microcode);
}

std::string to_text(const std::optional<SnpTcb>& tcb, SnpProduct product) {
  return tcb ? to_text(*tcb, product) : "reserved bytes are set";
}

std::string to_text(const SnpFirmware& firmware) {
  return fmt::format("{}.{}.{}", firmware.major, firmware.minor, firmware.build);
}

/// VCEK or VLEK, ASK or ASVK, ARK; no names checked yet.
struct VekChain {
  std::vector<Certificate> certificates;
  TrustRoots::Class root_class = TrustRoots::Class::Genuine;
};

/// The leaf and its issuers: from the evidence, else AMD's own.
Result<std::vector<Certificate>, ChainError> assemble(const SnpEvidence& evidence,
                                                      Certificate leaf) {
  const X509_NAME* name = X509_get_issuer_name(leaf.get());
  const std::string pem = evidence.certificates.chain.empty() ? amd_issuer_chain(common_name(name))
                                                              : evidence.certificates.chain;
  if (pem.size() > kIssuerChainBytesMax) return failure(ChainError::BadPem);
  auto issuers = parse_pem_chain(pem);
  if (!issuers) return failure(issuers.error());
  if (issuers->size() != 2) return failure(ChainError::WrongLength);
  std::vector<Certificate> out;
  out.push_back(std::move(leaf));
  for (Certificate& issuer : *issuers) out.push_back(std::move(issuer));
  return out;
}

Result<VekChain, ChainError> check_vek_chain(const SnpEvidence& evidence, Certificate leaf,
                                             const TrustRoots& roots, UnixTime now) {
  auto certificates = assemble(evidence, std::move(leaf));
  if (!certificates) return failure(certificates.error());
  const auto root_class = roots.classify(certificates->back().der);
  if (!root_class) return failure(ChainError::UntrustedRoot);
  if (const auto error = check_chain(*certificates, Algorithms::Amd, now)) return failure(*error);
  return VekChain{std::move(*certificates), *root_class};
}

class SnpExamination {
 public:
  SnpExamination(const SnpEvidence& evidence, const TrustRoots& roots, UnixTime now,
                 const SnpPolicy& policy, Verdict& verdict)
      : evidence_(evidence),
        roots_(roots),
        now_(now),
        policy_(policy),
        verdict_(verdict),
        checks_(verdict.checks) {}

  std::optional<TrustRoots::Class> run() {
    const auto report = parse_snp_report(evidence_.report);
    record("report_format", report.has_value(),
           report ? fmt::format("SNP report, version {}", report->version)
                  : std::string(to_string(report.error())),
           "an SNP report, version 2 to 5");
    if (!report) return std::nullopt;
    return examine(*report);
  }

 private:
  bool record(std::string_view name, bool passed, std::string found, std::string wanted) {
    return checks_.record(name, passed, std::move(found), std::move(wanted));
  }

  void claim(std::string name, Claim::Value value, std::string source) {
    verdict_.claims.push_back({std::move(name), std::move(value), std::move(source)});
  }

  std::optional<TrustRoots::Class> examine(const SnpReport& report) {
    verdict_.platform = "snp";
    claim_report(report);
    check_guest_policy(report);
    check_platform_info(report);
    check_contents(report);
    return check_key(report);
  }

  void claim_report(const SnpReport& report) {
    claim("report_version", std::int64_t{report.version}, "report 0x000");
    claim("guest_svn", std::int64_t{report.guest_svn}, "report 0x004");
    claim("policy", fmt::format("0x{:x}", report.policy), "report 0x008");
    claim("family_id", encode_hex(report.family_id), "report 0x010");
    claim("image_id", encode_hex(report.image_id), "report 0x020");
    claim("vmpl", std::int64_t{report.vmpl}, "report 0x030");
    claim("platform_info", fmt::format("0x{:x}", report.platform_info), "report 0x040");
    claim("signer", report.signer == SnpSigner::Vcek ? "VCEK" : "VLEK", "report 0x048");
    claim("report_data", encode_hex(report.report_data), "report 0x050");
    claim("measurement", encode_hex(report.measurement), "report 0x090");
    claim("host_data", encode_hex(report.host_data), "report 0x0c0");
    claim("id_key_digest", encode_hex(report.id_key_digest), "report 0x0e0");
    claim("author_key_digest", encode_hex(report.author_key_digest), "report 0x110");
    claim("report_id", encode_hex(report.report_id), "report 0x140");
    claim("chip_id", encode_hex(report.chip_id), "report 0x1a0");
    claim("firmware", to_text(report.current), "report 0x1e8");
    claim("committed_firmware", to_text(report.committed), "report 0x1ec");
    if (report.version >= 5) {
      claim("launch_mitigations", fmt::format("0x{:x}", report.launch_mitigations), "report 0x1f8");
      claim("current_mitigations", fmt::format("0x{:x}", report.current_mitigations),
            "report 0x200");
    }
  }

  void check_guest_policy(const SnpReport& report) {
    const std::uint64_t bits = report.policy;
    const std::string found = fmt::format("policy 0x{:x}", bits);
    record("debug", (bits & kSnpPolicyDebug) == 0, found, "bit 19 clear");
    record("migratable", (bits & kSnpPolicyMigrate) == 0 || policy_.allow_migratable, found,
           policy_.allow_migratable ? "any" : "bit 18 clear");
    const bool smt = (bits & kSnpPolicySmt) != 0 || (report.platform_info & kSnpPlatformSmt) != 0;
    record("smt", !smt || policy_.allow_smt,
           fmt::format("{}, platform_info 0x{:x}", found, report.platform_info),
           policy_.allow_smt ? "any" : "SMT neither allowed nor on");
    record("single_socket", (bits & kSnpPolicySingleSocket) != 0 || !policy_.require_single_socket,
           found, policy_.require_single_socket ? "bit 20 set" : "any");
    const auto abi = static_cast<std::uint16_t>(bits & 0xffffU);
    const auto wanted =
        static_cast<std::uint16_t>(policy_.abi_major_min << 8U | policy_.abi_minor_min);
    record("abi", abi >= wanted, fmt::format("{}.{}", abi >> 8U, abi & 0xffU),
           fmt::format("{}.{} or later", policy_.abi_major_min, policy_.abi_minor_min));
  }

  void check_platform_info(const SnpReport& report) {
    const std::uint64_t bits = report.platform_info;
    const bool required = (bits & policy_.platform_info_required) == policy_.platform_info_required;
    const bool forbidden = (bits & policy_.platform_info_forbidden) != 0;
    record("platform_info", required && !forbidden, fmt::format("0x{:x}", bits),
           fmt::format("bits 0x{:x} set, 0x{:x} clear", policy_.platform_info_required,
                       policy_.platform_info_forbidden));
  }

  void check_contents(const SnpReport& report) {
    if (!policy_.nonce.empty()) {
      record("report_data", carries_nonce(report.report_data, policy_.nonce),
             encode_hex(report.report_data), "ends in " + encode_hex(policy_.nonce));
    }
    record("vmpl", report.vmpl <= policy_.vmpl_max, fmt::format("{}", report.vmpl),
           fmt::format("at most {}", policy_.vmpl_max));
    record("guest_svn", report.guest_svn >= policy_.guest_svn_min,
           fmt::format("{}", report.guest_svn), fmt::format("at least {}", policy_.guest_svn_min));
    verdict_.identities.push_back({"measurement", encode_hex(report.measurement)});
    verdict_.identities.push_back({"host_data", encode_hex(report.host_data)});
    const auto& images = policy_.allowed_measurements;
    record_known(verdict_, "measurements", Subject::Image, encode_hex(report.measurement),
                 is_listed(images, report.measurement),
                 !images.empty() || policy_.level_min >= Level::ImageMeasured, policy_.acceptance,
                 now_);
    if (!policy_.allowed_host_data.empty()) {
      record("host_data", is_listed(policy_.allowed_host_data, report.host_data),
             encode_hex(report.host_data), "one in the policy's list");
    }
  }

  /// The key that signed: whose it is, and of what.
  std::optional<TrustRoots::Class> check_key(const SnpReport& report) {
    auto leaf = parse_certificate(evidence_.certificates.vek);
    if (!leaf) {
      record_simulated(verdict_, policy_.accept_simulated);
      record("vek_chain", false, std::string(to_string(ChainError::BadCertificate)),
             "VEK, its issuer and a trusted root, valid now");
      return std::nullopt;
    }
    record("report_signature",
           verify_p384(p384_key_of(*leaf), report.signed_part, report.signature),
           "report signature", "by the key of the certificate");
    const auto extensions = vek_extensions(*leaf, report.signer);
    record("vek_extensions", extensions.has_value(), extensions ? "sound" : "malformed or missing",
           report.signer == SnpSigner::Vcek ? "those of a VCEK" : "those of a VLEK");
    if (extensions) {
      claim("product", std::string(to_string(extensions->product)), "VEK extension .2");
    }
    const auto chain = check_vek_chain(evidence_, std::move(*leaf), roots_, now_);
    const bool marked = extensions && is_marked(report, *extensions);
    verdict_.simulated |= marked || (chain && chain->root_class != TrustRoots::Class::Genuine);
    record_simulated(verdict_, policy_.accept_simulated);
    check_chain_names(report, chain, extensions);
    if (extensions) check_tcb(report, *extensions);
    if (extensions) check_hardware(report, *extensions);
    if (!chain) return std::nullopt;
    verdict_.limit(valid_until(chain->certificates));
    claim("root_sha256", encode_hex(sha256(chain->certificates.back().der)), "chain, ARK");
    check_revocation(*chain);
    const bool test = chain->root_class == TrustRoots::Class::Test;
    if (extensions) {
      record("platform", marked == test, marked ? "the simulator's" : "a processor's",
             test ? "the simulator's" : "a processor's");
    }
    return chain->root_class;
  }

  static bool is_marked(const SnpReport& report, const VekExtensions& extensions) {
    return std::equal(kSimulatorChip.begin(), kSimulatorChip.end(), report.chip_id.begin()) ||
           extensions.csp_id == kSimulatorCsp;
  }

  void check_chain_names(const SnpReport& report, const Result<VekChain, ChainError>& chain,
                         const std::optional<VekExtensions>& extensions) {
    const std::string wanted = "VEK, its issuer and a trusted root, valid now";
    if (!chain) {
      record("vek_chain", false, std::string(to_string(chain.error())), wanted);
      return;
    }
    std::string found;
    for (const Certificate& certificate : chain->certificates) {
      found += (found.empty() ? "" : " <- ") + common_name(certificate);
    }
    record("vek_chain", is_named(*chain, report.signer), found, wanted);
    if (!extensions) return;
    const auto by_cpuid = report.cpuid ? product_of(*report.cpuid) : extensions->product;
    const AmdNames names = amd_names(chain->root_class, report.signer, extensions->product);
    const bool same = by_cpuid == extensions->product &&
                      common_name(chain->certificates[0]) == names.leaf &&
                      common_name(chain->certificates[1]) == names.issuer &&
                      common_name(chain->certificates[2]) == names.root;
    const std::string cpuid(by_cpuid ? to_string(*by_cpuid) : "an unknown processor");
    record("product", same,
           fmt::format("{}, certificate of {}, chain {}", cpuid, to_string(extensions->product),
                       found),
           fmt::format("{} <- {} <- {}", names.leaf, names.issuer, names.root));
  }

  /// The names are those of some product.
  static bool is_named(const VekChain& chain, SnpSigner signer) {
    const auto fits = [&](SnpProduct product) {
      const AmdNames names = amd_names(chain.root_class, signer, product);
      return common_name(chain.certificates[0]) == names.leaf &&
             common_name(chain.certificates[1]) == names.issuer &&
             common_name(chain.certificates[2]) == names.root;
    };
    return fits(SnpProduct::Milan) || fits(SnpProduct::Genoa) || fits(SnpProduct::Turin);
  }

  void check_tcb(const SnpReport& report, const VekExtensions& extensions) {
    const SnpProduct product = extensions.product;
    const auto reported = decode_snp_tcb(report.reported_tcb, product);
    const auto current = decode_snp_tcb(report.current_tcb, product);
    const auto committed = decode_snp_tcb(report.committed_tcb, product);
    const auto launch = decode_snp_tcb(report.launch_tcb, product);
    if (reported) claim_tcb(*reported, product);
    record("tcb", reported == extensions.tcb, to_text(reported, product),
           to_text(extensions.tcb, product));
    record("tcb_order",
           reported && current && committed && launch && reaches(*current, *reported) &&
               reaches(*current, *committed),
           fmt::format("reported {}; committed {}; current {}", to_text(reported, product),
                       to_text(committed, product), to_text(current, product)),
           "reported and committed not above current");
    if (!policy_.tcb_minimums.empty()) check_tcb_minimum(reported, launch, product);
  }

  void claim_tcb(const SnpTcb& tcb, SnpProduct product) {
    const std::string source = "report 0x180";
    if (product == SnpProduct::Turin) claim("tcb.fmc", std::int64_t{tcb.fmc}, source);
    claim("tcb.bl", std::int64_t{tcb.bootloader}, source);
    claim("tcb.tee", std::int64_t{tcb.tee}, source);
    claim("tcb.snp", std::int64_t{tcb.snp}, source);
    claim("tcb.ucode", std::int64_t{tcb.microcode}, source);
  }

  void check_tcb_minimum(const std::optional<SnpTcb>& reported, const std::optional<SnpTcb>& launch,
                         SnpProduct product) {
    const auto& list = policy_.tcb_minimums;
    const auto wanted = std::find_if(list.begin(), list.end(), [product](const auto& minimum) {
      return minimum.product == product;
    });
    const std::string found =
        fmt::format("reported {}; launch {}", to_text(reported, product), to_text(launch, product));
    if (wanted == list.end()) {
      record("tcb_minimum", false, found, "a product that the policy lists");
      return;
    }
    record("tcb_minimum",
           reported && launch && reaches(*reported, wanted->tcb) && reaches(*launch, wanted->tcb),
           found, "at least " + to_text(wanted->tcb, product));
  }

  void check_hardware(const SnpReport& report, const VekExtensions& extensions) {
    const ByteSpan chip(report.chip_id);
    const bool masked = std::all_of(chip.begin(), chip.end(), [](auto byte) { return byte == 0; });
    if (!masked) verdict_.identities.push_back({"chip_id", encode_hex(chip)});
    const bool chip_listed =
        policy_.allowed_chip_ids.empty() || is_listed(policy_.allowed_chip_ids, report.chip_id);
    if (report.signer == SnpSigner::Vlek) {
      claim("csp_id", extensions.csp_id, "VEK extension .5");
      const bool listed =
          policy_.allowed_csp_ids.empty() || is_listed(policy_.allowed_csp_ids, extensions.csp_id);
      record("hardware_id", listed && chip_listed,
             fmt::format("provider {}, chip {}", extensions.csp_id, encode_hex(chip)),
             "provider and chip in the policy's lists, where it has any");
      return;
    }
    if (report.masked_chip_key || masked) {
      record("hardware_id", policy_.allow_masked_chip && masked && chip_listed,
             "masked: chip " + encode_hex(chip),
             policy_.allow_masked_chip ? "zero" : "the certificate's hardware id");
      return;
    }
    std::array<std::uint8_t, 64> wanted{};  // Turin's is shorter: the rest is zero
    std::copy(extensions.hwid.begin(), extensions.hwid.end(), wanted.begin());
    record("hardware_id", report.chip_id == wanted && chip_listed, encode_hex(chip),
           encode_hex(wanted) + (policy_.allowed_chip_ids.empty() ? "" : ", in the policy's list"));
  }

  void check_revocation(const VekChain& chain) {
    const std::string wanted = "a current CRL of the ARK, without the issuer of the key";
    checks_.at("revocation").wanted = wanted;
    if (evidence_.certificates.crl.empty()) return;
    if (evidence_.certificates.crl.size() > kCrlBytesMax) {
      record("revocation", false, "CRL too large", wanted);
      return;
    }
    const auto crl = parse_crl(evidence_.certificates.crl, chain.certificates.back(), now_);
    if (!crl) {
      record("revocation", false, std::string(to_string(crl.error())), wanted);
      return;
    }
    verdict_.limit(valid_until(*crl));
    const bool revoked = is_revoked(*crl, chain.certificates[1]);  // the ARK signs no leaves
    record("revocation", !revoked, revoked ? "certificate revoked" : "not revoked", wanted);
  }

  const SnpEvidence& evidence_;
  const TrustRoots& roots_;
  const UnixTime now_;
  const SnpPolicy& policy_;
  Verdict& verdict_;
  Checklist checks_;
};

}  // namespace

AmdNames amd_names(TrustRoots::Class root_class, SnpSigner signer, SnpProduct product) {
  const std::string name(to_string(product));
  const bool vlek = signer == SnpSigner::Vlek;
  AmdNames out{"ARK-" + name, (vlek ? "SEV-VLEK-" : "SEV-") + name, vlek ? "SEV-VLEK" : "SEV-VCEK"};
  if (root_class == TrustRoots::Class::Test) {
    out.root = kTestRootName;
    out.issuer = "NOSTRIL TEST " + out.issuer;
    out.leaf = "NOSTRIL TEST " + out.leaf;
  }
  return out;
}

void list_snp_checks(Checklist& checks, const SnpPolicy& policy) {
  checks.add("report_format", true, "report");
  checks.add("report_data", !policy.nonce.empty(), "report 0x050");
  checks.add("debug", true, "report 0x008, policy bit 19");
  checks.add("migratable", true, "report 0x008, policy bit 18");
  checks.add("smt", true, "report 0x008, policy bit 16; 0x040, platform_info bit 0");
  checks.add("single_socket", true, "report 0x008, policy bit 20");
  checks.add("abi", true, "report 0x008, policy bits 0 to 15");
  checks.add("platform_info", true, "report 0x040");
  checks.add("vmpl", true, "report 0x030");
  checks.add("guest_svn", true, "report 0x004");
  checks.add("measurements",
             !policy.allowed_measurements.empty() || policy.level_min >= Level::ImageMeasured ||
                 demands(policy.acceptance, Subject::Image),
             "report 0x090");
  checks.add("host_data", !policy.allowed_host_data.empty(), "report 0x0c0");
  checks.add("vek_chain", true, "VCEK or VLEK certificate, ASK or ASVK, ARK");
  checks.add("simulated", true, "root; marks of the simulator");
  checks.add("vek_extensions", true, "VCEK or VLEK, extensions 1.3.6.1.4.1.3704.1");
  checks.add("report_signature", true, "report 0x2a0 over 0x000 to 0x29f; VCEK or VLEK key");
  checks.add("product", true, "report 0x188, CPUID; VEK extension .2; names of the chain");
  checks.add("tcb", true, "report 0x180, reported_tcb; VEK extensions .3");
  checks.add("tcb_order", true, "report 0x038, 0x180, 0x1e0");
  checks.add("tcb_minimum", !policy.tcb_minimums.empty(), "report 0x180, 0x1f0");
  checks.add("hardware_id", true, "report 0x1a0, chip_id; VEK extension .4 or .5");
  checks.add("platform", true, "report 0x1a0, chip_id; VEK extension .5; root");
  checks.add("revocation", policy.require_crl, "CRL of the ARK; ASK or ASVK");
}

std::optional<TrustRoots::Class> examine_snp(const SnpEvidence& evidence, const TrustRoots& roots,
                                             UnixTime now, const SnpPolicy& policy,
                                             Verdict& verdict) {
  return SnpExamination(evidence, roots, now, policy, verdict).run();
}

std::vector<std::string> fixed_registers(const SnpPolicy& policy) {
  if (policy.allowed_host_data.empty()) return {};
  return {"host_data"};
}

Verdict verify_snp(const SnpEvidence& evidence, const TrustRoots& roots, UnixTime now,
                   const SnpPolicy& policy) {
  Verdict verdict;
  Checklist checks(verdict.checks);
  list_snp_checks(checks, policy);
  list_open_registers(checks, policy.level_min);
  list_acceptance_checks(checks, policy.acceptance);
  examine_snp(evidence, roots, now, policy, verdict);
  const bool closed =
      record_open_registers(verdict, fixed_registers(policy), policy.acceptance, now);
  const bool measured = closed && checks.passed("measurements") && !verdict.simulated;
  conclude(verdict, measured ? Level::ImageMeasured : Level::Declared, policy.level_min,
           policy.acceptance, now);
  return verdict;
}

}  // namespace nostril::attestation
