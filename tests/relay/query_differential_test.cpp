// The planner, the scan and the index of live subscriptions against a matcher that knows NIP-01 and
// nothing else. NOSTRIL_CASES=100000 for a long run, NOSTRIL_SEED to repeat one.
#include "base/text_buffer.h"
#include "events/messages.h"
#include "relay/store/event_cache.h"
#include "relay/store/scan.h"
#include "relay/subscription_index.h"
#include "tests/relay/query_model.h"

#include <gtest/gtest.h>

#include <set>
#include <unordered_map>
#include <variant>

namespace nostril::relay {

namespace {

using test::Chance;
using test::PlainEvent;
using test::PlainFilter;

constexpr std::int64_t kNow = 1500;

std::size_t case_count(std::size_t usual) {
  const char* wanted = std::getenv("NOSTRIL_CASES");  // NOLINT(concurrency-mt-unsafe)
  return wanted == nullptr ? usual : std::stoul(wanted);
}

std::vector<Filter> parsed(const std::vector<PlainFilter>& filters) {
  MessageLimits limits;
  limits.filter.values_max = 5000;
  auto message = parse_client_message(test::request_json(filters), limits);
  CHECK(message.has_value());
  return std::move(std::get<client_message::Request>(*message).filters);
}

ScanBudget small_budget(Chance& chance) {
  ScanBudget budget;
  budget.time_us_max = 60'000'000;
  if (chance.one_in(2)) budget.visits_max = 1 + chance.below(chance.one_in(2) ? 4 : 300);
  if (chance.one_in(2)) budget.rows_max = 1 + chance.below(chance.one_in(2) ? 3 : 50);
  return budget;
}

// All rows; `between` is called after each step but the last. With a cache: a step gives it what it
// has shown, as a loop's does, and what it gives back is what the store would.
template <typename Between>
std::vector<std::string> rows(Store& store, const std::vector<PlainFilter>& filters,
                              std::uint64_t limit_max, Chance& chance, EventCache* cache,
                              Between between) {
  Scan scan(store, parsed(filters), {kNow, limit_max});
  const ScanBudget budget = small_budget(chance);
  std::vector<std::string> ids;
  TextBuffer json;
  while (true) {
    {
      ReadTxn txn = store.read();
      std::vector<Sequence> new_ones;
      const auto on_row = [&](const ScanRow& row) {
        ids.push_back(encode_hex(row.record.id()));
        EXPECT_TRUE(store.has_id(txn, row.record.id()));
        json.clear();
        EXPECT_TRUE(append_json(json, row.record));
        EXPECT_EQ(row.json.value_or(json.text()), json.text());
        if (!row.json && cache != nullptr && cache->wants(row.sequence)) {
          new_ones.push_back(row.sequence);
        }
        return chance.one_in(30) ? RowAction::TakeAndPause : RowAction::Take;
      };
      const auto step = scan.step(txn, budget, on_row, cache);
      CHECK(step.has_value());
      for (const Sequence sequence : new_ones) {
        const auto record = store.find(txn, sequence);
        json.clear();
        CHECK(record && append_json(json, *record));
        cache->add(sequence, *record, json.text());
      }
      if (step->done) return ids;
    }
    between();
  }
}

// How many rows() would give, counted in steps.
std::size_t counted(Store& store, const std::vector<PlainFilter>& filters, std::uint64_t limit_max,
                    Chance& chance, const EventCache* cache) {
  Scan scan(store, parsed(filters), {kNow, limit_max});
  const ScanBudget budget = small_budget(chance);
  std::size_t count = 0;
  while (true) {
    ReadTxn txn = store.read();
    const auto step = scan.count(txn, budget, cache);
    CHECK(step.has_value());
    count += step->rows;
    if (step->done) return count;
  }
}

class QueryDifferentialTest : public testing::Test {
 protected:
  void SetUp() override {
    RecordProperty("seed", std::to_string(seed_));
    std::printf("NOSTRIL_SEED=%llu\n", static_cast<unsigned long long>(seed_));
  }

  void fill(const std::vector<Event>& events, std::int64_t now_s) {
    test::ModelStore model;
    test::put_all(*store_, events, now_s);
    for (const Event& event : events) model.put(event, now_s);
    stored_ = test::plain(model.events(), kNow);
  }

