#include "relay/token_bucket.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace nostril::relay {
namespace {

constexpr Rate kTen{10, 3};  // a token each 100 ms, three at once

TEST(TokenBucket, GivesABurstAndThenWhatComes) {
  TokenBucket bucket;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.try_take(kTen, 5'000));
  EXPECT_FALSE(bucket.try_take(kTen, 5'000));
  EXPECT_EQ(bucket.wait_ms(kTen, 5'000), 100);
  EXPECT_FALSE(bucket.try_take(kTen, 5'099));
  EXPECT_TRUE(bucket.try_take(kTen, 5'100));
  EXPECT_FALSE(bucket.try_take(kTen, 5'100));
}

TEST(TokenBucket, HoldsNoMoreThanItsBurst) {
  TokenBucket bucket;
  EXPECT_TRUE(bucket.try_take(kTen, 0));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.try_take(kTen, 1'000'000));
  EXPECT_FALSE(bucket.try_take(kTen, 1'000'000));
}

TEST(TokenBucket, SpendsWhatIsNotThereAndSaysHowLongThatLasts) {
  TokenBucket bucket;
  EXPECT_EQ(bucket.spend(kTen, 0, 3), 0);
  EXPECT_EQ(bucket.spend(kTen, 0, 5), 500);
  EXPECT_EQ(bucket.spend(kTen, 400, 1), 200);
  EXPECT_FALSE(bucket.is_full(899));
  EXPECT_TRUE(bucket.is_full(900));
}

TEST(TokenBucket, TakesAllOrNothing) {
  TokenBucket bucket;
  EXPECT_FALSE(bucket.try_take(kTen, 0, 4));
  EXPECT_TRUE(bucket.try_take(kTen, 0, 3));
}

TEST(TokenBucket, OfRateZeroNeverEnds) {
  TokenBucket bucket;
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(bucket.try_take(Rate{}, 0, 1e9));
  EXPECT_EQ(bucket.spend(Rate{}, 0, 1e9), 0);
  EXPECT_TRUE(bucket.is_full(0));
}

TEST(TokenBucket, GivesNothingTwiceToThreads) {
  TokenBucket bucket;
  const Rate rate{1, 5'000};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 2'000; ++j) taken += bucket.try_take(rate, 0) ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken, 5'000);
}

}  // namespace
}  // namespace nostril::relay
