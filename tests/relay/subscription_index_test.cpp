#include "relay/subscription_index.h"

#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <iostream>
#include <map>

namespace nostril::relay::test {
namespace {

/// The same secret for the same seed, so that a failure can be replayed.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : random_(seed) {}

  void fill(std::span<std::uint8_t> out) override {
    for (auto& byte : out) byte = static_cast<std::uint8_t>(random_());
  }

 private:
  std::mt19937_64 random_;
};

using Found = std::map<const IndexedSubscription*, int>;  // how often each was visited

Found visits(SubscriptionIndex& index, const Event& event) {
  Found found;
  index.match(event, [&](IndexedSubscription& subscription) { ++found[&subscription]; });
  return found;
}

class SubscriptionIndexTest : public testing::Test {
 protected:
  // In the index for as long as the test.
  IndexedSubscription& add(std::vector<Filter> filters) {
    auto& made = made_.emplace_back(std::make_unique<IndexedSubscription>());
    made->filters = std::move(filters);
    for (Filter& filter : made->filters) filter.normalize();
    index_.add(*made);
    return *made;
  }

  bool finds(const IndexedSubscription& subscription, const Event& event) {
    return visits(index_, event).contains(&subscription);
  }

  SystemRng rng_;
  SubscriptionIndex index_{rng_};
  std::vector<std::unique_ptr<IndexedSubscription>> made_;
};

Filter with_tag(char name, std::vector<std::string> values) {
  Filter filter;
  filter.tags.push_back({name, std::move(values)});
  return filter;
}

Filter with_kinds(std::vector<std::uint32_t> kinds) {
  Filter filter;
  filter.kinds = std::move(kinds);
  return filter;
}

TEST_F(SubscriptionIndexTest, VisitsASubscriptionOnceHoweverManyFiltersMatch) {
  Filter by_author;
  by_author.authors = {author(1)};
  auto& subscription = add({{},
                            {},
                            with_kinds({1, 2}),
                            with_kinds({1}),
                            by_author,
                            by_author,
                            with_tag('t', {"a", "b"})});
  const Event event = make_event(1, 100, 1, {{"t", "a"}, {"t", "b"}, {"t", "a"}});
  EXPECT_EQ(visits(index_, event), (Found{{&subscription, 1}}));
  EXPECT_EQ(visits(index_, event), (Found{{&subscription, 1}}));  // and so the next time
}

TEST_F(SubscriptionIndexTest, TellsTagsFromEachOther) {
  auto& lower = add({with_tag('e', {"x"})});
  auto& upper = add({with_tag('E', {"x"})});
  auto& empty = add({with_tag('e', {""})});
  Filter both = with_tag('e', {"x", "y"});
  both.tags.push_back({'p', {"z"}});
  auto& two = add({both});
  const auto found = [&](Tags tags) {
    Found all = visits(index_, make_event(1, 100, 1, std::move(tags)));
    return std::vector<bool>{all.contains(&lower), all.contains(&upper), all.contains(&empty),
                             all.contains(&two)};
  };
  using Row = std::vector<bool>;
  EXPECT_EQ(found({{"e", "x"}}), (Row{true, false, false, false}));
  EXPECT_EQ(found({{"E", "x"}}), (Row{false, true, false, false}));
  EXPECT_EQ(found({{"e", ""}}), (Row{false, false, true, false}));
  EXPECT_EQ(found({{"e"}}), (Row{false, false, false, false}));
  EXPECT_EQ(found({{"ee", "x"}}), (Row{false, false, false, false}));
  EXPECT_EQ(found({{"e", "other", "x"}}), (Row{false, false, false, false}));
  EXPECT_EQ(found({{"p", "z"}, {"e", "y"}}), (Row{false, false, false, true}));
  EXPECT_EQ(found({{"p", "z"}, {"e", "x"}, {"E", "x"}}), (Row{true, true, false, true}));
}

TEST_F(SubscriptionIndexTest, AnAuthorIsNoIdAndAKindIsNoTag) {
  const Event event = make_event(1, 100, 7);
  Filter id;
  id.ids = {EventId{event.pubkey.bytes}};
  Filter by_author;
  by_author.authors = {PublicKey{event.id.bytes}};
  EXPECT_FALSE(finds(add({id}), event));
  EXPECT_FALSE(finds(add({by_author}), event));
  EXPECT_FALSE(finds(add({with_tag('k', {"7"})}), event));
  Filter right;
  right.ids = {event.id};
  EXPECT_TRUE(finds(add({right}), event));
}

TEST_F(SubscriptionIndexTest, FiltersThatMatchNothingAreKeptAndNeverFound) {
  Filter backwards;
  backwards.since = 200;
  backwards.until = 100;
  Filter nobody;
  nobody.authors.emplace();
  auto& none = add({});
  auto& nothing = add({backwards, nobody, with_kinds({}), with_tag('t', {})});
  EXPECT_EQ(index_.size(), 2U);
  EXPECT_TRUE(visits(index_, make_event(1, 150, 1, {{"t", ""}})).empty());
  index_.remove(nothing);
  index_.remove(none);
  EXPECT_EQ(index_.size(), 0U);
}

TEST_F(SubscriptionIndexTest, RemovesOneOfManyThatAskTheSame) {
  const Event event = make_event(1, 100, 1);
  std::vector<IndexedSubscription*> all;
  for (int i = 0; i < 20; ++i) all.push_back(&add({with_kinds({1}), {}, with_kinds({1})}));
  for (std::size_t left = all.size(); left > 0; --left) {
    EXPECT_EQ(visits(index_, event).size(), left);
    EXPECT_EQ(index_.size(), left);
    index_.remove(*all[left * 7 % left]);
    std::swap(all[left * 7 % left], all[left - 1]);
    EXPECT_FALSE(finds(*all[left - 1], event));
  }
  EXPECT_TRUE(visits(index_, event).empty());
}

/// The index beside a loop over all filters, over events and subscriptions that come and go.
class Pair {
 public:
  explicit Pair(std::uint64_t seed) : world_(seed), rng_(seed), index_(rng_) {
    for (int i = 0; i < 30; ++i) (void)world_.event();
  }

