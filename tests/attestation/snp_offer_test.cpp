// Evidence of kind "snp": a statement bound to a report, judged by verify(); its packing.
#include "attestation/pack.h"
#include "tests/attestation/snp_fixtures.h"

#include <gtest/gtest.h>

#include <functional>

namespace nostril::attestation {
namespace {

using test::kNow;
using test::statement;
using test::status_of;

Evidence sound(const SnpSimulatorOptions& options = {}) {
  return test::snp_simulator(options).evidence(statement(), kNow, test::measurement(0xa0));
}

Verdict judge(const Evidence& evidence, const Policy& policy = test::simulated_policy(),
              const Statement& expected = statement(), UnixTime now = kNow) {
  return verify(evidence, expected, test::roots_of(test::snp_simulator()), now, policy);
}

TEST(SnpOffer, PassesForWhoAskedForSimulatedEvidenceAndForNobodyElse) {
  const Evidence evidence = sound();
  const Verdict verdict = judge(evidence);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_EQ(verdict.level, Level::Declared);
  EXPECT_EQ(verdict.platform, "snp");
  ASSERT_TRUE(verdict.statement);
  EXPECT_EQ(*verdict.statement, statement());
  EXPECT_FALSE(judge(evidence, Policy{}).accepted);
  const Verdict default_roots =
      verify(evidence, statement(), TrustRoots::vendors(), kNow, test::simulated_policy());
  EXPECT_FALSE(default_roots.accepted);
  EXPECT_EQ(status_of(default_roots, "vek_chain"), CheckStatus::Failed);
}

TEST(SnpOffer, EveryFieldOfTheStatementIsInsideTheReport) {
  const std::vector<std::function<void(Statement&)>> changes = {
      [](Statement& s) { s.node.bytes[0] ^= 1; },
      [](Statement& s) { s.encryption_key.bytes[0] ^= 1; },
      [](Statement& s) { s.encryption_key_expires_at += 1; },
      [](Statement& s) { s.tls_spki.bytes[0] ^= 1; },
      [](Statement& s) { s.gpu_evidence.bytes[0] ^= 1; },
      [](Statement& s) { s.model_manifest.bytes[0] ^= 1; },
      [](Statement& s) { s.nonce[0] ^= 1; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Statement other = statement();
    changes[i](other);
    // The node says what the client expects, but its report was made for something else.
    Evidence evidence = sound();
    evidence.statement = other;
    const Verdict verdict = judge(evidence, test::simulated_policy(), other);
    EXPECT_FALSE(verdict.accepted) << i;
    EXPECT_EQ(status_of(verdict, "report_data"), CheckStatus::Failed) << i;
    EXPECT_FALSE(judge(sound(), test::simulated_policy(), other).accepted) << i;
  }
}

TEST(SnpOffer, ExpiryIsTheAgeLimit) {
  const UnixTime expiry = statement().encryption_key_expires_at;
  EXPECT_TRUE(judge(sound(), test::simulated_policy(), statement(), expiry).accepted);
  EXPECT_FALSE(judge(sound(), test::simulated_policy(), statement(), expiry + 1).accepted);
}

TEST(SnpOffer, ThePolicysSnpPartDecides) {
  Policy policy = test::simulated_policy();
  policy.snp.tcb_minimums = {{SnpProduct::Milan, {0, 4, 0, 24, 213}}};
  EXPECT_EQ(status_of(judge(sound(), policy), "tcb_minimum"), CheckStatus::Failed);
  policy.snp.tcb_minimums = {{SnpProduct::Milan, {0, 4, 0, 23, 213}}};
  EXPECT_TRUE(judge(sound(), policy).accepted);
  policy.snp.require_crl = true;
  EXPECT_TRUE(judge(sound(), policy).accepted);
  Evidence without = sound();
  without.snp->crl.clear();
  EXPECT_FALSE(judge(without, policy).accepted);
  policy.snp.allowed_measurements = {test::measurement(0xa1)};
  EXPECT_EQ(status_of(judge(sound(), policy), "measurements"), CheckStatus::Failed);
  // Fields that verify() sets itself can't be loosened from there.
  Policy loose;
  loose.snp.accept_simulated = true;
  EXPECT_FALSE(judge(sound(), loose).accepted);
}

TEST(SnpOffer, RevokedIssuersDebugGuestsAndBadSignaturesRefuse) {
  SnpSimulatorOptions revoked;
  revoked.revoke_issuer = true;
  EXPECT_EQ(status_of(judge(sound(revoked)), "revocation"), CheckStatus::Failed);
  SnpSimulatorOptions debug;
  debug.policy = 0x30000 | kSnpPolicyDebug;
  EXPECT_EQ(status_of(judge(sound(debug)), "debug"), CheckStatus::Failed);
  Evidence forged = sound();
  forged.cpu_quote.at(0x90) ^= 1;
  EXPECT_EQ(status_of(judge(forged), "report_signature"), CheckStatus::Failed);
}

TEST(SnpOffer, TheKindMustBeWhatTheRootProves) {
  for (const std::string_view kind : {kKindSnp, kKindTdx, kKindSimulatedTdx}) {
    Evidence evidence = sound();
    evidence.kind = kind;
    EXPECT_FALSE(judge(evidence).accepted) << kind;
  }
  Evidence tdx = test::sound_evidence(test::simulator());
  tdx.kind = kKindSimulatedSnp;
  const Verdict verdict =
      verify(tdx, statement(), test::roots_of(test::simulator()), kNow, test::simulated_policy());
  EXPECT_FALSE(verdict.accepted);
}

TEST(SnpOffer, WithoutCertificatesNothingIsAccepted) {
  Evidence evidence = sound();
  evidence.snp.reset();
  EXPECT_FALSE(judge(evidence).accepted);
  evidence.snp = SnpCertificates{};
  EXPECT_FALSE(judge(evidence).accepted);
  evidence = sound();
  evidence.snp->vek.resize(kVekBytesMax + 1);
  EXPECT_EQ(status_of(judge(evidence), "size"), CheckStatus::Failed);
}

TEST(SnpOffer, RoundTripsThroughThePack) {
  Evidence evidence = sound();
  const std::string packed = pack_evidence(evidence);
  EXPECT_EQ(unpack_evidence(packed).value(), evidence);
  EXPECT_LT(packed.size(), 16U << 10U);
  evidence.snp->chain.clear();
  evidence.snp->crl.clear();
  evidence.gpu_reports = {Bytes{1, 2}};
  EXPECT_EQ(unpack_evidence(pack_evidence(evidence)).value(), evidence);
}

}  // namespace
}  // namespace nostril::attestation
