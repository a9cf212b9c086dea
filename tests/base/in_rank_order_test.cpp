#include "base/in_rank_order.h"

#include "base/mailbox.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace nostril {
namespace {

struct Item {
  int rank = 0;
  int number = 0;

  bool operator==(const Item&) const = default;
};

struct RankOf {
  int operator()(const Item& item) const { return item.rank; }
};

TEST(InRankOrder, TheLowestRankFirstAndThoseOfOneInOrder) {
  InRankOrder<Item, RankOf> items;
  for (const int rank : {3, 1, 2, 1, 3}) items.push_back({rank, static_cast<int>(items.size())});
  EXPECT_EQ(items.take(3), (std::vector<Item>{{1, 1}, {1, 3}, {2, 2}}));
  items.push_back({0, 5});  // before all that wait
  EXPECT_EQ(items.size(), 3U);
  EXPECT_EQ(items.take(100), (std::vector<Item>{{0, 5}, {3, 0}, {3, 4}}));
  EXPECT_EQ(items.size(), 0U);
  EXPECT_TRUE(items.take(1).empty());
}

TEST(InRankOrder, KeepsAMailboxOfWhatCannotBeCopied) {
  struct SizeOf {
    int operator()(const std::unique_ptr<int>& item) const { return *item; }
  };

  Mailbox<std::unique_ptr<int>, InRankOrder<std::unique_ptr<int>, SizeOf>> mailbox(2);
  EXPECT_TRUE(mailbox.push(std::make_unique<int>(7)));
  EXPECT_TRUE(mailbox.push(std::make_unique<int>(5)));
  auto refused = std::make_unique<int>(1);
  EXPECT_FALSE(mailbox.push(std::move(refused)));
  ASSERT_NE(refused, nullptr) << "untouched";
  const auto first = mailbox.wait_all(1);
  ASSERT_TRUE(first && first->size() == 1);
  EXPECT_EQ(*first->front(), 5);
}

}  // namespace
}  // namespace nostril
