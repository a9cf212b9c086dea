#include "attestation/snp_verify.h"

#include "attestation/sim_key.h"
#include "attestation/sim_pki.h"
#include "base/json.h"
#include "tests/attestation/snp_fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::judge;
using test::kNow;
using test::roots_of;
using test::simulated_snp_policy;
using test::snp_evidence;
using test::snp_simulator;
using test::status_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

SnpSimulatorOptions turin() {
  SnpSimulatorOptions out;
  out.product = SnpProduct::Turin;
  out.report_version = 5;
  out.reported_tcb = {1, 2, 0, 4, 72};
  return out;
}

SnpSimulatorOptions vlek(SnpProduct product = SnpProduct::Genoa) {
  SnpSimulatorOptions out;
  out.product = product;
  out.signer = SnpSigner::Vlek;
  return out;
}

/// Names of the checks that refuse.
std::vector<std::string> refusals(const Verdict& verdict) {
  std::vector<std::string> out;
  for (const Check& check : verdict.checks) {
    if (refuses(check)) out.push_back(check.name);
  }
  return out;
}

SnpPolicy policy_with(const std::function<void(SnpPolicy&)>& change) {
  SnpPolicy out = simulated_snp_policy();
  change(out);
  return out;
}

TEST(VerifySnp, AcceptsEveryProductSignerAndVersion) {
  SnpSimulatorOptions genoa;
  genoa.product = SnpProduct::Genoa;
  genoa.report_version = 4;
  SnpSimulatorOptions old;
  old.report_version = 2;
  old.certificate_product = "Milan-B0";
  SnpSimulatorOptions turin_vlek = turin();
  turin_vlek.signer = SnpSigner::Vlek;
  for (const auto& options : {SnpSimulatorOptions{}, old, genoa, turin(), vlek(), turin_vlek}) {
    const Verdict verdict = judge(options);
    EXPECT_TRUE(verdict.accepted) << explain(verdict);
    EXPECT_TRUE(verdict.simulated);
    EXPECT_EQ(verdict.level, Level::Declared);
    EXPECT_EQ(verdict.platform, "snp");
    EXPECT_THAT(explain(verdict), StartsWith("ACCEPTED (SIMULATED EVIDENCE - not a TEE)\n"));
  }
}

TEST(VerifySnp, RefusesSimulatedEvidenceByDefault) {
  const SnpSimulator sim = snp_simulator();
  const Verdict by_policy = judge(sim, snp_evidence(sim), SnpPolicy{});
  EXPECT_THAT(refusals(by_policy), ElementsAre("simulated"));

  const Verdict by_root =
      verify_snp(snp_evidence(sim), TrustRoots::amd(), kNow, simulated_snp_policy());
  EXPECT_FALSE(by_root.accepted);
  EXPECT_TRUE(by_root.simulated);
  EXPECT_EQ(by_root.find("vek_chain")->found, "root not trusted");

  const Verdict other =
      verify_snp(snp_evidence(sim), roots_of(snp_simulator({}, 8)), kNow, simulated_snp_policy());
  EXPECT_EQ(status_of(other, "vek_chain"), CheckStatus::Failed);
}

TEST(VerifySnp, CallsARootThatTheCallerNamedSimulated) {
  const SnpSimulator sim = snp_simulator();
  const auto roots = TrustRoots::only(sim.root_der());
  ASSERT_TRUE(roots.has_value());
  const Verdict verdict = verify_snp(snp_evidence(sim), *roots, kNow, SnpPolicy{});
  EXPECT_THAT(refusals(verdict), ElementsAre("simulated"));
}

