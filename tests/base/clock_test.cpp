#include "base/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace nostril {

namespace {

TEST(SystemClock, IsTheSystemsTime) {
  const SystemClock clock;
  const std::int64_t before = std::time(nullptr);
  const std::int64_t seen = clock.unix_s();
  const std::int64_t after = std::time(nullptr);
  EXPECT_GE(seen, before - 1);  // time(2) may lag a clock tick behind
  EXPECT_LE(seen, after + 1);
  EXPECT_NEAR(static_cast<double>(clock.unix_ms()), static_cast<double>(seen) * 1000, 5000);
}

TEST(SystemClock, MonotonicNeverGoesBack) {
  const SystemClock clock;
  std::int64_t last = clock.monotonic_ms();
  for (int i = 0; i < 10000; ++i) {
    const std::int64_t now = clock.monotonic_ms();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(FakeClock, StandsStillUntilTold) {
  FakeClock clock(1700000000);
  EXPECT_EQ(clock.unix_s(), 1700000000);
  EXPECT_EQ(clock.unix_ms(), 1700000000000);
  const std::int64_t start = clock.monotonic_ms();
  clock.advance_ms(999);
  EXPECT_EQ(clock.unix_s(), 1700000000);
  clock.advance_ms(1);
  EXPECT_EQ(clock.unix_s(), 1700000001);
  EXPECT_EQ(clock.monotonic_ms() - start, 1000);
}

}  // namespace

}  // namespace nostril
