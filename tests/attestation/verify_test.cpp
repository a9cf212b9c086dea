#include "attestation/verify.h"

#include "attestation/pack.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace nostril::attestation {
namespace {

using test::judge;
using test::kNow;
using test::roots_of;
using test::simulated_policy;
using test::simulator;
using test::sound_evidence;
using test::statement;
using test::status_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct FieldCase {
  std::string check;
  std::function<void(Statement&)> change;
};

std::vector<FieldCase> field_cases() {
  return {
      {"node_key", [](Statement& s) { s.node.bytes[0] ^= 1; }},
      {"encryption_key", [](Statement& s) { s.encryption_key.bytes[0] ^= 1; }},
      {"encryption_key_expiry", [](Statement& s) { s.encryption_key_expires_at += 1; }},
      {"tls_key", [](Statement& s) { s.tls_spki.bytes[0] ^= 1; }},
      {"gpu_evidence", [](Statement& s) { s.gpu_evidence.bytes[0] ^= 1; }},
      {"model_manifest", [](Statement& s) { s.model_manifest.bytes[0] ^= 1; }},
      {"nonce", [](Statement& s) { s.nonce[0] ^= 1; }},
  };
}

TEST(Verify, AcceptsSoundSimulatedEvidenceWhenAskedTo) {
  const Simulator sim = simulator();
  const Verdict verdict = judge(sim, sound_evidence(sim));
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_EQ(verdict.level, Level::Declared);
  EXPECT_EQ(verdict.tcb_status, "UpToDate");
  EXPECT_EQ(verdict.platform, "tdx");
  EXPECT_EQ(verdict.platform_id.fmspc, "514d00000000");
  EXPECT_EQ(verdict.measurements, test::measurements());
  EXPECT_THAT(explain(verdict), StartsWith("ACCEPTED (SIMULATED EVIDENCE - not a TEE)\n"));
}

TEST(Verify, AcceptsSoundVersion5Quotes) {
  SimulatorOptions options;
  options.quote_version = 5;
  const Simulator sim = simulator(options);
  EXPECT_TRUE(judge(sim, sound_evidence(sim)).accepted);
}

TEST(Verify, AcceptsFreshRandomSimulators) {
  SystemRng rng;
  const Simulator sim(rng);
  EXPECT_TRUE(judge(sim, sound_evidence(sim)).accepted);
}

TEST(Verify, RefusesSimulatedEvidenceByDefault) {
  const Simulator sim = simulator();
  const Verdict with_root = judge(sim, sound_evidence(sim), Policy{});
  EXPECT_FALSE(with_root.accepted);
  EXPECT_EQ(status_of(with_root, "simulated"), CheckStatus::Failed);

  const Verdict without =
      verify(sound_evidence(sim), statement(), TrustRoots::intel(), kNow, Policy{});
  EXPECT_FALSE(without.accepted);
  EXPECT_TRUE(without.simulated);
  EXPECT_EQ(status_of(without, "pck_chain"), CheckStatus::Failed);
  EXPECT_THAT(explain(without), StartsWith("REFUSED (SIMULATED EVIDENCE - not a TEE)\n"));
}

TEST(Verify, RefusesSimulatedEvidenceUnlessItsRootWasGiven) {
  const Simulator sim = simulator();
  const Verdict none =
      verify(sound_evidence(sim), statement(), TrustRoots::intel(), kNow, simulated_policy());
  EXPECT_FALSE(none.accepted);
  const Simulator other = simulator({}, 8);
  const Verdict wrong =
      verify(sound_evidence(sim), statement(), roots_of(other), kNow, simulated_policy());
  EXPECT_FALSE(wrong.accepted);
  EXPECT_EQ(status_of(wrong, "pck_chain"), CheckStatus::Failed);
}

TEST(Verify, RefusesSimulatedEvidenceThatCallsItselfGenuine) {
  const Simulator sim = simulator();
  Evidence evidence = sound_evidence(sim);
  evidence.kind = kKindTdx;
  const Verdict verdict = judge(sim, evidence);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_EQ(status_of(verdict, "kind"), CheckStatus::Failed);
  evidence.kind = "sgx";
  EXPECT_EQ(status_of(judge(sim, evidence), "kind"), CheckStatus::Failed);
}

TEST(Verify, NamesTheStatementFieldThatDiffers) {
  const Simulator sim = simulator();
  for (const FieldCase& field : field_cases()) {
    // The caller expects something else than the node claims and the quote binds.
    Statement expected = statement();
    field.change(expected);
    const Verdict verdict =
        verify(sound_evidence(sim), expected, roots_of(sim), kNow, simulated_policy());
    EXPECT_FALSE(verdict.accepted) << field.check;
    EXPECT_EQ(status_of(verdict, field.check), CheckStatus::Failed) << field.check;
    EXPECT_EQ(status_of(verdict, "report_data"), CheckStatus::Failed) << field.check;
    EXPECT_THAT(summary(verdict), HasSubstr(field.check));
  }
}

TEST(Verify, RefusesAClaimThatTheQuoteDoesNotBind) {
  const Simulator sim = simulator();
  for (const FieldCase& field : field_cases()) {
    // Node and caller agree, but the quote was made over something else.
    Statement lie = statement();
    field.change(lie);
    Evidence evidence = sound_evidence(sim);
    evidence.statement = lie;
    const Verdict verdict = verify(evidence, lie, roots_of(sim), kNow, simulated_policy());
    EXPECT_FALSE(verdict.accepted) << field.check;
    EXPECT_EQ(status_of(verdict, "report_data"), CheckStatus::Failed) << field.check;
  }
}

TEST(Verify, NeverAcceptsAChangedQuote) {
  const Simulator sim = simulator();
  const Evidence sound = sound_evidence(sim);
  // Every 7th byte, one bit each, the bits in turn: all regions are hit, in a bearable time.
  for (std::size_t offset = 0; offset < sound.cpu_quote.size(); offset += 7) {
    Evidence evidence = sound;
    evidence.cpu_quote[offset] ^= static_cast<std::uint8_t>(1U << (offset % 8));
    const Verdict verdict = judge(sim, evidence);
    ASSERT_FALSE(verdict.accepted) << "offset " << offset;
  }
}

TEST(Verify, NeverAcceptsChangedCollateral) {
  const Simulator sim = simulator();
  const Evidence sound = sound_evidence(sim);
  using Pick = std::function<std::span<std::uint8_t>(Collateral&)>;
  const auto of_text = [](std::string& text) {
    return std::span<std::uint8_t>(reinterpret_cast<std::uint8_t*>(text.data()), text.size());
  };
  const std::vector<Pick> parts = {
      [&](Collateral& c) { return of_text(c.tcb_info); },
      [](Collateral& c) { return std::span<std::uint8_t>(c.tcb_info_signature); },
      [&](Collateral& c) { return of_text(c.tcb_info_issuer_chain); },
      [&](Collateral& c) { return of_text(c.qe_identity); },
      [](Collateral& c) { return std::span<std::uint8_t>(c.qe_identity_signature); },
      [&](Collateral& c) { return of_text(c.qe_identity_issuer_chain); },
      [](Collateral& c) { return std::span<std::uint8_t>(c.root_ca_crl); },
      [](Collateral& c) { return std::span<std::uint8_t>(c.pck_crl); },
  };
  for (std::size_t part = 0; part < parts.size(); ++part) {
    Evidence copy = sound;
    const std::size_t size = parts[part](*copy.collateral).size();
    for (std::size_t offset = 0; offset < size; offset += 13) {
      Evidence evidence = sound;
      parts[part](*evidence.collateral)[offset] ^= static_cast<std::uint8_t>(1U << (offset % 8));
      ASSERT_FALSE(judge(sim, evidence).accepted) << "part " << part << " offset " << offset;
    }
  }
}

TEST(Verify, RefusesEveryTruncationWithoutCrashing) {
  const Simulator sim = simulator();
  Evidence evidence = sound_evidence(sim);
  while (!evidence.cpu_quote.empty()) {
    evidence.cpu_quote.pop_back();
    const Verdict verdict = judge(sim, evidence);
    ASSERT_FALSE(verdict.accepted);
    ASSERT_EQ(status_of(verdict, "quote_format"), CheckStatus::Failed);
  }
}

TEST(Verify, RefusesMissingCollateralUnlessAllowed) {
  const Simulator sim = simulator();
  Evidence evidence = sound_evidence(sim);
  evidence.collateral.reset();
  const Verdict refused = judge(sim, evidence);
  EXPECT_FALSE(refused.accepted);
  for (const std::string name : {"tcb_info", "qe_identity", "revocation", "tcb"}) {
    EXPECT_EQ(status_of(refused, name), CheckStatus::NotChecked) << name;
    EXPECT_TRUE(refused.find(name)->required) << name;
  }
  Policy policy = simulated_policy();
  policy.allow_unchecked_tcb = true;
  EXPECT_TRUE(judge(sim, evidence, policy).accepted);
  EXPECT_THAT(explain(judge(sim, evidence, policy)), HasSubstr("tcb: not checked"));
}

TEST(Verify, UncheckedTcbDoesNotExcuseWrongCollateral) {
  SimulatorOptions options;
  options.revoke_pck = true;
  const Simulator sim = simulator(options);
  Policy policy = simulated_policy();
  policy.allow_unchecked_tcb = true;
  const Verdict verdict = judge(sim, sound_evidence(sim), policy);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(status_of(verdict, "revocation"), CheckStatus::Failed);
}

TEST(Verify, RefusesDeadAndOverlongEncryptionKeys) {
  const Simulator sim = simulator();
  const auto judge_expiry = [&sim](UnixTime expiry) {
    Statement s = statement();
    s.encryption_key_expires_at = expiry;
    return verify(sim.evidence(s, kNow), s, roots_of(sim), kNow, simulated_policy());
  };
  EXPECT_TRUE(judge_expiry(kNow).accepted);
  EXPECT_TRUE(judge_expiry(kNow + 3600).accepted);
  constexpr UnixTime kFarthest = std::numeric_limits<UnixTime>::max();
  for (const UnixTime expiry : {kNow - 1, kNow + 3601, UnixTime{0}, UnixTime{-1}, kFarthest}) {
    const Verdict verdict = judge_expiry(expiry);
    EXPECT_FALSE(verdict.accepted) << expiry;
    EXPECT_EQ(status_of(verdict, "encryption_key_expiry"), CheckStatus::Failed) << expiry;
  }
}

TEST(Verify, HoldsTheNodeToTheClientsNonce) {
  const Simulator sim = simulator();
  Policy policy = simulated_policy();
  policy.required_nonce = statement().nonce;
  EXPECT_TRUE(judge(sim, sound_evidence(sim), policy).accepted);
  policy.required_nonce = test::filled(0x99);
  const Verdict verdict = judge(sim, sound_evidence(sim), policy);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(status_of(verdict, "nonce"), CheckStatus::Failed);
}

TEST(Verify, RefusesUntrustedAttributes) {
  const std::vector<std::pair<std::uint64_t, std::string>> cases = {{0x10000001, "debug"},
                                                                    {0x10000080, "debug"},
                                                                    {0, "sept_ve_disable"},
                                                                    {0x30000000, "migratable"}};
  for (const auto& [bits, name] : cases) {
    SimulatorOptions options;
    options.td_attributes = bits;
    const Simulator sim = simulator(options);
    const Verdict verdict = judge(sim, sound_evidence(sim));
    EXPECT_FALSE(verdict.accepted) << name;
    EXPECT_EQ(status_of(verdict, name), CheckStatus::Failed) << name;
  }
}

TEST(Verify, RefusesForeignModulesAndEnclavesEvenWithoutCollateral) {
  constexpr std::size_t kModuleSignerOffset = 48 + 64;
  constexpr std::size_t kModuleAttributesOffset = 48 + 112;
  constexpr std::size_t kQeSignerOffset = 636 + 134 + 128;
  const std::vector<std::pair<std::size_t, std::string>> cases = {
      {kModuleSignerOffset, "tdx_module"},
      {kModuleAttributesOffset, "tdx_module"},
      {kQeSignerOffset, "qe_signer"}};
  const Simulator sim = simulator();
  for (const auto& [offset, name] : cases) {
    Evidence evidence = sound_evidence(sim);
    evidence.collateral.reset();
    evidence.cpu_quote.at(offset) ^= 1;
    EXPECT_EQ(status_of(judge(sim, evidence), name), CheckStatus::Failed) << offset;
  }
}

TEST(Verify, MigrationNeedsThePolicysWord) {
  SimulatorOptions options;
  options.quote_version = 5;
  options.td_attributes = 0x30000000;
  const Simulator sim = simulator(options);
  Measurements m = test::measurements();
  m.mrservicetd = test::measurement(0xd0);
  const Evidence evidence = sim.evidence(statement(), kNow, m);
  const Verdict refused = judge(sim, evidence);
  EXPECT_EQ(status_of(refused, "migratable"), CheckStatus::Failed);
  EXPECT_EQ(status_of(refused, "service_td"), CheckStatus::Failed);
  Policy policy = simulated_policy();
  policy.allow_migratable = true;
  policy.allowed_service_tds = {m.mrservicetd};
  EXPECT_TRUE(judge(sim, evidence, policy).accepted);
}

TEST(Verify, ComparesMeasurementsWithThePolicysList) {
  const Simulator sim = simulator();
  Policy policy = simulated_policy();
  AllowedMeasurements good{test::measurements().mrtd, {}, {}};
  good.rtmr[1] = test::measurements().rtmr[1];
  good.mrconfigid = test::measurements().mrconfigid;
  policy.allowed_measurements = {{test::measurement(1), {}, {}}, good};
  const Verdict passed = judge(sim, sound_evidence(sim), policy);
  EXPECT_TRUE(passed.accepted);
  EXPECT_EQ(status_of(passed, "measurements"), CheckStatus::Passed);
  // Nothing is measured in a simulation, whatever the list says.
  EXPECT_EQ(passed.level, Level::Declared);
  policy.level_min = Level::ImageMeasured;
  EXPECT_FALSE(judge(sim, sound_evidence(sim), policy).accepted);

  policy = simulated_policy();
  good.rtmr[3] = test::measurement(9);
  policy.allowed_measurements = {good};
  EXPECT_EQ(status_of(judge(sim, sound_evidence(sim), policy), "measurements"),
            CheckStatus::Failed);
}

TEST(Verify, ComparesTheModelWithThePolicysList) {
  const Simulator sim = simulator();
  Policy policy = simulated_policy();
  policy.allowed_model_manifests = {statement().model_manifest};
  EXPECT_TRUE(judge(sim, sound_evidence(sim), policy).accepted);
  policy.allowed_model_manifests = {statement().tls_spki};
  EXPECT_EQ(status_of(judge(sim, sound_evidence(sim), policy), "model"), CheckStatus::Failed);
}

TEST(Verify, ListsEveryCheckEvenForGarbage) {
  const Simulator sim = simulator();
  const std::size_t count = judge(sim, sound_evidence(sim)).checks.size();
  const Verdict verdict = judge(sim, Evidence{});
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.checks.size(), count);
  EXPECT_EQ(verdict.level, Level::None);
}