TEST(VerifySnp, NamesTheBitOfTheGuestsPolicy) {
  SnpSimulatorOptions debug;
  debug.policy |= kSnpPolicyDebug;
  EXPECT_THAT(refusals(judge(debug)), ElementsAre("debug"));
  EXPECT_EQ(judge(debug).find("debug")->found, "policy 0xb0000");
  EXPECT_EQ(judge(debug).find("debug")->wanted, "bit 19 clear");

  SnpSimulatorOptions migrate;
  migrate.policy |= kSnpPolicyMigrate;
  EXPECT_THAT(refusals(judge(migrate)), ElementsAre("migratable"));
  const auto allow = policy_with([](SnpPolicy& p) { p.allow_migratable = true; });
  EXPECT_TRUE(judge(migrate, allow).accepted);

  const auto no_smt = policy_with([](SnpPolicy& p) { p.allow_smt = false; });
  EXPECT_THAT(refusals(judge(SnpSimulatorOptions{}, no_smt)), ElementsAre("smt"));
  SnpSimulatorOptions off;
  off.policy = 0x20000;
  EXPECT_THAT(refusals(judge(off, no_smt)), ElementsAre("smt"));  // on all the same
  off.platform_info = 0x24;
  EXPECT_TRUE(judge(off, no_smt).accepted);

  const auto one = policy_with([](SnpPolicy& p) { p.require_single_socket = true; });
  EXPECT_THAT(refusals(judge(SnpSimulatorOptions{}, one)), ElementsAre("single_socket"));
  SnpSimulatorOptions bound;
  bound.policy |= kSnpPolicySingleSocket;
  EXPECT_TRUE(judge(bound, one).accepted);
}

TEST(VerifySnp, HoldsToTheLowestAbi) {
  const auto wanted = policy_with([](SnpPolicy& p) {
    p.abi_major_min = 1;
    p.abi_minor_min = 51;
  });
  SnpSimulatorOptions options;
  options.policy = 0x30000 | 0x0132;  // 1.50
  EXPECT_THAT(refusals(judge(options, wanted)), ElementsAre("abi"));
  EXPECT_EQ(judge(options, wanted).find("abi")->found, "1.50");
  options.policy = 0x30000 | 0x0133;
  EXPECT_TRUE(judge(options, wanted).accepted);
}

TEST(VerifySnp, HoldsToThePlatformBitsOfThePolicy) {
  const auto needs = policy_with(
      [](SnpPolicy& p) { p.platform_info_required = kSnpPlatformAliasCheck | kSnpPlatformEcc; });
  EXPECT_TRUE(judge(SnpSimulatorOptions{}, needs).accepted);
  SnpSimulatorOptions without;
  without.platform_info = 0x05;
  EXPECT_THAT(refusals(judge(without, needs)), ElementsAre("platform_info"));
  const auto forbids =
      policy_with([](SnpPolicy& p) { p.platform_info_forbidden = kSnpPlatformSmt; });
  EXPECT_THAT(refusals(judge(SnpSimulatorOptions{}, forbids)), ElementsAre("platform_info"));
}

TEST(VerifySnp, HoldsToVmplAndGuestSvn) {
  SnpSimulatorOptions options;
  options.vmpl = 1;
  options.guest_svn = 3;
  EXPECT_THAT(refusals(judge(options)), ElementsAre("vmpl"));
  const auto one = policy_with([](SnpPolicy& p) {
    p.vmpl_max = 1;
    p.guest_svn_min = 4;
  });
  EXPECT_THAT(refusals(judge(options, one)), ElementsAre("guest_svn"));
  options.guest_svn = 4;
  EXPECT_TRUE(judge(options, one).accepted);
}

TEST(VerifySnp, WantsTheCertificateOfTheReportedTcb) {
  for (std::uint8_t SnpTcb::*number :
       {&SnpTcb::fmc, &SnpTcb::bootloader, &SnpTcb::tee, &SnpTcb::snp, &SnpTcb::microcode}) {
    SnpSimulatorOptions options = turin();
    options.certificate_tcb = options.reported_tcb;
    ++((*options.certificate_tcb).*number);
    EXPECT_THAT(refusals(judge(options)), ElementsAre("tcb"));
  }
}

