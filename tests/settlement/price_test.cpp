#include "settlement/price.h"

#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <vector>

namespace nostril::settlement {
namespace {

/// The slow twin: decimal numbers of any size as digits, least first; schoolbook arithmetic only.
class BigDecimal {
 public:
  explicit BigDecimal(const std::string& text = "0") {
    for (auto it = text.rbegin(); it != text.rend(); ++it) digits_.push_back(*it - '0');
    trim();
  }

  BigDecimal operator+(const BigDecimal& other) const {
    BigDecimal out;
    out.digits_.assign(std::max(digits_.size(), other.digits_.size()) + 1, 0);
    for (std::size_t at = 0; at < out.digits_.size(); ++at) {
      out.digits_[at] += (at < digits_.size() ? digits_[at] : 0) +
                         (at < other.digits_.size() ? other.digits_[at] : 0);
      if (out.digits_[at] >= 10) {
        out.digits_[at] -= 10;
        ++out.digits_[at + 1];
      }
    }
    out.trim();
    return out;
  }

  BigDecimal operator*(const BigDecimal& other) const {
    BigDecimal out;
    out.digits_.assign(digits_.size() + other.digits_.size() + 1, 0);
    for (std::size_t a = 0; a < digits_.size(); ++a) {
      for (std::size_t b = 0; b < other.digits_.size(); ++b) {
        out.digits_[a + b] += digits_[a] * other.digits_[b];
      }
    }
    for (std::size_t at = 0; at + 1 < out.digits_.size(); ++at) {
      out.digits_[at + 1] += out.digits_[at] / 10;
      out.digits_[at] %= 10;
    }
    out.trim();
    return out;
  }

  /// Divided by 10^6, rounded up, and the six digits that went.
  [[nodiscard]] std::pair<BigDecimal, std::string> over_a_million() const {
    std::string text = str();
    if (text.size() < 7) text.insert(0, 7 - text.size(), '0');
    const std::string tail = text.substr(text.size() - 6);
    BigDecimal whole(text.substr(0, text.size() - 6));
    if (tail != "000000") whole = whole + BigDecimal("1");
    return {whole, tail};
  }

  [[nodiscard]] std::string str() const {
    std::string text;
    for (auto it = digits_.rbegin(); it != digits_.rend(); ++it) {
      text.push_back(static_cast<char>('0' + *it));
    }
    return text;
  }

 private:
  void trim() {
    while (digits_.size() > 1 && digits_.back() == 0) digits_.pop_back();
  }

  std::vector<int> digits_;
};

PriceTable table(std::vector<PriceTag> prices) {
  Offer offer;
  offer.asset = "msat";
  offer.prices = std::move(prices);
  return PriceTable::of(offer);
}

TEST(PriceTable, ChargesEachUnit) {
  const PriceTable prices = table({{PriceUnit::Input, Amount::of(100)},
                                   {PriceUnit::Cached, Amount::of(10)},
                                   {PriceUnit::Output, Amount::of(1000)},
                                   {PriceUnit::Second, Amount::of(3)},
                                   {PriceUnit::Request, Amount::of(7)}});
  const Micro micro = *prices.charge({.input = 5, .cached = 2, .output = 4}, 1001);
  EXPECT_TRUE(micro == 3 * 100 + 2 * 10 + 4 * 1000 + 2 * 3 * kMicroPerUnit + 7 * kMicroPerUnit);
}

TEST(PriceTable, CachedTokensWithoutAPriceCostWhatInputCosts) {
  const PriceTable prices = table({{PriceUnit::Input, Amount::of(100)}});
  EXPECT_TRUE(*prices.charge({.input = 5, .cached = 5, .output = 9}, 99) == 500);
}

TEST(PriceTable, RefusesOverflowAndMoreCachedThanInput) {
  const PriceTable prices = table({{PriceUnit::Input, *Amount::from(Amount::kMax)}});
  EXPECT_TRUE(prices.charge({.input = 1'000'000, .cached = 0, .output = 0}, 0));
  EXPECT_FALSE(prices.charge({.input = 1'000'001, .cached = 0, .output = 0}, 0));
  EXPECT_FALSE(prices.charge({.input = UINT64_MAX, .cached = 0, .output = 0}, 0));
  EXPECT_FALSE(prices.charge({.input = 1, .cached = 2, .output = 0}, 0));
  const PriceTable seconds = table({{PriceUnit::Second, *Amount::from(Amount::kMax)}});
  EXPECT_FALSE(seconds.charge({}, UINT64_MAX));
}

TEST(PriceTable, FreeMeansThatNothingCosts) {
  EXPECT_TRUE(PriceTable().free());
  EXPECT_TRUE(table({{PriceUnit::Input, Amount{}}}).free());
  EXPECT_FALSE(table({{PriceUnit::Session, Amount::of(1)}}).free());
}

TEST(Meter, AgreesWithSlowArithmeticAndNeverDrifts) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  test::SeededRng rng(seed);
  for (int round = 0; round < 200; ++round) {
    auto amount = [&] {
      Uint128 value = 0;
      rng.fill({reinterpret_cast<std::uint8_t*>(&value), 1 + rng.below(11)});
      return *Amount::from(value);
    };
    const Amount input = amount();
    const Amount cached = amount();
    const Amount output = amount();
    const PriceTable prices = table(
        {{PriceUnit::Input, input}, {PriceUnit::Cached, cached}, {PriceUnit::Output, output}});
    Meter meter;
    BigDecimal twin;
    Amount before;
    for (int query = 0; query < 20; ++query) {
      const std::uint64_t tokens = rng.below(std::uint64_t{1} << rng.below(21));
      const Usage usage{
          .input = tokens, .cached = rng.below(tokens + 1), .output = rng.below(5000)};
      const auto charge = prices.charge(usage, 0);
      if (!charge || !meter.add(*charge)) break;
      auto times = [](std::uint64_t count, Amount price) {
        return BigDecimal(std::to_string(count)) * BigDecimal(price.to_string());
      };
      twin = twin + times(usage.input - usage.cached, input) + times(usage.cached, cached) +
             times(usage.output, output);
      const auto [spent, remainder] = twin.over_a_million();
      ASSERT_EQ(meter.spent().to_string(), spent.str());
      ASSERT_EQ(meter.remainder(), std::stoul(remainder));
      ASSERT_GE(meter.spent(), before);
      before = meter.spent();
      ASSERT_EQ(Meter::from_record(meter.spent(), meter.remainder()), meter);
    }
  }
}

TEST(Meter, StopsAtTheLargestAmount) {
  Meter meter;
  EXPECT_TRUE(meter.add(kMicroMax - 1));
  EXPECT_EQ(meter.spent(), *Amount::from(Amount::kMax));
  EXPECT_FALSE(meter.add(2));
  EXPECT_TRUE(meter.add(1));
  EXPECT_FALSE(meter.add(1));
}

TEST(Meter, RefusesRecordsThatNoMeterWrites) {
  EXPECT_FALSE(Meter::from_record(Amount{}, 1));
  EXPECT_FALSE(Meter::from_record(Amount::of(1), 1'000'000));
  EXPECT_TRUE(Meter::from_record(Amount{}, 0));
}

}  // namespace
}  // namespace nostril::settlement
