#include "client/api_budget.h"

#include "schnorr/hash.h"

#include <gtest/gtest.h>

#include <limits>

namespace nostril::client {

namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kNow = 20'000 * kDay + 500;
const Digest kAlice = sha256("alice");

TEST(ApiBudgets, WithoutLimitsCoverAll) {
  ApiBudgets budgets;
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  EXPECT_FALSE(budgets.reserve(kAlice, {}, {kMax, kMax}, kNow));
  EXPECT_FALSE(budgets.reserve(kAlice, {}, {kMax, kMax}, kNow));
  budgets.release(kAlice, {kMax, kMax});
  budgets.release(kAlice, {kMax, kMax});
  budgets.charge(kAlice, {kMax, kMax}, kNow);
  EXPECT_EQ(budgets.charge(kAlice, {1, 1}, kNow).total.tokens, kMax);
}

TEST(ApiBudgets, ReservationsCountUntilTheyAreReleased) {
  ApiBudgets budgets;
  const ApiBudget budget{.tokens = 100};
  EXPECT_FALSE(budgets.reserve(kAlice, budget, {60, 0}, kNow));
  EXPECT_EQ(budgets.reserve(kAlice, budget, {41, 0}, kNow), BudgetRefusal::UsedUp);
  EXPECT_FALSE(budgets.reserve(kAlice, budget, {40, 0}, kNow));
  EXPECT_FALSE(budgets.reserve(sha256("bob"), budget, {100, 0}, kNow));
  // The first came to less than it might have.
  budgets.charge(kAlice, {10, 0}, kNow);
  budgets.release(kAlice, {60, 0});
  EXPECT_EQ(budgets.reserve(kAlice, budget, {51, 0}, kNow), BudgetRefusal::UsedUp);
  EXPECT_FALSE(budgets.reserve(kAlice, budget, {50, 0}, kNow));
}

TEST(ApiBudgets, EachLimitHoldsByItself) {
  const ApiSpending most{10, 20};
  for (const ApiBudget& budget : {ApiBudget{.tokens_per_day = 9}, ApiBudget{.tokens = 9},
                                  ApiBudget{.amount_per_day = 19}, ApiBudget{.amount = 19}}) {
    ApiBudgets budgets;
    EXPECT_EQ(budgets.reserve(kAlice, budget, most, kNow), BudgetRefusal::TooLarge);
  }
  for (const ApiBudget& budget : {ApiBudget{.tokens_per_day = 19}, ApiBudget{.tokens = 19},
                                  ApiBudget{.amount_per_day = 39}, ApiBudget{.amount = 39}}) {
    ApiBudgets budgets;
    EXPECT_FALSE(budgets.reserve(kAlice, budget, most, kNow));
    EXPECT_EQ(budgets.reserve(kAlice, budget, most, kNow), BudgetRefusal::UsedUp);
  }
}

TEST(ApiBudgets, ADayGivesBackTheDaysAndNotTheRest) {
  ApiBudgets budgets;
  const ApiBudget budget{.tokens_per_day = 10, .tokens = 15};
  budgets.charge(kAlice, {10, 0}, kNow);
  EXPECT_EQ(budgets.reserve(kAlice, budget, {5, 0}, kNow), BudgetRefusal::UsedUp);
  EXPECT_EQ(budgets.reserve(kAlice, budget, {5, 0}, kNow - kDay), BudgetRefusal::UsedUp);
  EXPECT_FALSE(budgets.reserve(kAlice, budget, {5, 0}, kNow + kDay));
  budgets.charge(kAlice, {5, 0}, kNow + kDay);
  budgets.release(kAlice, {5, 0});
  EXPECT_EQ(budgets.reserve(kAlice, budget, {1, 0}, kNow + 2 * kDay), BudgetRefusal::UsedUp);
  EXPECT_EQ(budgets.usage(kAlice, kNow + kDay).today.tokens, 5U);
}

TEST(ApiUsageRow, ReadsBack) {
  ApiBudgets budgets;
  budgets.charge(kAlice, {7, 8}, kNow - kDay);
  const ApiUsage usage = budgets.charge(kAlice, {1, 2}, kNow);
  const JournalChange row = put_usage(kAlice, usage);
  EXPECT_EQ(decode_usage(*row.value), usage);
  EXPECT_EQ(usage.today, (ApiSpending{1, 2}));
  EXPECT_EQ(usage.total, (ApiSpending{8, 10}));
  EXPECT_FALSE(decode_usage(ByteSpan(*row.value).first(39)));
  EXPECT_FALSE(decode_usage({}));
  Bytes negative = *row.value;
  negative[0] = 0x80;
  EXPECT_FALSE(decode_usage(negative));
}

}  // namespace

}  // namespace nostril::client
