#include "net/turn_share.h"

#include <gtest/gtest.h>

namespace nostril::net {
namespace {

using std::chrono::milliseconds;

TEST(TurnShare, WhoTakesMoreThanATenthIsBusyUntilItIsPaidFor) {
  TurnShare share;
  const auto began = TurnShare::Clock::now();
  EXPECT_FALSE(share.is_busy(began));
  share.charge(2'000, began);
  EXPECT_FALSE(share.is_busy(began)) << "what was saved";
  share.charge(100, began);
  EXPECT_TRUE(share.is_busy(began));
  EXPECT_FALSE(share.is_busy(began + milliseconds(2)));
  for (int i = 0; i < 1'000; ++i) share.charge(90, began + milliseconds(100 + i));
  EXPECT_FALSE(share.is_busy(began + milliseconds(1'100))) << "less than a tenth, for ever";
  for (int i = 0; i < 100; ++i) share.charge(200, began + milliseconds(1'100 + i));
  EXPECT_TRUE(share.is_busy(began + milliseconds(1'200))) << "a fifth";
}

TEST(TurnShare, AnyDebtIsForgottenSoon) {
  TurnShare share;
  const auto began = TurnShare::Clock::now();
  share.charge(std::int64_t{3'600} * 1'000'000, began);
  EXPECT_TRUE(share.is_busy(began + milliseconds(400)));
  EXPECT_FALSE(share.is_busy(began + milliseconds(500)));
}

}  // namespace
}  // namespace nostril::net
