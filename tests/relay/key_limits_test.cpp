#include "relay/key_limits.h"

#include <gtest/gtest.h>

namespace nostril::relay {
namespace {

PublicKey key(unsigned number) {
  PublicKey out{};
  out.bytes[0] = static_cast<std::uint8_t>(number);
  out.bytes[30] = static_cast<std::uint8_t>(number >> 8U);
  out.bytes[31] = static_cast<std::uint8_t>(number);
  return out;
}

TEST(KeyLimits, GivesEachKeyItsTokens) {
  FakeClock clock(1'000);
  OverrunCounts counts;
  KeyLimits limits({1, 2}, clock, counts);
  EXPECT_TRUE(limits.take(key(1)));
  EXPECT_TRUE(limits.take(key(1)));
  EXPECT_FALSE(limits.has_token(key(1)));
  EXPECT_FALSE(limits.take(key(1)));
  EXPECT_TRUE(limits.has_token(key(2)));
  EXPECT_TRUE(limits.take(key(2)));
  clock.advance_ms(1'000);
  EXPECT_TRUE(limits.has_token(key(1)));
  EXPECT_TRUE(limits.take(key(1)));
  EXPECT_EQ(counts.read(Overrun::KeyEvents), 2U);
}

// Whoever forges a signature could otherwise use up anybody's.
TEST(KeyLimits, LookingTakesNothing) {
  FakeClock clock(1'000);
  OverrunCounts counts;
  KeyLimits limits({1, 1}, clock, counts);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(limits.has_token(key(1)));
  EXPECT_TRUE(limits.take(key(1)));
}

TEST(KeyLimits, MakersOfManyKeysWaitForEachOther) {
  FakeClock clock(1'000);
  OverrunCounts counts;
  KeyLimits limits({0.001, 1}, clock, counts, 64);
  std::size_t taken = 0;
  for (unsigned i = 0; i < 5'000; ++i) taken += limits.take(key(i)) ? 1U : 0U;
  EXPECT_LE(taken, 64U + 16U);
  clock.advance_ms(1'001'000);
  EXPECT_TRUE(limits.take(key(4'999)));
}

TEST(KeyLimits, OfRateZeroAreNone) {
  FakeClock clock(1'000);
  OverrunCounts counts;
  KeyLimits limits({}, clock, counts);
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(limits.take(key(1)));
  EXPECT_FALSE(limits.is_limited());
}

}  // namespace
}  // namespace nostril::relay
