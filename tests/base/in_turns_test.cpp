#include "base/in_turns.h"

#include "base/mailbox.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace nostril {
namespace {

struct Item {
  int whose = 0;
  int number = 0;

  bool operator==(const Item&) const = default;
};

struct WhoseOf {
  int operator()(const Item& item) const { return item.whose; }
};

using Turns = InTurns<Item, WhoseOf>;

TEST(InTurns, OneOfEachInRotationAndThoseOfOneInOrder) {
  Turns turns;
  for (int i = 0; i < 4; ++i) turns.push_back({1, i});
  turns.push_back({2, 0});
  turns.push_back({3, 0});
  turns.push_back({2, 1});
  EXPECT_EQ(turns.size(), 7U);
  EXPECT_EQ(turns.take(3), (std::vector<Item>{{1, 0}, {2, 0}, {3, 0}}));
  turns.push_back({3, 1});  // a new turn, after all that wait
  EXPECT_EQ(turns.take(100), (std::vector<Item>{{1, 1}, {2, 1}, {3, 1}, {1, 2}, {1, 3}}));
  EXPECT_EQ(turns.size(), 0U);
  EXPECT_TRUE(turns.take(1).empty());
}

TEST(InTurns, AThousandOfOneDoNotHoldUpTheOther) {
  Mailbox<Item, Turns> mailbox(2'000);
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(mailbox.push({1, i}));
  ASSERT_TRUE(mailbox.push({2, 0}));
  const auto first = mailbox.wait_all(2);
  EXPECT_EQ(first, (std::vector<Item>{{1, 0}, {2, 0}}));
  EXPECT_EQ(mailbox.size(), 999U);
  mailbox.close();
  EXPECT_EQ(mailbox.wait_all()->size(), 999U);
  EXPECT_EQ(mailbox.wait_all(), std::nullopt);
}

TEST(InTurns, IsBoundedLikeAnyMailboxAndWakesOnce) {
  int woken = 0;
  Mailbox<Item, Turns> mailbox(2, [&] { ++woken; });
  EXPECT_TRUE(mailbox.push({1, 0}));
  EXPECT_TRUE(mailbox.push({2, 0}));
  EXPECT_FALSE(mailbox.push({3, 0}));
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(mailbox.take_all().size(), 2U);
  EXPECT_TRUE(mailbox.push({3, 0}));
  EXPECT_EQ(woken, 2);
}

struct AllOfOne {
  int operator()(const std::unique_ptr<int>&) const { return 0; }
};

TEST(InTurns, TakesWhatCanOnlyBeMoved) {
  InTurns<std::unique_ptr<int>, AllOfOne> turns;
  turns.push_back(std::make_unique<int>(7));
  EXPECT_EQ(*turns.take(1).front(), 7);
}

}  // namespace
}  // namespace nostril
