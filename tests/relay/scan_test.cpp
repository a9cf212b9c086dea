#include "relay/store/scan.h"

#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
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

// NIP-67: what is said of the rest is what a scan without limits finds.
TEST_F(ScanTest, KnowsWhetherThereIsMore) {
  std::vector<Event> events;
  for (unsigned i = 0; i < 12; ++i) {
    events.push_back(make_event(i % 2, 100 + i, 1, {{"t", i < 2 ? "rare" : "often"}}));
  }
  Event gone = make_event(5, 500, 1, {{"expiration", "600"}});
  events.push_back(gone);
  test::put_all(*store_, events);
  const auto rest = [&](std::vector<Filter> filters, std::uint64_t limit_max = 500) {
    Scan scan(*store_, std::move(filters), {1'000, limit_max, true});
    while (true) {
      ReadTxn txn = store_->read();
      const auto step = scan.step(txn, patient(), [](const ScanRow&) { return RowAction::Take; });
      EXPECT_TRUE(step);
      if (!step || step->done) return step ? step->rest : StoredRest::Unknown;
      EXPECT_EQ(step->rest, StoredRest::Unknown) << "not done";
    }
  };
  EXPECT_EQ(rest({Filter()}), StoredRest::None);
  EXPECT_EQ(rest({with_limit(11)}), StoredRest::More);
  EXPECT_EQ(rest({with_limit(12)}), StoredRest::None) << "the expired one does not count";
  EXPECT_EQ(rest({with_limit(13)}), StoredRest::None);
  EXPECT_EQ(rest({with_limit(100)}, 11), StoredRest::More) << "the relay's own limit";
  EXPECT_EQ(rest({with_limit(0)}), StoredRest::Unknown) << "nothing was looked at";
  Filter rare = with_limit(2);
  rare.tags = {{'t', {"rare"}}};
  EXPECT_EQ(rest({rare}), StoredRest::None);
  rare.limit = 1;
  EXPECT_EQ(rest({rare}), StoredRest::More);
  rare.ids = {events[0].id, events[1].id, events[2].id};
  rare.normalize();
  EXPECT_EQ(rest({rare}), StoredRest::More);
  rare.ids = {events[0].id, events[2].id};
  rare.normalize();
  EXPECT_EQ(rest({rare}), StoredRest::None);
  Filter one = with_limit(1);
  EXPECT_EQ(rest({one, with_limit(100)}), StoredRest::Unknown) << "the second shows what it has";
  EXPECT_EQ(rest({with_limit(12), with_limit(100)}), StoredRest::None);
}

Filter searching(const std::string& text, std::optional<std::uint64_t> limit = {}) {
  Filter filter;
  filter.search.emplace(text);
  filter.limit = limit;
  return filter;
}

class SearchTest : public ScanTest {
 protected:
  SearchTest() {
    store_.reset();
    StoreOptions options = test::test_options();
    options.search = true;
    store_ = test::open_store(dir_.path(), options);
  }
};

TEST_F(SearchTest, GivesTheBestFirst) {
  const Event title = make_event(1, 100, 30023, {{"title", "Relays"}, {"d", "a"}}, "nothing else");
  const Event twice = make_event(2, 101, 1, {}, "relays and relays");
  const Event among =
      make_event(3, 102, 1, {}, "some words, then relays, then yet more of them all");
  const Event other = make_event(4, 103, 1, {}, "nothing of the kind");
  const Event secret = make_event(4, 104, 4, {}, "relays");
  const Event expired = make_event(4, 105, 1, {{"expiration", "200"}}, "relays");
  test::put_all(*store_, {title, twice, among, other, secret, expired});
  const ScanOptions at{1'000, 500};
  EXPECT_EQ(query(*store_, {searching("relays")}, at), (std::vector{title.id, twice.id, among.id}));
  EXPECT_EQ(query(*store_, {searching("relays", 2)}, at), (std::vector{title.id, twice.id}));
  EXPECT_TRUE(query(*store_, {searching("relays", 0)}, at).empty());
  Filter notes = searching("RELAYS");
  notes.kinds = {1};
  EXPECT_EQ(query(*store_, {notes}, at), (std::vector{twice.id, among.id}));
  notes.authors = {author(3)};
  EXPECT_EQ(query(*store_, {notes}, at), (std::vector{among.id}));
  EXPECT_EQ(query(*store_, {searching("relays yet")}, at), (std::vector{among.id}));
  EXPECT_TRUE(query(*store_, {searching("relays nowhere")}, at).empty());
  Filter rest;
  rest.limit = 2;
  EXPECT_EQ(query(*store_, {searching("yet"), rest, searching("relays", 1)}, at),
            (std::vector{among.id, title.id, secret.id, other.id}))
      << "searches first, each event once";
  EXPECT_EQ(query(*store_, {searching("include:spam")}, at).size(), 5U) << "no search at all";
}

// What a search finds is what a walk over all events finds, whatever a step may do.
TEST_F(SearchTest, FindsWhatTheSlowTwinFinds) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::array<const char*, 9> kWords = {"relay",
                                                 "nostr",
                                                 "fast",
                                                 "caf\u00e9",
                                                 "\u65e5",
                                                 "note",
                                                 "exampleofaverylongword",
                                                 "exampleofaverylonely",
                                                 "x1"};
  const auto text = [&](std::uint64_t count) {
    std::string out;
    for (std::uint64_t i = random() % count + 1; i > 0; --i) {
      out += std::string(kWords[random() % kWords.size()]) + (random() % 4 == 0 ? ", " : " ");
    }
    return out;
  };
  std::vector<Event> events;
  for (int i = 0; i < 400; ++i) {
    events.push_back(make_event(
        static_cast<unsigned>(random() % 4), 100 + i,
        random() % 5 == 0 ? 0 : 1 + static_cast<std::uint32_t>(random() % 2), {}, text(6)));
    ASSERT_NE(test::put(*store_, events.back()), PutResult::Failed);
  }
  for (int i = 0; i < 60; ++i) {
    Filter filter = searching(text(3));
    if (i % 3 == 0) filter.authors = {author(1)};
    ScanBudget tiny = patient();
    tiny.visits_max = 1 + random() % 4;
    std::set<EventId> expected;
    for (const Event& event : events) {
      if (filter.matches(event) && store_->has_id(event.id)) expected.insert(event.id);
    }
    const auto whole = query(*store_, {filter});
    EXPECT_EQ(std::set(whole.begin(), whole.end()), expected) << filter.search->text();
    EXPECT_EQ(query(*store_, {filter}, {}, tiny), whole);
    filter.limit = 3;
    const auto best = query(*store_, {filter});
    EXPECT_EQ(best, std::vector(whole.begin(),
                                whole.begin() + static_cast<std::ptrdiff_t>(
                                                    std::min<std::size_t>(3, whole.size()))));
  }
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
    const auto step = scan.step(txn, patient(), [&](const ScanRow& row) {
      seen.insert(row.record.id());
      oldest = row.record.created_at();
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

// A store of `count` events, one a second from 1000 on, by authors 0, 1, 2 … in turn.
std::vector<Event> in_turn(std::size_t count, unsigned authors) {
  std::vector<Event> events;
  events.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    Tags tags;
    tags.add({"t", i % 2 == 0 ? "even" : "odd"});
    events.push_back(make_event(static_cast<unsigned>(i) % authors,
                                1000 + static_cast<std::int64_t>(i), 1, std::move(tags)));
  }
  return events;
}

// Rows and visits of the whole scan.
ScanStep cost(Store& store, const Filter& filter) {
  Scan scan(store, {filter}, {});
  ReadTxn txn = store.read();
  ScanBudget budget = patient();
  budget.visits_max = budget.rows_max = SIZE_MAX;
  const auto step = scan.step(txn, budget, [](const ScanRow&) { return RowAction::Take; });
  CHECK(step.has_value() && step->done);
  return *step;
}

Filter of_authors(unsigned first, unsigned count) {
  Filter filter;
  filter.authors.emplace();
  for (unsigned i = first; i < first + count; ++i) filter.authors->push_back(author(i));
  filter.normalize();
  return filter;
}

TEST_F(ScanTest, APageCostsTheSameAtAnyDepth) {
  test::put_all(*store_, in_turn(4000, 4));
  Filter all = with_limit(50);
  Filter kind = with_limit(50);
  kind.kinds = {1};
  Filter of_one = of_authors(1, 1);
  of_one.limit = 50;
  Filter of_one_and_kind = of_one;
  of_one_and_kind.kinds = {1};
  Filter tagged = with_limit(50);
  tagged.tags.push_back({'t', {"even"}});
  for (Filter filter : {all, kind, of_one, of_one_and_kind, tagged}) {
    for (const std::int64_t until : {5000, 4000, 3000, 2000, 1500}) {
      filter.until = until;
      const ScanStep step = cost(*store_, filter);
      EXPECT_EQ(step.rows, 50U);
      EXPECT_LE(step.visits, 120U);  // each twice, in the index and as a record, and a few more
    }
  }
}

TEST_F(ScanTest, ReadsNoMoreThanTheLimitAsksFor) {
  test::put_all(*store_, in_turn(1000, 4));
  for (const std::uint64_t limit : {1U, 2U, 10U, 100U}) {
    Filter filter = of_authors(1, 1);
    filter.kinds = {1};
    filter.limit = limit;
    EXPECT_LE(cost(*store_, filter).visits, 2 * limit + 5);
  }
}

TEST_F(ScanTest, AFeedWalksThroughTimeWhereItsAuthorsWriteMuch) {
  test::put_all(*store_, in_turn(6000, 200));
  Filter half = of_authors(0, 100);  // 100 looks, if each was asked
  half.kinds = {1};
  half.limit = 40;
  const ScanStep step = cost(*store_, half);
  EXPECT_EQ(step.rows, 40U);
  EXPECT_LE(step.visits, 400U);
  half.limit = 500;
  EXPECT_EQ(cost(*store_, half).rows, 500U);
}

TEST_F(ScanTest, AFeedOfTheLastMomentsDoesNotAskEachAuthor) {
  test::put_all(*store_, in_turn(6000, 200));
  Filter recent = of_authors(0, 150);
  recent.since = 6990;
  EXPECT_EQ(cost(*store_, recent).rows, 0U);  // 6990 to 6999: authors 190 to 199
  EXPECT_LE(cost(*store_, recent).visits, 40U);
}

TEST_F(ScanTest, AFeedAsksEachAuthorWhereTheyWriteSeldom) {
  std::vector<Event> events = in_turn(6000, 5);
  for (unsigned i = 100; i < 104; ++i) events.push_back(make_event(i, 1000 + i, 1));
  test::put_all(*store_, events);
  Filter seldom = of_authors(100, 100);
  seldom.kinds = {1};
  const ScanStep step = cost(*store_, seldom);
  EXPECT_EQ(step.rows, 4U);
  EXPECT_LE(step.visits, 400U);  // not 6,000
}

// The walk is given up where the authors' share falls: nothing is lost there and nothing doubled.
TEST_F(ScanTest, AFeedIsWholeWhereTheWayChanges) {
  std::vector<Event> events = in_turn(3000, 7);
  for (unsigned i = 0; i < 300; ++i) {
    events.push_back(make_event(100 + i % 100, 4000 + i % 50, 1, {}, std::to_string(i)));
  }
  for (unsigned i = 0; i < 50; ++i) {
    events.push_back(make_event(100 + i, 1000 + i * 50, 1, {}, "old"));
  }
  test::put_all(*store_, events);
  Filter feed = of_authors(100, 100);
  feed.limit = 500;
  std::erase_if(events, [&](const Event& event) { return !feed.matches(event); });
  const auto expected = test::ids_of(newest_first(events));
  EXPECT_EQ(query(*store_, {feed}), expected);
  for (const std::size_t visits : {1U, 7U, 70U, 350U, 700U}) {
    ScanBudget budget = patient();
    budget.visits_max = visits;
    EXPECT_EQ(query(*store_, {feed}, {}, budget), expected);
  }
}

// 60 authors x 60 kinds would be 3,600 ranges for 120 values.
TEST_F(ScanTest, ManyAuthorsAndKindsAreFoundByAuthor) {
  std::vector<Event> events;
  for (unsigned i = 0; i < 60; ++i) {
    for (unsigned kind = 100; kind < 110; ++kind) {
      events.push_back(make_event(i, 1000 + (i * 31 + kind * 7) % 500, kind));
    }
  }
  test::put_all(*store_, events);
  Filter filter = of_authors(0, 60);
  filter.kinds.emplace();
  for (unsigned kind = 50; kind < 110; kind += 1 + kind % 2) filter.kinds->push_back(kind);
  for (unsigned kind = 1000; kind < 1040; ++kind) filter.kinds->push_back(kind);
  filter.normalize();
  filter.tags.push_back({'t', {"nowhere"}});
  EXPECT_TRUE(query(*store_, {filter}).empty());
  filter.tags.clear();
  filter.limit = 500;
  std::erase_if(events, [&](const Event& event) { return !filter.matches(event); });
  EXPECT_EQ(query(*store_, {filter}), test::ids_of(newest_first(events)));
  EXPECT_LE(cost(*store_, filter).visits, 1500U);
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
  const auto step = scan.step(txn, patient(), [](const ScanRow&) { return RowAction::Take; });
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
  const auto step = scan.step(txn, patient(), [&shown](const ScanRow& row) {
    if (row.record.kind() == 1059) return RowAction::Skip;
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
        scan.step(txn, patient(), [](const ScanRow&) { return RowAction::TakeAndPause; });
    ASSERT_TRUE(step.has_value());
    EXPECT_EQ(step->rows, 1U);
    EXPECT_FALSE(step->done);
  }
  ReadTxn txn = store_->read();
  const auto end = scan.step(txn, patient(), [](const ScanRow&) { return RowAction::Take; });
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
  const auto take = [&seen](const ScanRow& row) {
    seen.push_back(row.record.id());
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
    const auto step = scan.step(txn, budget, [](const ScanRow&) { return RowAction::Take; });
    ASSERT_TRUE(step.has_value());
    rows += step->rows;
    done = step->done;
  }
  EXPECT_EQ(rows, 2000U);
  EXPECT_GT(steps, 5U);
}

std::size_t counted(Store& store, const Filter& filter, const ScanOptions& options) {
  Scan scan(store, {filter}, options);
  ReadTxn txn = store.read();
  ScanBudget budget = patient();
  budget.rows_max = budget.visits_max = SIZE_MAX;
  const auto step = scan.count(txn, budget);
  CHECK(step && step->done);
  return step->rows;
}

// Few expired events are known by their numbers, of many each record is looked at.
TEST_F(ScanTest, ACountLeavesOutWhatHasExpired) {
  std::size_t lasting = 0;
  for (const unsigned expired_max : {10U, 1'500U}) {
    std::vector<Event> events;
    for (unsigned i = 0; i < expired_max + 20; ++i) {
      const bool expires = i < expired_max;
      events.push_back(make_event(i % 3, 100 + i, 1 + i % 2,
                                  {{"expiration", expires ? "1000" : "9000"}, {"t", "x"}},
                                  std::to_string(expired_max)));
    }
    test::put_all(*store_, events, 500);
    lasting += 20;
    ScanOptions options;
    options.limit_max = 100'000;
    options.now_s = 2'000;
    Filter of_kinds;
    of_kinds.kinds = {1, 2};
    Filter of_authors;
    of_authors.authors = {author(0), author(1), author(2)};
    Filter of_tags;
    of_tags.tags.push_back({'t', {"x"}});
    for (const Filter& filter : {Filter(), of_kinds, of_authors, of_tags}) {
      EXPECT_EQ(counted(*store_, filter, options), lasting);
      EXPECT_EQ(query(*store_, {filter}, options).size(), lasting);
    }
    of_kinds.limit = 7;
    EXPECT_EQ(counted(*store_, of_kinds, options), 7U);
  }
}

// So many kinds that the scan tries a walk through all events.
TEST_F(ScanTest, ACountOfManyKindsCountsNoOthers) {
  std::vector<Event> events;
  for (unsigned i = 0; i < 400; ++i) {
    events.push_back(make_event(1, 100 + i, 1 + i % 100, {}, std::to_string(i)));
  }
  test::put_all(*store_, events);
  ScanOptions options;
  options.limit_max = 100'000;
  Filter filter;
  filter.kinds.emplace();
  for (std::uint32_t kind = 11; kind < 91; ++kind) filter.kinds->push_back(kind);
  filter.kinds->push_back(65'536 + 1);
  const std::size_t expected = query(*store_, {filter}, options).size();
  EXPECT_EQ(counted(*store_, filter, options), expected);
  EXPECT_GT(expected, 200U);
}

}  // namespace

}  // namespace nostril::relay
