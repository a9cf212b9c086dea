#include "bench/relay/load/samples.h"

#include <gtest/gtest.h>

namespace nostril::bench {
namespace {

Samples one_to(std::int64_t last) {
  Samples samples;
  for (std::int64_t i = last; i >= 1; --i) samples.add(i * 1'000);
  return samples;
}

TEST(Samples, QuantileIsTheNearestRank) {
  EXPECT_DOUBLE_EQ(one_to(100).quantile_us(0.50), 50);
  EXPECT_DOUBLE_EQ(one_to(100).quantile_us(0.99), 99);
  EXPECT_DOUBLE_EQ(one_to(100).quantile_us(1.0), 100);
  EXPECT_DOUBLE_EQ(one_to(101).quantile_us(0.50), 51);
  EXPECT_DOUBLE_EQ(one_to(10).quantile_us(0.99), 10);
  EXPECT_DOUBLE_EQ(one_to(1).quantile_us(0.01), 1);
}

TEST(Samples, WithoutSamplesAQuantileIsZero) {
  EXPECT_DOUBLE_EQ(Samples().quantile_us(0.5), 0);
}

TEST(Samples, AddAllKeepsBoth) {
  Samples samples = one_to(3);
  samples.add_all(one_to(5));
  EXPECT_EQ(samples.count(), 8U);
  EXPECT_DOUBLE_EQ(samples.quantile_us(1), 5);
}

TEST(Median, IsTheMiddleOneOrBetweenTheTwoInTheMiddle) {
  EXPECT_DOUBLE_EQ(median({9, 1, 5}), 5);
  EXPECT_DOUBLE_EQ(median({9, 1, 5, 7}), 6);
  EXPECT_DOUBLE_EQ(median({}), 0);
}

}  // namespace
}  // namespace nostril::bench