TEST(VerifySnp, ReportedAndCommittedMayNotExceedCurrent) {
  SnpSimulatorOptions newer;
  newer.current_tcb = SnpTcb{0, 4, 0, 24, 213};
  newer.committed_tcb = newer.current_tcb;
  EXPECT_TRUE(judge(newer).accepted);  // a host may report an older level
  SnpSimulatorOptions older;
  older.current_tcb = SnpTcb{0, 4, 0, 22, 213};
  EXPECT_THAT(refusals(judge(older)), ElementsAre("tcb_order"));
  SnpSimulatorOptions committed;
  committed.committed_tcb = SnpTcb{0, 5, 0, 23, 213};
  EXPECT_THAT(refusals(judge(committed)), ElementsAre("tcb_order"));
}

TEST(VerifySnp, HoldsToTheLowestTcbOfItsProduct) {
  const auto with = [](SnpProduct product, const SnpTcb& tcb) {
    return policy_with([&](SnpPolicy& p) { p.tcb_minimums = {{product, tcb}}; });
  };
  const SnpSimulatorOptions milan;
  EXPECT_TRUE(judge(milan, with(SnpProduct::Milan, {0, 4, 0, 23, 213})).accepted);
  EXPECT_THAT(refusals(judge(milan, with(SnpProduct::Milan, {0, 4, 0, 24, 0}))),
              ElementsAre("tcb_minimum"));
  EXPECT_THAT(refusals(judge(milan, with(SnpProduct::Genoa, {}))), ElementsAre("tcb_minimum"));
  SnpSimulatorOptions updated;  // started before the update
  updated.launch_tcb = SnpTcb{0, 4, 0, 20, 213};
  EXPECT_THAT(refusals(judge(updated, with(SnpProduct::Milan, {0, 4, 0, 23, 213}))),
              ElementsAre("tcb_minimum"));
}

TEST(VerifySnp, WantsTheCertificateOfTheChip) {
  SnpSimulatorOptions other;
  other.hwid = Bytes(64, 0x42);
  EXPECT_THAT(refusals(judge(other)), ElementsAre("hardware_id"));
  SnpSimulatorOptions short_id = turin();
  short_id.hwid = Bytes(8, 0x42);
  EXPECT_THAT(refusals(judge(short_id)), ElementsAre("hardware_id"));
  short_id.hwid = Bytes(64, 0x42);  // Milan's form
  EXPECT_EQ(status_of(judge(short_id), "vek_extensions"), CheckStatus::Failed);
}

TEST(VerifySnp, RefusesMaskedChipsUnlessAllowed) {
  SnpSimulatorOptions options;
  options.masked_chip = true;
  const Verdict refused = judge(options);
  EXPECT_EQ(status_of(refused, "hardware_id"), CheckStatus::Failed);
  const auto allow = policy_with([](SnpPolicy& p) { p.allow_masked_chip = true; });
  EXPECT_EQ(status_of(judge(options, allow), "hardware_id"), CheckStatus::Passed);
  // Without the chip's mark this can't be told from a processor: a second lock beside the root.
  EXPECT_THAT(refusals(judge(options, allow)), ElementsAre("platform"));
  SnpSimulatorOptions provider = vlek();
  provider.masked_chip = true;
  EXPECT_TRUE(judge(provider).accepted);
}

TEST(VerifySnp, HoldsToListsOfChipsAndProviders) {
  const SnpSimulator sim = snp_simulator();
  const auto report = parse_snp_report(snp_evidence(sim).report);
  ASSERT_TRUE(report.has_value());
  const auto chips = [](const std::array<std::uint8_t, 64>& chip) {
    return policy_with([&](SnpPolicy& p) { p.allowed_chip_ids = {chip}; });
  };
  EXPECT_TRUE(judge(sim, snp_evidence(sim), chips(report->chip_id)).accepted);
  EXPECT_THAT(refusals(judge(sim, snp_evidence(sim), chips({}))), ElementsAre("hardware_id"));

  const auto csp = [](const std::string& name) {
    return policy_with([&](SnpPolicy& p) { p.allowed_csp_ids = {name}; });
  };
  EXPECT_TRUE(judge(vlek(), csp(std::string(kSimulatorCsp))).accepted);
  EXPECT_THAT(refusals(judge(vlek(), csp("another"))), ElementsAre("hardware_id"));
}

