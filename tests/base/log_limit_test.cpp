#include "base/log_limit.h"

#include <gtest/gtest.h>

namespace nostril {
namespace {

TEST(LogLimit, LetsSomeThroughAndCountsTheRest) {
  LogLimit limit;
  for (unsigned i = 0; i < LogLimit::kLinesMax; ++i) EXPECT_EQ(limit.pass(1'000), 0U);
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(limit.pass(1'001), std::nullopt);
  EXPECT_EQ(limit.take_left_out(1'002), 0U);
  EXPECT_EQ(limit.pass(1'000 + LogLimit::kWindowMs), 1'000U);
  EXPECT_EQ(limit.pass(1'000 + LogLimit::kWindowMs), 0U);
}

TEST(LogLimit, TellsTheLastOfAFloodWhenNothingFollows) {
  LogLimit limit;
  for (unsigned i = 0; i < LogLimit::kLinesMax + 3; ++i) (void)limit.pass(0);
  EXPECT_EQ(limit.take_left_out(LogLimit::kWindowMs), 3U);
  EXPECT_EQ(limit.take_left_out(LogLimit::kWindowMs), 0U);
  EXPECT_EQ(and_more(0).view(), "");
  EXPECT_EQ(and_more(3).view(), ", and 3 more before it");
}

}  // namespace
}  // namespace nostril