  // Every case: the same ids in the same order.
  void compare(std::size_t cases) {
    test::RandomFilters filters(chance_, stored_);
    std::size_t found = 0;
    for (std::size_t i = 0; i < cases; ++i) {
      const auto request = filters.next();
      const std::uint64_t limit_max = chance_.one_in(3) ? 1 + chance_.below(60) : 500;
      const auto expected = test::answer(stored_, request, limit_max);
      ASSERT_EQ(rows(*store_, request, limit_max, chance_, cache(), [] {}), expected)
          << "case " << i << " limit_max " << limit_max << ": " << test::request_json(request);
      ASSERT_EQ(counted(*store_, request, limit_max, chance_, cache()), expected.size())
          << "case " << i << " limit_max " << limit_max << ": " << test::request_json(request);
      found += expected.size();
    }
    EXPECT_GT(found, cases);
  }

  // Every event reaches exactly the subscriptions that want it, while they come and go.
  void compare_live(std::size_t cases) {
    struct Live final : IndexedSubscription {
      std::vector<PlainFilter> plain;
    };

    SystemRng rng;
    SubscriptionIndex index(rng);
    test::RandomFilters filters(chance_, stored_);
    std::vector<std::unique_ptr<Live>> open;
    std::size_t matched = 0;
    for (std::size_t i = 0; i < cases; ++i) {
      open.push_back(std::make_unique<Live>());
      open.back()->plain = filters.next();
      open.back()->filters = parsed(open.back()->plain);
      index.add(*open.back());
      if (open.size() > 60) {
        const auto gone = open.begin() + static_cast<std::ptrdiff_t>(chance_.below(open.size()));
        index.remove(**gone);
        open.erase(gone);
      }
      const Event& event = chance_.of(events_);
      std::set<const IndexedSubscription*> got;
      index.match(event, [&](IndexedSubscription& one) { EXPECT_TRUE(got.insert(&one).second); });
      const PlainEvent text = test::plain(event, kNow);
      for (const auto& one : open) {
        const bool wants = std::any_of(one->plain.begin(), one->plain.end(),
                                       [&](const auto& f) { return test::matches(f, text); });
        ASSERT_EQ(got.contains(one.get()), wants)
            << test::request_json(one->plain) << " " << nostril::to_json(event);
      }
      matched += got.size();
    }
    EXPECT_GT(matched, cases / 4);
  }

  std::vector<Event> real_events() {
    std::vector<Event> events;
    for (const std::string& line : test::real_event_lines()) {
      auto event = parse_event(line);
      EXPECT_TRUE(event) << line;
      if (event) events.push_back(event->event());
    }
    return events;
  }

  // Some ask with it, some without.
  EventCache* cache() { return chance_.one_in(4) ? nullptr : &cache_; }

  const std::uint64_t seed_ = test::random_seed();
  Chance chance_{seed_};
  test::TempDir dir_;
  std::unique_ptr<Store> store_ = test::open_store(dir_.path());
  std::vector<Event> events_;
  std::vector<PlainEvent> stored_;
  EventCache cache_{1};  // as small as it can be
};

TEST_F(QueryDifferentialTest, ConfusingEventsAreAnsweredAsNip01Says) {
  test::ConfusingEvents source(chance_);
  for (int i = 0; i < 900; ++i) events_.push_back(source.next());
  fill(events_, 0);
  ASSERT_GT(stored_.size(), 500U);
  compare(case_count(3000));
  compare_live(case_count(3000));
}

TEST_F(QueryDifferentialTest, RealEventsAreAnsweredAsNip01Says) {
  REQUIRE_SHARED("corpus/real-events.jsonl.zst");
  events_ = real_events();
  fill(events_, 0);
  ASSERT_GT(stored_.size(), 2000U);
  compare(case_count(700));
  compare_live(case_count(1000));
}

// The store changes between the steps. What came and went is anybody's guess, but: each event once,
// in order, only what matches; and what was there all the time is missing only if the limit of its
// filter was used up by events before it.
class ChangingStoreTest : public QueryDifferentialTest {
 protected:
  static constexpr std::size_t kEventsMin = 250;
  static constexpr std::size_t kEventsMax = 500;
  static constexpr std::size_t kCasesOfAStore = 50;

  void SetUp() override {
    QueryDifferentialTest::SetUp();
    while (events_.size() < kEventsMin) learn();
    fill(events_, 0);
  }

  void learn() {
    events_.push_back(source_.next());
    known_.push_back(test::plain(events_.back(), kNow));
    places_.emplace(known_.back().id, known_.size() - 1);
  }