  void turn() {
    const std::uint64_t what = world_.below(10);
    if (what < 3) {
      add();
    } else if (what < 5 && !live_.empty()) {
      remove(world_.below(live_.size()));
    } else {
      compare(world_.event());
    }
    ASSERT_EQ(index_.size(), live_.size());
  }

  void end() {
    while (!live_.empty()) remove(world_.below(live_.size()));
    EXPECT_EQ(index_.size(), 0U);
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(visits(index_, world_.event()).empty());
  }

  [[nodiscard]] std::size_t matches() const { return matches_; }

 private:
  void add() {
    auto made = std::make_unique<IndexedSubscription>();
    for (std::uint64_t i = world_.below(5); i > 0; --i) {
      if (!made->filters.empty() && world_.below(5) == 0) {
        made->filters.push_back(made->filters[world_.below(made->filters.size())]);
      } else {
        made->filters.push_back(filter());
      }
    }
    index_.add(*made);
    live_.push_back(std::move(made));
  }

  // Every shape: members left out, members that are there and empty, and everything.
  Filter filter() {
    if (world_.below(12) == 0) return {};
    Filter made = world_.filter();
    if (world_.below(25) == 0) made.ids.emplace();
    if (world_.below(25) == 0) made.authors.emplace();
    if (world_.below(25) == 0) made.kinds.emplace();
    if (world_.below(25) == 0) made.tags.push_back({'x', {}});
    return made;
  }

  void remove(std::size_t at) {
    index_.remove(*live_[at]);
    live_[at] = std::move(live_.back());
    live_.pop_back();
  }

  void compare(const Event& event) {
    Found expected;
    for (const auto& subscription : live_) {
      if (matches_any(subscription->filters, event)) expected[subscription.get()] = 1;
    }
    ASSERT_EQ(visits(index_, event), expected) << to_json(event);
    matches_ += expected.size();
  }

  RandomWorld world_;
  SeededRng rng_;
  SubscriptionIndex index_;
  std::vector<std::unique_ptr<IndexedSubscription>> live_;
  std::size_t matches_ = 0;
};

TEST(SubscriptionIndexTwin, FindsWhatALoopOverAllFiltersFinds) {
  const std::uint64_t seed = random_seed();
  std::cout << "NOSTRIL_SEED=" << seed << "\n";
  std::size_t matches = 0;
  for (std::uint64_t round = 0; round < 20; ++round) {
    Pair pair(seed + round);
    for (int i = 0; i < 400 && !testing::Test::HasFatalFailure(); ++i) pair.turn();
    pair.end();
    matches += pair.matches();
  }
  EXPECT_GT(matches, 10'000U);  // else the events and filters do not meet
}

}  // namespace
}  // namespace nostril::relay::test
