#include "relay/credits.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace nostril::relay {
namespace {

TEST(Credits, RefusesTheOneAboveTheBound) {
  Credits credits(2);
  EXPECT_TRUE(credits.all_back());
  EXPECT_TRUE(credits.try_take());
  EXPECT_TRUE(credits.try_take());
  EXPECT_FALSE(credits.try_take());
  EXPECT_FALSE(credits.try_take());
  EXPECT_EQ(credits.used(), 2);
  credits.give_back(1);
  EXPECT_TRUE(credits.try_take());
  credits.give_back(2);
  EXPECT_TRUE(credits.all_back());
}

TEST(Credits, WhatIsLargerThanTheBoundIsLetInAlone) {
  Credits credits(4);
  EXPECT_TRUE(credits.try_take(3));
  EXPECT_FALSE(credits.try_take(2));
  EXPECT_FALSE(credits.try_take(9));
  EXPECT_TRUE(credits.try_take(1));
  credits.give_back(4);
  EXPECT_TRUE(credits.try_take(9));
  EXPECT_FALSE(credits.try_take(1));
  credits.give_back(9);
  EXPECT_TRUE(credits.all_back());
}

TEST(CreditsDeathTest, NobodyGivesBackWhatWasNotTaken) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  Credits credits(2);
  ASSERT_TRUE(credits.try_take());
  EXPECT_DEATH(credits.give_back(2), "");
}

// More threads than units: the bound holds at every moment, and all units come back.
TEST(Credits, HoldTheBoundBetweenThreads) {
  constexpr std::int64_t kBound = 3;
  constexpr int kTurns = 500;
  Credits credits(kBound);
  std::atomic<std::int64_t> held{0};
  std::atomic<std::int64_t> highest{0};
  std::atomic<int> taken{0};
  const auto work = [&] {
    for (int i = 0; i < kTurns;) {
      if (!credits.try_take()) {
        std::this_thread::yield();
        continue;
      }
      const Credit mine(credits, 1);
      const std::int64_t now = held.fetch_add(1) + 1;
      std::int64_t seen = highest.load();
      while (seen < now && !highest.compare_exchange_weak(seen, now)) {
      }
      taken.fetch_add(1);
      if (++i % 16 == 0) std::this_thread::yield();
      held.fetch_sub(1);
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(6);
  for (int i = 0; i < 6; ++i) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  EXPECT_LE(highest.load(), kBound);
  EXPECT_EQ(taken.load(), 6 * kTurns);
  EXPECT_TRUE(credits.all_back());
  for (std::int64_t i = 0; i < kBound; ++i) EXPECT_TRUE(credits.try_take());
  EXPECT_FALSE(credits.try_take());
}

class CreditTest : public testing::Test {
 protected:
  Credit take(Credits& from, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) EXPECT_TRUE(from.try_take());
    return {from, count};
  }

  Credits credits{10};
};

TEST_F(CreditTest, GivesItsUnitsBackOnce) {
  {
    const Credit credit = take(credits, 3);
    EXPECT_EQ(credits.used(), 3);
  }
  EXPECT_TRUE(credits.all_back());
  { const Credit nothing; }
  EXPECT_TRUE(credits.all_back());
}

TEST_F(CreditTest, MovesToOneOwner) {
  Credit first = take(credits, 2);
  {
    const Credit second(std::move(first));
    EXPECT_EQ(credits.used(), 2);
  }
  EXPECT_TRUE(credits.all_back());  // and `first` has nothing left to give
}

TEST_F(CreditTest, AssignmentGivesBackWhatItHeld) {
  Credits others{5};
  Credit credit = take(credits, 4);
  credit = take(others, 2);
  EXPECT_TRUE(credits.all_back());
  EXPECT_EQ(others.used(), 2);
  Credit& same = credit;
  credit = std::move(same);
  EXPECT_EQ(others.used(), 2);
  credit = Credit();
  EXPECT_TRUE(others.all_back());
}

TEST_F(CreditTest, HandedOverUnitsAreTheNextOwners) {
  {
    Credit credit = take(credits, 3);
    credit.hand_over();
  }
  EXPECT_EQ(credits.used(), 3);
  { const Credit next(credits, 3); }
  EXPECT_TRUE(credits.all_back());
}

}  // namespace
}  // namespace nostril::relay
