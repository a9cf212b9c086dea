// Levels: what must be known for each. Simulated evidence reaches none, so no whole verdict of a
// test can show them.
#include "attestation/acceptance.h"

#include <gtest/gtest.h>

namespace nostril::attestation {
namespace {

Verdict verdict_with(CheckStatus measurements, CheckStatus model) {
  Verdict verdict;
  verdict.checks.resize(2);
  verdict.checks[0].name = "measurements";
  verdict.checks[0].status = measurements;
  verdict.checks[1].name = "model";
  verdict.checks[1].status = model;
  return verdict;
}

TEST(ProvenLevel, RisesWithWhatIsKnownAndRecorded) {
  constexpr auto kYes = CheckStatus::Passed;
  constexpr auto kNo = CheckStatus::NotChecked;
  Acceptance acceptance;
  EXPECT_EQ(proven_level(verdict_with(kNo, kNo), acceptance), Level::Declared);
  EXPECT_EQ(proven_level(verdict_with(kNo, kYes), acceptance), Level::Declared);
  EXPECT_EQ(proven_level(verdict_with(kYes, kNo), acceptance), Level::ImageMeasured);
  EXPECT_EQ(proven_level(verdict_with(kYes, kYes), acceptance), Level::WeightsMeasured);
  acceptance.records_sampling = true;
  EXPECT_EQ(proven_level(verdict_with(kYes, kYes), acceptance), Level::Auditable);
  EXPECT_EQ(proven_level(verdict_with(kYes, kNo), acceptance), Level::ImageMeasured)
      << "an answer of unknown weights can be repeated by nobody";
  EXPECT_EQ(proven_level(Verdict(), acceptance), Level::Declared);
  Verdict simulated = verdict_with(kYes, kYes);
  simulated.simulated = true;
  EXPECT_EQ(proven_level(simulated, acceptance), Level::Declared);
}

}  // namespace
}  // namespace nostril::attestation
