#include "net/turn_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace nostril::net {
namespace {

using std::chrono::milliseconds;

TEST(TurnShare, WhoTakesMoreThanATenthIsBusyUntilItIsPaidFor) {
  TurnPart part;
  TurnShare share;
  const auto began = TurnClock::now();
  EXPECT_FALSE(share.is_busy(began));
  share.charge(2'000, TurnPlace::Loop, began, part);
  EXPECT_FALSE(share.is_busy(began)) << "what was saved";
  share.charge(100, TurnPlace::Loop, began, part);
  EXPECT_TRUE(share.is_busy(began));
  EXPECT_FALSE(share.is_busy(began + milliseconds(2)));
  for (int i = 0; i < 1'000; ++i)
    share.charge(90, TurnPlace::Loop, began + milliseconds(100 + i), part);
  EXPECT_FALSE(share.is_busy(began + milliseconds(1'100))) << "less than a tenth, for ever";
  for (int i = 0; i < 100; ++i)
    share.charge(200, TurnPlace::Loop, began + milliseconds(1'100 + i), part);
  EXPECT_TRUE(share.is_busy(began + milliseconds(1'200))) << "a fifth";
}

TEST(TurnShare, AnyDebtIsForgottenSoon) {
  TurnPart part;
  TurnShare share;
  const auto began = TurnClock::now();
  share.charge(std::int64_t{3'600} * 1'000'000, TurnPlace::Loop, began, part);
  EXPECT_TRUE(share.is_busy(began + milliseconds(400)));
  EXPECT_FALSE(share.is_busy(began + milliseconds(500)));
}

TEST(TurnShare, IsDueLaterTheMoreItHasHad) {
  TurnPart part;
  const auto now = TurnClock::now();
  TurnShare idle;
  TurnShare light;
  TurnShare heavy;
  light.charge(10, TurnPlace::Loop, now, part);
  heavy.charge(5'000, TurnPlace::Loop, now, part);
  EXPECT_LT(idle.due_us(now), light.due_us(now));
  EXPECT_LT(light.due_us(now), heavy.due_us(now));
  EXPECT_EQ(heavy.due_us(now + milliseconds(60)), idle.due_us(now + milliseconds(60)));
}

// A loop without rest, whose connections take `parts` of it, for a second: who is busy in the end.
template <std::size_t kCount>
std::array<bool, kCount> busy_after(const std::array<double, kCount>& parts, TurnPart& part) {
  std::array<TurnShare, kCount> shares;
  auto now = TurnClock::now();
  for (int turn = 0; turn < 1'000; ++turn) {
    now += milliseconds(1);
    for (std::size_t i = 0; i < kCount; ++i) {
      const auto us = static_cast<std::int64_t>(parts[i] * 1'000);
      shares[i].charge(us, TurnPlace::Loop, now, part);
    }
    part.look(now, 0);
  }
  std::array<bool, kCount> out{};
  for (std::size_t i = 0; i < kCount; ++i) out[i] = shares[i].is_busy(now);
  return out;
}

TEST(TurnPart, ManyThatFillTheLoopTogetherAreBusyAndWhoTakesLittleIsNot) {
  std::array<double, 20> parts{};
  parts.fill(0.052);
  parts.front() = 0.012;
  TurnPart part;
  const auto busy = busy_after(parts, part);
  EXPECT_FALSE(busy.front());
  EXPECT_GT(std::count(busy.begin(), busy.end(), true), 10) << part.divisor();
}

TEST(TurnPart, IsATenthAgainOnceThereIsEnough) {
  TurnPart part;
  std::array<double, 20> parts{};
  parts.fill(0.05);
  (void)busy_after(parts, part);
  EXPECT_GT(part.divisor(), 10);
  auto now = TurnClock::now() + std::chrono::hours(1);
  for (int i = 0; i < 100; ++i) part.look(now += milliseconds(10), 10'000 * i);
  EXPECT_EQ(part.divisor(), 10);
}

TEST(TurnPart, WhoFilledTheLoopStaysBusyWhileItIsFull) {
  TurnPart part;
  std::array<TurnShare, 20> shares;
  const auto began = TurnClock::now();
  std::ptrdiff_t fewest = 20;
  for (int ms = 1; ms < 5'000; ++ms) {
    const auto now = began + milliseconds(ms);
    for (TurnShare& share : shares)
      share.charge(&share == &shares[0] ? 15 : 50, TurnPlace::Loop, now, part);
    part.look(now, 0);
    const auto is_busy = [&](const TurnShare& share) { return share.is_busy(now); };
    EXPECT_FALSE(is_busy(shares[0])) << ms;
    if (ms > 500) fewest = std::min(fewest, std::ranges::count_if(shares, is_busy));
  }
  EXPECT_EQ(fewest, 19);
}

TEST(TurnPart, ManyWhoTakeHardlyAnythingDoNotMakeItSmaller) {
  std::array<double, 1'000> parts{};
  parts.fill(0.0002);
  std::fill_n(parts.begin(), 20, 0.04);
  TurnPart part;
  const auto busy = busy_after(parts, part);
  EXPECT_EQ(std::count(busy.begin(), busy.end(), true), 20) << part.divisor();
  EXPECT_LT(part.divisor(), 80);
}

TEST(TurnPart, WhoAllStayWithinATenthOfAFreeLoopKeepIt) {
  TurnPart part;
  std::array<TurnShare, 10> shares;
  auto now = TurnClock::now();
  std::int64_t idle_us = 0;
  for (int i = 0; i < 1'000; ++i) {
    for (TurnShare& share : shares) share.charge(50, TurnPlace::Loop, now, part);
    part.look(now += milliseconds(1), idle_us += 500);
  }
  EXPECT_EQ(part.divisor(), 10);
}

TEST(TurnPart, WorkersThatTheCalmFillCountAsALoopDoes) {
  TurnPart part;
  std::array<TurnShare, 10> shares;
  auto now = TurnClock::now();
  std::int64_t idle_us = 0;
  for (int i = 0; i < 100; ++i) {
    for (TurnShare& share : shares) share.charge(90, TurnPlace::Elsewhere, now, part);
    part.look(now += milliseconds(1), idle_us += 900);
  }
  EXPECT_GT(part.divisor(), 10);
}

}  // namespace
}  // namespace nostril::net
