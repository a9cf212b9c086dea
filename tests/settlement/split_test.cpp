#include "settlement/split.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace nostril::settlement {
namespace {

const std::string kAddress = "0x" + std::string(40, 'a');

TEST(Share, HasOneSpelling) {
  ASSERT_TRUE(parse_share(kAddress + "=2500"));
  EXPECT_EQ(parse_share(kAddress + "=2500")->basis_points, 2500U);
  for (const std::string& bad : {kAddress, kAddress + "=", kAddress + "=0", kAddress + "=10001",
                                 kAddress + "=01", "0x" + std::string(40, '0') + "=1"}) {
    EXPECT_FALSE(parse_share(bad)) << bad;
  }
}

TEST(Split, GivesAwayNoMoreThanAllAndToNobodyTwice) {
  const Share a{{{1}}, 6'000};
  const Share b{{{2}}, 4'000};
  EXPECT_TRUE(is_split(std::vector<Share>{a, b}));
  EXPECT_FALSE(is_split(std::vector<Share>{a, b, {{{3}}, 1}}));
  EXPECT_FALSE(is_split(std::vector<Share>{b, b}));
}

TEST(Split, NeverDriftsHoweverItIsPaid) {
  constexpr unsigned kSeed = 20261121;
  std::mt19937_64 random(kSeed);
  const std::vector<Share> shares = {{{{1}}, 3'333}, {{{2}}, 3'333}, {{{3}}, 3'334}};
  std::vector<Uint128> paid(shares.size(), 0);
  Uint128 earned = 0;
  for (int step = 0; step < 1'000; ++step) {
    earned += random() % 1'000'003;
    const std::size_t i = random() % shares.size();
    paid[i] += due(shares[i], *Amount::from(earned), *Amount::from(paid[i])).value();
  }
  Uint128 sum = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    paid[i] += due(shares[i], *Amount::from(earned), *Amount::from(paid[i])).value();
    EXPECT_EQ(paid[i], earned * shares[i].basis_points / kBasisPointsMax);
    sum += paid[i];
  }
  EXPECT_LE(sum, earned);
  EXPECT_GT(sum + shares.size(), earned);
}

TEST(Split, OwesNothingToWhoHasMore) {
  EXPECT_EQ(due({{{1}}, 5'000}, Amount::of(100), Amount::of(60)), Amount());
  EXPECT_EQ(due({{{1}}, 10'000}, *Amount::from(Amount::kMax), Amount()),
            *Amount::from(Amount::kMax));
}

}  // namespace
}  // namespace nostril::settlement