TEST(VerifySnp, RefusesAProviderCertificateWithoutAProvider) {
  SnpSimulatorOptions options = vlek();
  options.csp_id.clear();
  EXPECT_EQ(status_of(judge(options), "vek_extensions"), CheckStatus::Failed);
}

TEST(VerifySnp, RefusesAKeyOfTheOtherKind) {
  const SnpSimulator chip = snp_simulator();
  const SnpSimulator provider = snp_simulator(vlek(SnpProduct::Milan));  // the same keys
  SnpEvidence evidence = snp_evidence(chip);
  evidence.certificates.vek = snp_evidence(provider).certificates.vek;
  evidence.certificates.chain = snp_evidence(provider).certificates.chain;
  const Verdict verdict = judge(chip, evidence);
  EXPECT_EQ(status_of(verdict, "report_signature"), CheckStatus::Passed);
  EXPECT_EQ(status_of(verdict, "vek_extensions"), CheckStatus::Failed);
  EXPECT_EQ(status_of(verdict, "vek_chain"), CheckStatus::Failed);
  EXPECT_FALSE(verdict.accepted);
}

TEST(VerifySnp, WantsOneProductOfReportCertificateAndChain) {
  SnpSimulatorOptions cpuid;
  cpuid.cpuid = SnpCpuid{0x19, 0x11, 0};
  EXPECT_THAT(refusals(judge(cpuid)), ElementsAre("product"));
  cpuid.cpuid = SnpCpuid{0x17, 0x31, 0};
  EXPECT_THAT(refusals(judge(cpuid)), ElementsAre("product"));
  EXPECT_THAT(judge(cpuid).find("product")->found, HasSubstr("an unknown processor"));
  SnpSimulatorOptions name;
  name.certificate_product = "Genoa";  // under the chain of Milan
  EXPECT_THAT(refusals(judge(name)), ElementsAre("product"));
  name.certificate_product = "Naples";
  EXPECT_EQ(status_of(judge(name), "vek_extensions"), CheckStatus::Failed);
  name.certificate_product = "Milan-";
  EXPECT_EQ(status_of(judge(name), "vek_extensions"), CheckStatus::Failed);
}

TEST(VerifySnp, WantsEveryCertificateValidNow) {
  SnpSimulatorOptions options;
  options.leaf_not_after = kNow - 1;
  EXPECT_EQ(judge(options).find("vek_chain")->found, "certificate expired");
  options.leaf_not_after = kNow;
  EXPECT_TRUE(judge(options).accepted);
  options.leaf_not_before = kNow + 1;
  options.leaf_not_after = kNow + 2;
  EXPECT_EQ(judge(options).find("vek_chain")->found, "certificate not yet valid");
}

TEST(VerifySnp, RefusesBrokenChains) {
  SnpSimulatorOptions no_ca;
  no_ca.issuer_is_ca = false;
  EXPECT_EQ(judge(no_ca).find("vek_chain")->found, "issuer may not sign certificates");

  const SnpSimulator sim = snp_simulator();
  SnpEvidence evidence = snp_evidence(sim);
  evidence.certificates.vek[evidence.certificates.vek.size() - 1] ^= 1;
  EXPECT_EQ(judge(sim, evidence).find("vek_chain")->found, "certificate not signed by its issuer");
  evidence.certificates.vek.pop_back();
  EXPECT_EQ(judge(sim, evidence).find("vek_chain")->found, "malformed certificate");

  SnpEvidence lone = snp_evidence(sim);
  lone.certificates.chain.clear();  // and nothing built in is of this issuer
  EXPECT_EQ(judge(sim, lone).find("vek_chain")->found, "chain of the wrong length");
  lone.certificates.chain = "rubbish";
  EXPECT_EQ(judge(sim, lone).find("vek_chain")->found, "malformed PEM");
  lone.certificates.chain = std::string((64U << 10U) + 1, 'x');
  EXPECT_EQ(judge(sim, lone).find("vek_chain")->found, "malformed PEM");
}

