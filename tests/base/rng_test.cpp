#include "base/rng.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace nostril {

namespace {

TEST(SystemRng, NeverRepeatsItself) {
  SystemRng rng;
  std::set<std::array<std::uint8_t, 16>> seen;
  for (int i = 0; i < 1000; ++i) {
    std::array<std::uint8_t, 16> value{};
    rng.fill(value);
    EXPECT_TRUE(seen.insert(value).second);
  }
}

TEST(SystemRng, FillsAllOfALargeBuffer) {
  SystemRng rng;
  std::vector<std::uint8_t> bytes(1U << 20);
  rng.fill(bytes);
  // 64 zeros in a row at any chunk would be chance of 2^-512: the chunk was not filled.
  for (std::size_t at = 0; at < bytes.size(); at += 64) {
    bool any = false;
    for (std::size_t i = at; i < at + 64; ++i) any = any || bytes[i] != 0;
    ASSERT_TRUE(any) << "at " << at;
  }
  rng.fill({});
}

}  // namespace

}  // namespace nostril