TEST(Verify, RefusesOversizedPartsUnread) {
  const Simulator sim = simulator();
  const std::vector<std::function<void(Evidence&)>> oversize = {
      [](Evidence& e) { e.kind.clear(); },
      [](Evidence& e) { e.kind.assign(kKindBytesMax + 1, 'x'); },
      [](Evidence& e) { e.cpu_quote.resize(kQuoteBytesMax + 1); },
      [](Evidence& e) { e.gpu_reports.resize(kGpuReportCountMax + 1); },
      [](Evidence& e) { e.gpu_reports.emplace_back(kGpuReportBytesMax + 1); },
      [](Evidence& e) { e.collateral->tcb_info.resize(kCollateralTextBytesMax + 1); },
      [](Evidence& e) { e.collateral->qe_identity.resize(kCollateralTextBytesMax + 1); },
      [](Evidence& e) { e.collateral->tcb_info_issuer_chain.resize(kIssuerChainBytesMax + 1); },
      [](Evidence& e) { e.collateral->qe_identity_issuer_chain.resize(kIssuerChainBytesMax + 1); },
      [](Evidence& e) { e.collateral->root_ca_crl.resize(kCrlBytesMax + 1); },
      [](Evidence& e) { e.collateral->pck_crl.resize(kCrlBytesMax + 1); },
  };
  for (std::size_t i = 0; i < oversize.size(); ++i) {
    Evidence evidence = sound_evidence(sim);
    oversize[i](evidence);
    const Verdict verdict = judge(sim, evidence);
    EXPECT_FALSE(verdict.accepted) << i;
    EXPECT_EQ(status_of(verdict, "size"), CheckStatus::Failed) << i;
    EXPECT_EQ(status_of(verdict, "quote_format"), CheckStatus::NotChecked) << i;
  }
}

TEST(Verify, JudgesTheSameAfterPacking) {
  const Simulator sim = simulator();
  const auto unpacked = unpack_evidence(pack_evidence(sound_evidence(sim)));
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_TRUE(judge(sim, *unpacked).accepted);
}

TEST(Simulator, MakesTheSameBytesFromTheSameSeed) {
  EXPECT_EQ(sound_evidence(simulator()), sound_evidence(simulator()));
  EXPECT_EQ(simulator().root_der(), simulator().root_der());
  EXPECT_NE(simulator().root_der(), simulator({}, 8).root_der());
}

}  // namespace
}  // namespace nostril::attestation
