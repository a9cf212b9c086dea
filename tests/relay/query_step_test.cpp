// What a query worker does for COUNT, and what it goes on with that a loop has begun.
#include "relay/query_pool.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace nostril::relay {

namespace {

using test::make_event;

class QueryStepTest : public testing::Test {
 protected:
  QueryStepTest() {
    std::vector<Event> events;
    events.reserve(kEvents);
    for (int i = 0; i < kEvents; ++i) events.push_back(make_event(1, 1000 + i, 1));
    test::put_all(*store_, events);
  }

  static QueryPoolOptions options() {
    QueryPoolOptions options;
    options.threads = 1;
    options.budget.rows_max = 10;
    options.budget.visits_max = 300;
    options.budget.time_us_max = 60'000'000;
    return options;
  }

  static std::shared_ptr<Query> query(bool is_count = false) {
    auto query = std::make_shared<Query>();
    query->prefix = R"(["EVENT","s",)";
    query->filters = {Filter()};
    query->options.limit_max = UINT64_MAX;
    query->is_count = is_count;
    return query;
  }

  QueryStep next(QueryPool& pool, std::shared_ptr<Query> query) {
    EXPECT_TRUE(pool.submit(query));
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return step_.has_value(); });
    return *std::exchange(step_, std::nullopt);
  }

  std::uint64_t visits(const QueryPool& pool) { return pool.metrics()[0]->visits.read(); }

  static constexpr int kEvents = 300;
  test::TempDir dir_;
  std::unique_ptr<Store> store_ = test::open_store(dir_.path());
  std::mutex mutex_;
  std::condition_variable came_;
  std::optional<QueryStep> step_;
  CommitGate gate_{[] {}};
  EventCache cache_{1};
  QueryPool pool_{*store_, gate_, options(), [] { return std::uint64_t{7}; },
                  [this](QueryStep&& step) {
                    const std::lock_guard lock(mutex_);
                    step_ = std::move(step);
                    came_.notify_one();
                  }};
};

TEST_F(QueryStepTest, CountsInBudgetedStepsWithoutText) {
  auto step = next(pool_, query(true));
  EXPECT_FALSE(step.done);
  EXPECT_GT(step.query->count, 10U);  // rows_max is for what is sent
  EXPECT_LT(step.query->visits, 500U);
  while (!step.done) {
    EXPECT_TRUE(step.text.empty());
    EXPECT_TRUE(step.rows.empty());
    step = next(pool_, step.query);
  }
  EXPECT_EQ(step.query->count, std::uint64_t{kEvents});
  EXPECT_EQ(step.query->visits, visits(pool_));
}

TEST_F(QueryStepTest, AStepOnTheCallersThreadGoesOnOnAWorker) {
  QueryMetrics own;
  ScanBudget budget = options().budget;
  budget.rows_max = 3;
  auto here = pool_.step_here(query(), budget, own, cache_);
  ASSERT_TRUE(here.has_value());
  QueryStep step = std::move(*here);
  EXPECT_EQ(step.rows.size(), 3U);
  EXPECT_EQ(own.rows.read(), 3U);
  EXPECT_EQ(visits(pool_), 0U);
  std::size_t rows = step.rows.size();
  while (!step.done) {
    step = next(pool_, step.query);
    rows += step.rows.size();
  }
  EXPECT_EQ(rows, std::size_t{kEvents});
}

TEST_F(QueryStepTest, TheThirdTimeAnEventComesFromTheCache) {
  QueryMetrics own;
  std::string first;
  for (int time = 1; time <= 3; ++time) {
    const auto step = pool_.step_here(query(), options().budget, own, cache_);
    ASSERT_TRUE(step.has_value());
    EXPECT_EQ(own.cached_rows.read(), time < 3 ? 0U : step->rows.size());
    if (time == 1) first = step->text;
    EXPECT_EQ(step->text, first);
  }
}

// A read must show what was acknowledged: the loop leaves it to a worker, who waits for the writer.
TEST_F(QueryStepTest, WaitsForACommitThatItsFiltersConcern) {
  const Event event =
      test::signed_by(1, make_event(1, 5000, 1, {{"t", "x"}}, "acknowledged, in the log only"));
  gate_.acknowledge({std::make_shared<const CommittedEvent>(test::verified(event))}, false);
  QueryMetrics own;
  const auto other = query();
  other->filters[0].kinds = {2};
  EXPECT_TRUE(pool_.step_here(other, options().budget, own, cache_).has_value());
  const auto concerned = query();
  concerned->filters[0].kinds = {1};
  EXPECT_FALSE(pool_.step_here(concerned, options().budget, own, cache_).has_value());
  std::thread writer([this] {
    while (!gate_.is_wanted()) std::this_thread::yield();
    test::put_all(*store_, {make_event(7, 6000, 1)});  // stands for the commit
    gate_.commit();
  });
  const QueryStep step = next(pool_, concerned);
  writer.join();
  EXPECT_FALSE(step.failed);
  ASSERT_FALSE(step.rows.empty());
  EXPECT_EQ(step.rows[0].event, fingerprint_of(make_event(7, 6000, 1).id));
  EXPECT_EQ(pool_.metrics()[0]->commit_waits.read(), 1U);
}

TEST_F(QueryStepTest, FailsWhenWhatWasAcknowledgedCanNotBeShown) {
  const Event event = test::signed_by(1, make_event(1, 5000, 1));
  gate_.acknowledge({std::make_shared<const CommittedEvent>(test::verified(event))}, false);
  gate_.fail();
  const QueryStep step = next(pool_, query());
  EXPECT_TRUE(step.failed);
  EXPECT_TRUE(step.done);
  EXPECT_TRUE(step.rows.empty());
}

TEST(CommitGate, ConcernsWhatMatchesOrEverythingAfterARemoval) {
  CommitGate gate([] {});
  Filter kind_1;
  kind_1.kinds = {1};
  Filter kind_2;
  kind_2.kinds = {2};
  const std::vector filters = {kind_1};
  const std::vector others = {kind_2};
  EXPECT_TRUE(gate.is_open());
  EXPECT_FALSE(gate.would_miss(filters));
  EXPECT_TRUE(gate.wait());
  const auto event = std::make_shared<const CommittedEvent>(
      test::verified(test::signed_by(1, make_event(1, 5, 1))));
  gate.acknowledge({event}, false);
  EXPECT_FALSE(gate.is_open());
  EXPECT_TRUE(gate.would_miss(filters));
  EXPECT_FALSE(gate.would_miss(others));
  gate.acknowledge({}, true);
  EXPECT_TRUE(gate.would_miss(others));
  gate.commit();
  EXPECT_TRUE(gate.is_open());
  EXPECT_FALSE(gate.would_miss(filters));
  EXPECT_FALSE(gate.would_miss(others));
}

}  // namespace

}  // namespace nostril::relay
