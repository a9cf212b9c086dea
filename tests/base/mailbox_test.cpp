#include "base/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <thread>

namespace nostril {

namespace {

TEST(Mailbox, GivesItemsInTheirOrder) {
  Mailbox<int> mailbox(4);
  EXPECT_TRUE(mailbox.take_all().empty());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(mailbox.push(int{i}));
  EXPECT_EQ(mailbox.size(), 3U);
  EXPECT_EQ(mailbox.take_all(), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(mailbox.size(), 0U);
}

TEST(Mailbox, RefusesWhenFullAndLeavesTheItem) {
  Mailbox<std::unique_ptr<int>> mailbox(2);
  EXPECT_TRUE(mailbox.push(std::make_unique<int>(1)));
  EXPECT_TRUE(mailbox.push(std::make_unique<int>(2)));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(mailbox.push(std::move(third)));
  // NOLINTNEXTLINE(bugprone-use-after-move): that it was not moved is what is tested
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(mailbox.take_all().size(), 2U);
  EXPECT_TRUE(mailbox.push(std::move(third)));
}

TEST(Mailbox, WithoutRoomTakesNothing) {
  Mailbox<int> mailbox(0);
  EXPECT_FALSE(mailbox.push(1));
}

TEST(Mailbox, WakesOnceABatch) {
  int wakes = 0;
  Mailbox<int> mailbox(8, [&wakes] { ++wakes; });
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(mailbox.push(int{i}));
  EXPECT_EQ(wakes, 1);
  EXPECT_EQ(mailbox.take_all().size(), 5U);
  EXPECT_TRUE(mailbox.push(5));
  EXPECT_EQ(wakes, 2);
}

TEST(Mailbox, DoesNotWakeForWhatItRefuses) {
  int wakes = 0;
  Mailbox<int> full(0, [&wakes] { ++wakes; });
  EXPECT_FALSE(full.push(1));
  Mailbox<int> closed(1, [&wakes] { ++wakes; });
  closed.close();
  EXPECT_FALSE(closed.push(1));
  EXPECT_EQ(wakes, 0);
}

TEST(Mailbox, CloseLetsTheRestOut) {
  Mailbox<int> mailbox(4);
  EXPECT_TRUE(mailbox.push(1));
  mailbox.close();
  EXPECT_FALSE(mailbox.push(2));
  EXPECT_EQ(mailbox.wait_all(), (std::vector<int>{1}));
  EXPECT_EQ(mailbox.wait_all(), std::nullopt);
  mailbox.close();
  EXPECT_EQ(mailbox.wait_all(), std::nullopt);
}

TEST(Mailbox, CloseEndsAWait) {
  Mailbox<int> mailbox(4);
  std::atomic<bool> ended = false;
  std::thread consumer([&] { ended = !mailbox.wait_all().has_value(); });
  mailbox.close();
  consumer.join();
  EXPECT_TRUE(ended);
}

TEST(Mailbox, ANudgeEndsAWaitOnce) {
  Mailbox<int> mailbox(4);
  mailbox.nudge();
  EXPECT_EQ(mailbox.wait_all_for(std::chrono::hours(1)), std::vector<int>{});
  EXPECT_EQ(mailbox.wait_all_for(std::chrono::milliseconds(1)), std::vector<int>{});
  std::atomic<bool> ended = false;
  std::thread consumer([&] { ended = mailbox.wait_all_for(std::chrono::hours(1)).has_value(); });
  mailbox.nudge();
  consumer.join();
  EXPECT_TRUE(ended);
  EXPECT_TRUE(mailbox.push(1));
  mailbox.nudge();
  EXPECT_EQ(mailbox.wait_all_for(std::chrono::hours(1)), std::vector<int>{1});
}

TEST(Mailbox, GivesBatchesOfTheSizeAsked) {
  Mailbox<int> mailbox(8);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(mailbox.push(int{i}));
  EXPECT_EQ(mailbox.wait_all(2), (std::vector<int>{0, 1}));
  EXPECT_EQ(mailbox.wait_all(3), (std::vector<int>{2, 3, 4}));
  EXPECT_DEATH((void)mailbox.wait_all(0), "CHECK failed");
}

TEST(Mailbox, LosesAndDoublesNothingBetweenManyThreads) {
  constexpr int kProducers = 4;
  constexpr int kItemsEach = 5000;
  Mailbox<int> mailbox(64);
  std::vector<std::vector<int>> received(3);
  std::vector<std::thread> consumers;
  for (auto& mine : received) {
    consumers.emplace_back([&mailbox, &mine] {
      while (auto batch = mailbox.wait_all(16)) {
        mine.insert(mine.end(), batch->begin(), batch->end());
      }
    });
  }
  std::vector<std::thread> producers;
  for (int producer = 0; producer < kProducers; ++producer) {
    producers.emplace_back([&mailbox, producer] {
      for (int i = 0; i < kItemsEach; ++i) {
        while (!mailbox.push(producer * kItemsEach + i)) std::this_thread::yield();
      }
    });
  }
  for (auto& thread : producers) thread.join();
  mailbox.close();
  for (auto& thread : consumers) thread.join();
  std::multiset<int> all;
  for (const auto& mine : received) all.insert(mine.begin(), mine.end());
  ASSERT_EQ(all.size(), static_cast<std::size_t>(kProducers * kItemsEach));
  EXPECT_EQ(std::set<int>(all.begin(), all.end()).size(), all.size());
}

/// A consumer that sleeps until it is woken must never be left with items and no wake.
TEST(Mailbox, AWakeFollowsEveryItem) {
  constexpr int kProducers = 4;
  constexpr int kItemsEach = 3000;
  std::atomic<int> wakes = 0;
  Mailbox<int> mailbox(kProducers * kItemsEach, [&wakes] {
    wakes.fetch_add(1);
    wakes.notify_one();
  });
  std::vector<std::thread> producers;
  for (int producer = 0; producer < kProducers; ++producer) {
    producers.emplace_back([&mailbox] {
      for (int i = 0; i < kItemsEach; ++i) EXPECT_TRUE(mailbox.push(int{i}));
    });
  }
  std::size_t received = 0;
  int seen = 0;
  while (received < std::size_t{kProducers} * kItemsEach) {
    wakes.wait(seen);
    seen = wakes.load();
    received += mailbox.take_all().size();
  }
  for (auto& thread : producers) thread.join();
  EXPECT_EQ(received, std::size_t{kProducers} * kItemsEach);
  EXPECT_LE(wakes.load(), kProducers * kItemsEach);
}

}  // namespace

}  // namespace nostril
