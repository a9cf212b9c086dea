#include "events/amount.h"

#include <gtest/gtest.h>

namespace nostril {
namespace {

TEST(Amount, ReadsWhatItWrites) {
  const Amount most = *Amount::from(Amount::kMax);
  EXPECT_EQ(most.to_string(), "79228162514264337593543950335");
  for (const Amount amount :
       {Amount{}, Amount::of(1), Amount::of(10), Amount::of(UINT64_MAX), most}) {
    EXPECT_EQ(Amount::parse(amount.to_string()), amount);
  }
}

TEST(Amount, RefusesOtherSpellingsAndLargerValues) {
  for (const char* text :
       {"", "-1", "+1", "01", "00", "1 ", " 1", "1.0", "1e3", "0x1", "1,000",
        "79228162514264337593543950336", "340282366920938463463374607431768211456",
        "9999999999999999999999999999999999999999999"}) {
    EXPECT_FALSE(Amount::parse(text)) << text;
  }
  EXPECT_FALSE(Amount::from(Amount::kMax + 1));
}

TEST(ParseDecimal, StopsExactlyAtTheBound) {
  for (const std::uint64_t max :
       {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{9}, std::uint64_t{10}, std::uint64_t{99},
        std::uint64_t{1000}, UINT64_MAX - 1}) {
    EXPECT_EQ(parse_decimal_u64(to_decimal(max), max), max);
    EXPECT_FALSE(parse_decimal_u64(to_decimal(Uint128{max} + 1), max)) << max;
  }
}

}  // namespace
}  // namespace nostril
