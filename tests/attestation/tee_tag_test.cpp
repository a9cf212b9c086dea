// The offer's word for its machine, made from evidence and held against it.
#include "attestation/tee_tag.h"

#include "attestation/policy_digest.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/attestation/live_fixtures.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril::attestation {
namespace {

using test::status_of;

Evidence evidence_of(std::string_view kind, std::size_t hoppers, std::size_t blackwells = 0) {
  Evidence out;
  out.kind = kind;
  const auto add = [&out](const GpuSimulator& simulator, std::size_t count) {
    for (const GpuEvidence& gpu : simulator.evidence(count, test::filled(0x66))) {
      out.gpu_reports.push_back(gpu.report);
      out.gpu_chains.push_back(gpu.chain);
    }
  };
  add(test::gpu_simulator(), hoppers);
  GpuSimulatorOptions options;
  options.blackwell = true;
  add(test::gpu_simulator(options), blackwells);
  return out;
}

TEST(TeeTag, SaysCpuAndGpusOfTheEvidence) {
  EXPECT_EQ(tee_tag(evidence_of(kKindTdx, 0)), "tdx");
  EXPECT_EQ(tee_tag(evidence_of(kKindSnp, 1)), "sev-snp+1xgh100");
  EXPECT_EQ(tee_tag(evidence_of(kKindTdx, 2, 1)), "tdx+1xgb100+2xgh100");
  EXPECT_EQ(tee_tag(evidence_of(kKindSimulatedTdx, 0)), "simulated");
  EXPECT_EQ(tee_tag(evidence_of(kKindSimulatedSnp, 2)), "simulated+2xgh100");
  Evidence damaged = evidence_of(kKindTdx, 2);
  damaged.gpu_chains[0].pop_back();
  EXPECT_EQ(tee_tag(damaged), "tdx+1xgh100") << "what can't be read is not claimed";
}

TEST(TeeTag, OfALiveMachine) {
  REQUIRE_SHARED("vectors/attestation/combined/cases.json");
  EXPECT_EQ(tee_tag(test::live_evidence("venice-2026-06-10")), "tdx+8xgh100");
}

TEST(TeeTag, MaySayLessButNothingMore) {
  const Evidence evidence = evidence_of(kKindTdx, 2, 1);
  for (const char* tag :
       {"tdx", "simulated", "tdx+1xgh100", "tdx+2xgh100", "tdx+1xgb100", "tdx+1xgb100+2xgh100"}) {
    EXPECT_TRUE(shows_tee(evidence, tag)) << tag;
  }
  for (const char* tag :
       {"sev-snp", "tdx+3xgh100", "tdx+2xgb100", "tdx+1xgb202", "tdx+h200", "tdx+gh100",
        "tdx+0xgh100", "tdx+01xgh100", "tdx+1x", "tdx+", "tdx+1xgh100+", "tdx+1xGH100", "TDX", "",
        "tdx+2xgh100+1xgb100", "tdx+1xgh100+1xgh100", "tdx+-1xgh100", "tdx+1xgh100 ",
        "tdx+99999999999999999999xgh100"}) {
    EXPECT_FALSE(shows_tee(evidence, tag)) << tag;
  }
  EXPECT_FALSE(shows_tee(evidence_of(kKindSimulatedTdx, 0), "tdx"));
}

TEST(TeeTag, AnOfferThatBoastsIsRefusedByThatName) {
  const Simulator simulator = test::simulator();
  const Evidence evidence = test::sound_evidence(simulator);
  Policy policy = test::simulated_policy();
  EXPECT_EQ(test::judge(simulator, evidence, policy).find("tee"), nullptr);
  policy.offered_tee = "simulated";
  const Digest modest = policy_digest(policy);
  EXPECT_TRUE(test::judge(simulator, evidence, policy).accepted);
  for (const char* tag : {"tdx", "simulated+8xgh100", "tdx+8xgh100"}) {
    policy.offered_tee = tag;
    EXPECT_NE(policy_digest(policy), modest) << "kept verdicts are of one tag";
    const Verdict verdict = test::judge(simulator, evidence, policy);
    EXPECT_FALSE(verdict.accepted) << tag;
    EXPECT_EQ(status_of(verdict, "tee"), CheckStatus::Failed) << tag;
  }
}

}  // namespace
}  // namespace nostril::attestation
