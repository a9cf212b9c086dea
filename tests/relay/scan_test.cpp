#include "relay/store/scan.h"

#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <set>

namespace nostril::relay {

namespace {

using test::author;
using test::make_event;
using test::query;

class ScanTest : public testing::Test {
 protected:
  test::TempDir dir_;
  std::unique_ptr<Store> store_ = test::open_store(dir_.path());
};

// For tests of what a step does rather than how long: a busy machine changes nothing.
ScanBudget patient() {
  ScanBudget budget;
  budget.time_us_max = 60'000'000;
  return budget;
}

Filter with_limit(std::uint64_t limit) {
  Filter filter;
  filter.limit = limit;
  return filter;
}

std::vector<Event> newest_first(std::vector<Event> events) {
  std::ranges::sort(events, test::ModelStore::newer);
  return events;
}

TEST_F(ScanTest, GivesNewestFirstThenLowestId) {
  std::vector<Event> events;
  events.reserve(60);
  for (int i = 0; i < 60; ++i) {
    events.push_back(make_event(1, 100 + i % 3, 1, {}, std::to_string(i)));
  }
  test::put_all(*store_, events);
  EXPECT_EQ(query(*store_, {Filter()}), test::ids_of(newest_first(events)));
}

TEST_F(ScanTest, HonoursLimitsOfEachFilter) {
  std::vector<Event> events;
  events.reserve(20);
  for (unsigned i = 0; i < 20; ++i) events.push_back(make_event(i % 2, 100 + i, 1));
  test::put_all(*store_, events);
  Filter of_0 = with_limit(3);
  of_0.authors = {author(0)};
  Filter of_1 = with_limit(2);
  of_1.authors = {author(1)};
  const std::vector expected = {events[19].id, events[18].id, events[17].id, events[16].id,
                                events[14].id};
  EXPECT_EQ(query(*store_, {of_0, of_1}), expected);
  EXPECT_TRUE(query(*store_, {with_limit(0)}).empty());
  EXPECT_TRUE(query(*store_, {}).empty());
  ScanOptions options;
  options.limit_max = 4;
  EXPECT_EQ(query(*store_, {Filter()}, options).size(), 4U);
  EXPECT_EQ(query(*store_, {with_limit(1000)}, options).size(), 4U);
}

TEST_F(ScanTest, FindsNothingForEmptyLists) {
  test::put_all(*store_, {make_event(1, 100, 1)});
  Filter filter;
  filter.kinds.emplace();
  EXPECT_TRUE(query(*store_, {filter}).empty());
  Filter backwards;
  backwards.since = 200;
  backwards.until = 100;
  EXPECT_TRUE(query(*store_, {backwards}).empty());
  Filter far;
  far.since = kCreatedAtMax + 1;
  far.until = INT64_MAX;
  EXPECT_TRUE(query(*store_, {far}).empty());
  Filter all;
  all.since = INT64_MIN;
  all.until = INT64_MAX;
  EXPECT_EQ(query(*store_, {all}).size(), 1U);
}

TEST_F(ScanTest, IncludesSinceAndUntil) {
  test::put_all(*store_, {make_event(1, 99, 1), make_event(1, 100, 1), make_event(1, 101, 1)});
  Filter filter;
  filter.since = 100;
  filter.until = 100;
  EXPECT_EQ(query(*store_, {filter}), std::vector{make_event(1, 100, 1).id});
}

TEST_F(ScanTest, GivesTheSameInAnySteps) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  test::RandomWorld world(seed);
  std::vector<Event> events;
  events.reserve(300);
  for (int i = 0; i < 300; ++i) events.push_back(world.event());
  test::put_all(*store_, events);
  for (int i = 0; i < 50; ++i) {
    const std::vector filters = {world.filter(), world.filter()};
    const auto whole = query(*store_, filters);
    ScanBudget tiny;
    tiny.visits_max = 1 + world.below(5);
    EXPECT_EQ(query(*store_, filters, {}, tiny), whole);
    ScanBudget few_rows;
    few_rows.rows_max = 1 + world.below(3);
    EXPECT_EQ(query(*store_, filters, {}, few_rows), whole);
  }
}

// The slow twin: all events, filtered and sorted.
TEST_F(ScanTest, GivesWhatTheSlowTwinGives) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  test::RandomWorld world(seed);
  test::ModelStore model;
  std::size_t rows = 0;
  for (int round = 0; round < 25; ++round) {
    std::vector<Event> batch;
    batch.reserve(40);
    for (int i = 0; i < 40; ++i) batch.push_back(world.event());
    test::put_all(*store_, batch, 900);
    for (const Event& event : batch) model.put(event, 900);
    for (int i = 0; i < 60; ++i) {
      std::vector<Filter> filters;
      for (std::uint64_t j = world.below(3) + 1; j > 0; --j) filters.push_back(world.filter());
      ScanOptions options;
      options.now_s = 900 + static_cast<std::int64_t>(world.below(250));
      options.limit_max = 1 + world.below(60);
      const auto expected = model.query(filters, options);
      std::string text;
      for (const Filter& filter : filters) append_json(text, filter);
      ASSERT_EQ(query(*store_, filters, options), expected) << text;
      rows += expected.size();
    }
  }
  EXPECT_GT(rows, 1000U);
}