  void begin_again() {
    ASSERT_TRUE(store_->erase(test::ids_of(events_)).has_value());
    for (std::size_t i = kEventsMin; i < known_.size(); ++i) {
      const auto at = places_.find(known_[i].id);
      if (at->second == i) places_.erase(at);
    }
    events_.resize(kEventsMin);
    known_.resize(kEventsMin);
    test::put_all(*store_, events_);
  }

  // What is shown to one REQ while the store changes; and of the events that it wants, `lasting`
  // becomes those that were there all the time. Nobody asks for the others, which saves most of the
  // look-ups.
  std::vector<std::string> ask(const std::vector<PlainFilter>& request) {
    lasting_.clear();
    for (std::size_t i = 0; i < known_.size(); ++i) {
      if (!known_[i].is_expired && is_wanted(request, known_[i])) lasting_.push_back(i);
    }
    look();
    return rows(*store_, request, 500, chance_, cache(), [this] { change(); });
  }

  void change() {
    if (chance_.one_in(2)) learn();
    test::put_all(*store_, {events_.back(), chance_.of(events_)});
    look();  // after each write: what goes and comes back within one change has not lasted
    if (chance_.one_in(2)) {
      const std::vector<EventId> some = {chance_.of(events_).id, chance_.of(events_).id};
      EXPECT_TRUE(store_->erase(some).has_value());
      look();
      // It comes back under a new number.
      if (chance_.one_in(2)) test::put_all(*store_, {chance_.of(events_)});
    }
  }

  void look() {
    ReadTxn txn = store_->read();
    std::erase_if(lasting_, [&](std::size_t i) { return !store_->has_id(txn, events_[i].id); });
  }

  static bool is_wanted(const std::vector<PlainFilter>& request, const PlainEvent& event) {
    return std::any_of(request.begin(), request.end(),
                       [&](const PlainFilter& filter) { return test::matches(filter, event); });
  }

  void check(const std::vector<PlainFilter>& request, const std::vector<std::string>& ids) {
    std::vector<const PlainEvent*> shown;
    for (const auto& id : ids) {
      const auto at = places_.find(id);
      ASSERT_NE(at, places_.end());
      const PlainEvent& event = known_[at->second];
      EXPECT_FALSE(event.is_expired);
      // An event that came late counts for the filters that met it, so a limit can't be told here.
      EXPECT_TRUE(is_wanted(request, event));
      if (!shown.empty()) {  // so: once
        ASSERT_TRUE(test::comes_before(*shown.back(), event));
      }
      shown.push_back(&event);
    }
    const auto limit = [](const PlainFilter& f) {
      return std::min<std::uint64_t>(f.limit.value_or(500), 500);
    };
    std::uint64_t limits = 0;
    for (const PlainFilter& filter : request) limits += limit(filter);
    EXPECT_LE(shown.size(), limits);
    for (const std::size_t i : lasting_) {
      const PlainEvent& event = known_[i];
      if (test::is_in(ids, event.id)) continue;
      for (const PlainFilter& filter : request) {
        if (!test::matches(filter, event)) continue;
        const auto before = std::count_if(shown.begin(), shown.end(), [&](const PlainEvent* one) {
          return test::matches(filter, *one) && test::comes_before(*one, event);
        });
        EXPECT_GE(static_cast<std::uint64_t>(before), limit(filter)) << event.id;
      }
    }
  }

  test::ConfusingEvents source_{chance_};
  std::vector<PlainEvent> known_;  // events_, in their order
  std::unordered_map<std::string, std::size_t> places_;
  std::vector<std::size_t> lasting_;
};

TEST_F(ChangingStoreTest, AStoreThatChangesBetweenTheSteps) {
  const std::size_t cases = case_count(300);
  std::size_t found = 0;
  std::size_t lasting = 0;
  for (std::size_t i = 0; i < cases; ++i) {
    const auto request = test::RandomFilters(chance_, stored_).next();
    const auto ids = ask(request);
    check(request, ids);
    if (HasFailure()) {
      FAIL() << "case " << i << ": " << test::request_json(request);
    }
    found += ids.size();
    lasting += lasting_.size();
    if (i % kCasesOfAStore == kCasesOfAStore - 1 || events_.size() > kEventsMax) begin_again();
  }
  EXPECT_GT(found, cases);
  EXPECT_GT(lasting, cases);
}

}  // namespace

}  // namespace nostril::relay