TEST(VerifySnp, WantsAmdsAlgorithms) {
  // A chain of P-256 keys under names, extensions and a root that are otherwise right.
  const AmdNames names = amd_names(TrustRoots::Class::Test, SnpSigner::Vcek, SnpProduct::Milan);
  const SimKey root_key(test::filled(1), "root");
  const SimKey384 leaf_key(test::filled(1), "leaf");
  const UnixTime until = kNow + 1;
  const Bytes root =
      make_certificate({names.root, names.root, 1, 0, until, true, 1, {}}, root_key, root_key);
  const Bytes issuer =
      make_certificate({names.issuer, names.root, 2, 0, until, true, 0, {}}, root_key, root_key);
  SnpEvidence evidence = snp_evidence(snp_simulator());
  evidence.certificates.vek =
      make_certificate({names.leaf, names.issuer, 3, 0, until, false, 0, {}}, leaf_key, root_key);
  evidence.certificates.chain = to_pem(std::vector<Bytes>{issuer, root});
  const auto roots = TrustRoots::with_test_root(root);
  ASSERT_TRUE(roots.has_value());
  const Verdict verdict = verify_snp(evidence, *roots, kNow, simulated_snp_policy());
  EXPECT_EQ(verdict.find("vek_chain")->found, "key or signature of another algorithm");
}

TEST(VerifySnp, LooksAtTheCrlThatIsGiven) {
  const auto needs = policy_with([](SnpPolicy& p) { p.require_crl = true; });
  const SnpSimulator sim = snp_simulator();
  SnpEvidence evidence = snp_evidence(sim);
  EXPECT_EQ(status_of(judge(sim, evidence), "revocation"), CheckStatus::NotChecked);
  EXPECT_THAT(refusals(judge(sim, evidence, needs)), ElementsAre("revocation"));
  evidence.certificates.crl = sim.crl(kNow);
  EXPECT_TRUE(judge(sim, evidence, needs).accepted);
  evidence.certificates.crl = sim.crl(kNow - 60LL * 86400);
  EXPECT_EQ(judge(sim, evidence).find("revocation")->found, "CRL expired");
  evidence.certificates.crl = snp_simulator({}, 8).crl(kNow);
  EXPECT_EQ(judge(sim, evidence).find("revocation")->found, "CRL signature");
  evidence.certificates.crl = {1, 2, 3};
  EXPECT_THAT(refusals(judge(sim, evidence)), ElementsAre("revocation"));

  for (const SnpSigner signer : {SnpSigner::Vcek, SnpSigner::Vlek}) {
    SnpSimulatorOptions revoked;
    revoked.signer = signer;
    revoked.revoke_issuer = true;
    const SnpSimulator bad = snp_simulator(revoked);
    SnpEvidence theirs = snp_evidence(bad);
    theirs.certificates.crl = bad.crl(kNow);
    EXPECT_THAT(refusals(judge(bad, theirs)), ElementsAre("revocation"));
    EXPECT_EQ(judge(bad, theirs).find("revocation")->found, "certificate revoked");
  }
}

TEST(VerifySnp, ComparesMeasurementHostDataAndNonce) {
  const SnpSimulator sim = snp_simulator();
  const SnpEvidence evidence = snp_evidence(sim);
  SnpPolicy policy = simulated_snp_policy();
  policy.allowed_measurements = {test::measurement(1), test::measurement(0xa0)};
  policy.allowed_host_data = {{}};
  const auto report_data = test::snp_report_data();
  policy.nonce.assign(report_data.begin() + 32, report_data.end());
  EXPECT_TRUE(judge(sim, evidence, policy).accepted);
  policy.nonce.assign(report_data.begin(), report_data.end());
  EXPECT_TRUE(judge(sim, evidence, policy).accepted);
  policy.nonce.push_back(0);
  EXPECT_THAT(refusals(judge(sim, evidence, policy)), ElementsAre("report_data"));
  policy.nonce.assign(32, 9);
  policy.allowed_measurements.pop_back();
  policy.allowed_host_data = {test::filled(1)};
  EXPECT_THAT(refusals(judge(sim, evidence, policy)),
              ElementsAre("report_data", "measurements", "host_data"));
}