TEST_F(ScanTest, MergesHundredsOfAuthorsAndKinds) {
  std::vector<Event> events;
  events.reserve(250);
  Filter filter = with_limit(40);
  filter.authors.emplace();
  filter.kinds = {1, 7, 30023};
  for (unsigned i = 0; i < 250; ++i) {
    filter.authors->push_back(author(i));
    for (unsigned j = 0; j < 4; ++j) {
      events.push_back(
          make_event(i, 1000 + (i * 7 + j * 13) % 97, j % 2 == 0 ? 1 : 7, {}, std::to_string(j)));
    }
  }
  std::ranges::sort(*filter.authors);
  test::put_all(*store_, events);
  auto expected = test::ids_of(newest_first(events));
  expected.resize(40);
  EXPECT_EQ(query(*store_, {filter}), expected);
}

TEST_F(ScanTest, PagesByUntilMeetEveryEventOnce) {
  std::vector<Event> events;
  events.reserve(1000);
  for (int i = 0; i < 1000; ++i) events.push_back(make_event(1, 1000 + i, 1));
  test::put_all(*store_, events);
  std::set<EventId> seen;
  std::size_t visits_of_a_page_max = 0;
  Filter filter = with_limit(50);
  filter.authors = {author(1)};
  filter.kinds = {1};
  for (int page = 0; page < 20; ++page) {
    Scan scan(*store_, {filter}, {});
    ReadTxn txn = store_->read();
    std::int64_t oldest = 0;
    const auto step = scan.step(txn, patient(), [&](const RecordView& row) {
      seen.insert(row.id());
      oldest = row.created_at();
      return RowAction::Take;
    });
    ASSERT_TRUE(step.has_value() && step->done);
    EXPECT_EQ(step->rows, 50U);
    visits_of_a_page_max = std::max(visits_of_a_page_max, step->visits);
    filter.until = oldest - 1;
  }
  EXPECT_EQ(seen.size(), 1000U);
  EXPECT_LT(visits_of_a_page_max, 200U);  // the deepest page, too
}

TEST_F(ScanTest, TakesTheIndexWithFewEntries) {
  std::vector<Event> events;
  events.reserve(3000);
  for (int i = 0; i < 3000; ++i) {
    Tags tags;
    tags.add({"t", "common"});
    if (i % 500 == 0) tags.add({"p", encode_hex(author(9))});
    events.push_back(make_event(1, i, 1, std::move(tags)));
  }
  test::put_all(*store_, events);
  Filter filter;
  filter.kinds = {1};
  filter.tags.push_back({'t', {"common"}});
  filter.tags.push_back({'p', {encode_hex(author(9))}});
  Scan scan(*store_, {filter}, {});
  ReadTxn txn = store_->read();
  const auto step = scan.step(txn, patient(), [](const RecordView&) { return RowAction::Take; });
  ASSERT_TRUE(step.has_value());
  EXPECT_TRUE(step->done);
  EXPECT_EQ(step->rows, 6U);
  EXPECT_LT(step->visits, 300U);
}

