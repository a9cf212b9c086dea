#include "relay/query_pool.h"

#include "base/mailbox.h"
#include "tests/relay/store_support.h"
#include "tests/support/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

namespace nostril::relay::test {
namespace {

using nostril::test::Gate;
using testing::IsEmpty;

class QueryPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<Event> events;
    for (int i = 0; i < 30; ++i) events.push_back(make_event(1, 1000 - i, 1, {}, "x"));
    for (const PutResult result : put_all(*store_, events)) ASSERT_EQ(result, PutResult::Stored);
    newest_first_ = ids_of(events);
  }

  void TearDown() override { gate_.open(); }

  void start(QueryPoolOptions options, bool is_gated = false) {
    options.budget.time_us_max = 60'000'000;  // a step ends by what it has seen
    pool_ = std::make_unique<QueryPool>(
        *store_, commit_gate_, options, [this] { return commits_.load(); },
        [this, is_gated](QueryStep&& step) {
          if (is_gated) gate_.wait();
          ASSERT_TRUE(done_.push(std::move(step)));
        });
  }

  static std::shared_ptr<Query> query() {
    auto made = std::make_shared<Query>();
    made->prefix = kPrefix;
    made->filters.emplace_back();
    made->options.limit_max = 100;
    return made;
  }

  bool submit(std::shared_ptr<Query> query) { return pool_->submit(query); }

  QueryStep next() {
    auto batch = done_.wait_all(1);
    CHECK(batch.has_value());
    return std::move(batch->front());
  }

  // The messages of a step, whole and in order; each row's end is its message's.
  static void read(const QueryStep& step, std::vector<EventId>& ids) {
    std::size_t begin = 0;
    for (const QueryStep::Row& row : step.rows) {
      ASSERT_LT(begin, row.end);
      const std::string_view text = std::string_view(step.text).substr(begin, row.end - begin);
      begin = row.end;
      ASSERT_TRUE(text.starts_with(kPrefix)) << text;
      ASSERT_EQ(text.back(), ']');
      const auto event = parse_event(text.substr(kPrefix.size(), text.size() - kPrefix.size() - 1));
      ASSERT_TRUE(event) << text;
      ids.push_back(event->event().id);
      EXPECT_EQ(row.event, fingerprint_of(ids.back()));
    }
    EXPECT_EQ(begin, step.text.size());
  }

  static constexpr std::string_view kPrefix = R"(["EVENT","s",)";

  TempDir dir_;
  std::unique_ptr<Store> store_ = open_store(dir_.path());
  std::vector<EventId> newest_first_;
  CommitGate commit_gate_{[] {}};
  std::atomic<std::uint64_t> commits_{7};
  Mailbox<QueryStep> done_{1000};
  Gate gate_;
  std::unique_ptr<QueryPool> pool_;
};

TEST_F(QueryPoolTest, StepByStepAQueryGivesAllItsRowsInOrder) {
  QueryPoolOptions options;
  options.budget.rows_max = 7;
  start(options);
  std::vector<EventId> ids;
  int steps = 0;
  std::shared_ptr<Query> going = query();
  for (bool done = false; !done; ++steps) {
    ASSERT_TRUE(submit(going));
    QueryStep step = next();
    EXPECT_LE(step.rows.size(), 7U);
    EXPECT_EQ(step.commits_announced, 7U);
    EXPECT_FALSE(step.failed);
    read(step, ids);
    done = step.done;
    going = std::move(step.query);
  }
  EXPECT_GE(steps, 5);
  EXPECT_EQ(ids, newest_first_);
  std::uint64_t counted = 0;
  for (const auto& metrics : pool_->metrics()) counted += metrics->rows.read();
  EXPECT_EQ(counted, 30U);
}

TEST_F(QueryPoolTest, AStepEndsWhenItsTextIsLongEnough) {
  QueryPoolOptions options;
  options.step_bytes_max = 1;  // so after each event
  start(options);
  ASSERT_TRUE(submit(query()));
  const QueryStep step = next();
  EXPECT_EQ(step.rows.size(), 1U);
  EXPECT_FALSE(step.done);
}

TEST_F(QueryPoolTest, ACancelledQueryReadsNothingAndEnds) {
  start({});
  auto cancelled = query();
  cancelled->cancelled = true;
  ASSERT_TRUE(submit(cancelled));
  const QueryStep step = next();
  EXPECT_TRUE(step.done);
  EXPECT_THAT(step.rows, IsEmpty());
  EXPECT_EQ(step.query, cancelled);
  EXPECT_FALSE(cancelled->scan);
  std::uint64_t steps = 0;
  for (const auto& metrics : pool_->metrics()) steps += metrics->steps.read();
  EXPECT_EQ(steps, 0U);
}

TEST_F(QueryPoolTest, AFullQueueRefusesAndLeavesTheQueryWithItsOwner) {
  QueryPoolOptions options;
  options.threads = 2;
  options.queue_max = 2;
  start(options, true);
  ASSERT_TRUE(submit(query()));
  ASSERT_TRUE(submit(query()));
  gate_.wait_for_waiting(2);  // both workers are busy, the queue is empty
  ASSERT_TRUE(submit(query()));
  ASSERT_TRUE(submit(query()));
  EXPECT_EQ(pool_->queued(), 2U);
  auto mine = query();
  EXPECT_FALSE(pool_->submit(mine));
  ASSERT_NE(mine, nullptr);
  gate_.open();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(next().done);
  EXPECT_TRUE(pool_->submit(mine));
  EXPECT_EQ(mine, nullptr);
  EXPECT_TRUE(next().done);
}

TEST_F(QueryPoolTest, StopEndsAfterWhatIsQueued) {
  QueryPoolOptions options;
  options.threads = 1;
  start(options, true);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(submit(query()));
  gate_.wait_for_waiting(1);
  gate_.open();
  pool_->stop();
  EXPECT_EQ(done_.size(), 5U);
  auto late = query();
  EXPECT_FALSE(pool_->submit(late));
  EXPECT_NE(late, nullptr);
  pool_->stop();  // again is nothing
}

TEST_F(QueryPoolTest, ManyQueriesOnManyThreadsGetTheirOwnRows) {
  QueryPoolOptions options;
  options.threads = 3;
  options.budget.rows_max = 4;
  start(options);
  constexpr std::uint64_t kQueries = 20;
  for (std::uint64_t number = 0; number < kQueries; ++number) {
    auto made = query();
    made->subscription_number = number;
    ASSERT_TRUE(submit(made));
  }
  std::vector<std::vector<EventId>> ids(kQueries);
  for (std::size_t ended = 0; ended < kQueries;) {
    QueryStep step = next();
    read(step, ids[step.query->subscription_number]);
    if (step.done) {
      ++ended;
    } else {
      ASSERT_TRUE(pool_->submit(step.query));
    }
  }
  for (const auto& found : ids) EXPECT_EQ(found, newest_first_);
}

}  // namespace
}  // namespace nostril::relay::test