TEST(VerifySnp, SimulatedEvidenceIsNeverMoreThanDeclared) {
  SnpPolicy policy = simulated_snp_policy();
  policy.allowed_measurements = {test::measurement(0xa0)};
  policy.level_min = Level::ImageMeasured;
  EXPECT_THAT(refusals(judge(SnpSimulatorOptions{}, policy)), ElementsAre("level"));
}

TEST(VerifySnp, RefusesWhatItCannotReadWithoutLookingOn) {
  const SnpSimulator sim = snp_simulator();
  SnpEvidence evidence = snp_evidence(sim);
  evidence.report.pop_back();
  const Verdict verdict = judge(sim, evidence);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.find("report_format")->found, "not 1184 bytes");
  EXPECT_EQ(status_of(verdict, "report_signature"), CheckStatus::NotChecked);
  EXPECT_TRUE(verdict.claims.empty());
}

TEST(VerifySnp, NeverAcceptsAChangedReport) {
  const SnpSimulator sim = snp_simulator();
  const SnpEvidence sound = snp_evidence(sim);
  const TrustRoots roots = roots_of(sim);
  for (std::size_t offset = 0; offset < sound.report.size(); ++offset) {
    SnpEvidence evidence = sound;
    evidence.report[offset] ^= static_cast<std::uint8_t>(1U << (offset % 8));
    const Verdict verdict = verify_snp(evidence, roots, kNow, simulated_snp_policy());
    ASSERT_FALSE(verdict.accepted) << offset;
    ASSERT_FALSE(refusals(verdict).empty());
  }
}

TEST(VerifySnp, NeverAcceptsAChangedCertificate) {
  const SnpSimulator sim = snp_simulator();
  const SnpEvidence sound = snp_evidence(sim);
  const TrustRoots roots = roots_of(sim);
  for (std::size_t offset = 0; offset < sound.certificates.vek.size(); ++offset) {
    SnpEvidence evidence = sound;
    evidence.certificates.vek[offset] ^= static_cast<std::uint8_t>(1U << (offset % 8));
    ASSERT_FALSE(verify_snp(evidence, roots, kNow, simulated_snp_policy()).accepted) << offset;
  }
}

TEST(VerifySnp, WritesTheVerdictAsJson) {
  SnpSimulatorOptions options = turin();
  options.vmpl = 2;
  const Verdict verdict = judge(options);
  const auto json = Json::parse(to_json(verdict));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(json->find_boolean("ok"), false);
  EXPECT_EQ(json->find_string("status"), "Refused");
  EXPECT_EQ(json->find_boolean("simulated"), true);
  ASSERT_EQ(json->find("failed")->items().size(), 1U);
  const Json& failed = json->find("failed")->items()[0];
  EXPECT_EQ(failed.find_string("check"), "vmpl");
  EXPECT_EQ(failed.find_string("found"), "2");
  EXPECT_EQ(failed.find_string("wanted"), "at most 0");
  const Json* claims = json->find("claims");
  EXPECT_EQ(claims->find_string("product"), "Turin");
  EXPECT_EQ(claims->find_integer("report_version"), 5);
  EXPECT_EQ(claims->find("tcb")->find_integer("fmc"), 1);
  EXPECT_EQ(claims->find("tcb")->find_integer("ucode"), 72);
  EXPECT_EQ(claims->find_integer("tcb"), std::nullopt);
}

TEST(VerifySnp, SameSeedSameBytes) {
  EXPECT_EQ(snp_evidence(snp_simulator()).report, snp_evidence(snp_simulator()).report);
  EXPECT_EQ(snp_evidence(snp_simulator()).certificates.vek,
            snp_evidence(snp_simulator()).certificates.vek);
  EXPECT_NE(snp_evidence(snp_simulator()).certificates.vek,
            snp_evidence(snp_simulator({}, 8)).certificates.vek);
}

}  // namespace
}  // namespace nostril::attestation