TEST_F(ScanTest, RowsThatTheReaderMayNotSeeDoNotCount) {
  std::vector<Event> events;
  events.reserve(20);
  for (int i = 0; i < 20; ++i) events.push_back(make_event(1, i, i % 2 == 0 ? 1 : 1059));
  test::put_all(*store_, events);
  Scan scan(*store_, {with_limit(5)}, {});
  ReadTxn txn = store_->read();
  std::size_t shown = 0;
  const auto step = scan.step(txn, patient(), [&shown](const RecordView& row) {
    if (row.kind() == 1059) return RowAction::Skip;
    ++shown;
    return RowAction::Take;
  });
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(shown, 5U);
  EXPECT_EQ(step->rows, 5U);
}

TEST_F(ScanTest, PausesWhenTheReceiverIsFull) {
  test::put_all(*store_, {make_event(1, 1, 1), make_event(1, 2, 1), make_event(1, 3, 1)});
  Scan scan(*store_, {Filter()}, {});
  for (int i = 0; i < 3; ++i) {
    ReadTxn txn = store_->read();
    const auto step =
        scan.step(txn, patient(), [](const RecordView&) { return RowAction::TakeAndPause; });
    ASSERT_TRUE(step.has_value());
    EXPECT_EQ(step->rows, 1U);
    EXPECT_FALSE(step->done);
  }
  ReadTxn txn = store_->read();
  const auto end = scan.step(txn, patient(), [](const RecordView&) { return RowAction::Take; });
  EXPECT_TRUE(end->done);
  EXPECT_EQ(end->rows, 0U);
}

TEST_F(ScanTest, GoesOnOverEventsThatWentMeanwhile) {
  std::vector<Event> events;
  events.reserve(10);
  for (int i = 0; i < 10; ++i) events.push_back(make_event(1, 100 + i, 1));
  test::put_all(*store_, events);
  Scan scan(*store_, {Filter()}, {});
  ScanBudget three = patient();
  three.rows_max = 3;
  std::vector<EventId> seen;
  const auto take = [&seen](const RecordView& row) {
    seen.push_back(row.id());
    return RowAction::Take;
  };
  {
    ReadTxn txn = store_->read();
    ASSERT_TRUE(scan.step(txn, three, take).has_value());
  }
  // The newest record goes and its number is used again, by an event out of the scan's order.
  ASSERT_TRUE(store_->erase(std::vector{events[9].id, events[5].id, events[6].id}).has_value());
  test::put_all(*store_, {make_event(2, 500, 1)});
  for (bool done = false; !done;) {
    ReadTxn txn = store_->read();
    done = scan.step(txn, three, take)->done;
  }
  const std::vector expected = {events[9].id, events[8].id, events[7].id, events[4].id,
                                events[3].id, events[2].id, events[1].id, events[0].id};
  EXPECT_EQ(seen, expected);
}

TEST_F(ScanTest, StopsWithinItsTime) {
  std::vector<Event> events;
  events.reserve(2000);
  for (int i = 0; i < 2000; ++i) events.push_back(make_event(1, i, 1));
  test::put_all(*store_, events);
  Filter filter = with_limit(2000);
  ScanOptions options;
  options.limit_max = 5000;
  Scan scan(*store_, {filter}, options);
  ScanBudget budget;
  budget.time_us_max = 0;
  budget.rows_max = 100000;
  budget.visits_max = 100000;
  std::size_t steps = 0;
  std::size_t rows = 0;
  for (bool done = false; !done; ++steps) {
    ReadTxn txn = store_->read();
    const auto step = scan.step(txn, budget, [](const RecordView&) { return RowAction::Take; });
    ASSERT_TRUE(step.has_value());
    rows += step->rows;
    done = step->done;
  }
  EXPECT_EQ(rows, 2000U);
  EXPECT_GT(steps, 5U);
}

}  // namespace

}  // namespace nostril::relay
