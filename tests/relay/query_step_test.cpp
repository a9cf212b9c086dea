// What a query worker does for COUNT, and what it goes on with that a loop has begun.
#include "relay/query_pool.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

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
  QueryPool pool_{*store_, options(), [] { return std::uint64_t{7}; },
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
  auto step = pool_.step_here(query(), budget, own);
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

}  // namespace

}  // namespace nostril::relay
