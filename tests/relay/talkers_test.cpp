#include "relay/talkers.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>

namespace nostril::relay::test {
namespace {

using Counts = SpaceSaving<int, std::hash<int>>;
using Talkers = TopTalkers<int, std::hash<int>>;

TEST(SpaceSaving, IsExactWhileThereIsRoom) {
  Counts counts(3);
  counts.add(1, 5);
  counts.add(2, 1);
  counts.add(1, 2);
  for (const auto& row : counts.rows()) {
    EXPECT_EQ(row.count, row.key == 1 ? 7U : 1U);
    EXPECT_EQ(row.over, 0U);
  }
}

TEST(SpaceSaving, KeepsWhoComesOftenAndBoundsItsError) {
  constexpr unsigned kSeed = 7;
  std::mt19937 random(kSeed);
  Counts counts(20);
  std::map<int, std::uint64_t> truth;
  for (int i = 0; i < 20'000; ++i) {
    // Two heavy ones in a crowd of one-time names.
    const int key = i % 10 == 0 ? -1 : i % 10 == 1 ? -2 : static_cast<int>(random() % 100'000);
    counts.add(key, 1);
    ++truth[key];
  }
  EXPECT_EQ(counts.rows().size(), 20U);
  int found = 0;
  for (const auto& row : counts.rows()) {
    EXPECT_GE(row.count, truth[row.key]) << "seed " << kSeed;
    EXPECT_LE(row.count - row.over, truth[row.key]) << "seed " << kSeed;
    if (row.key < 0) ++found;
  }
  EXPECT_EQ(found, 2);
}

TEST(TopTalkers, ForgetsWhoWasSilentForTwoWindows) {
  Talkers talkers;
  const auto count_of = [&](int key, std::int64_t now_ms) {
    std::uint64_t count = 0;
    for (const auto& row : greatest<int, std::hash<int>>(talkers.rows(now_ms), 10)) {
      if (row.key == key) count = row.count;
    }
    return count;
  };
  const std::int64_t t0 = 1'000'000;
  talkers.add(1, 3, t0);
  talkers.add(1, 4, t0 + Talkers::kWindowMs);
  EXPECT_EQ(count_of(1, t0 + Talkers::kWindowMs), 7U);
  EXPECT_EQ(count_of(1, t0 + 2 * Talkers::kWindowMs), 4U);
  EXPECT_EQ(count_of(1, t0 + 4 * Talkers::kWindowMs), 0U);
}

TEST(TopTalkers, ShowsTheGreatestFirst) {
  Talkers talkers;
  for (int key = 0; key < 50; ++key) talkers.add(key, static_cast<std::uint64_t>(key + 1), 1);
  const auto rows = greatest<int, std::hash<int>>(talkers.rows(1), 3);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].key, 49);
  EXPECT_EQ(rows[2].key, 47);
}

}  // namespace
}  // namespace nostril::relay::test
