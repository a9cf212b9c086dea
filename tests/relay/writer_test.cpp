#include "relay/store/writer.h"

#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <array>
#include <csignal>
#include <future>
#include <mutex>
#include <thread>

namespace nostril::relay {

namespace {

// Signed events of one author, made once.
std::vector<VerifiedEvent> signed_events(std::size_t count, std::size_t content_bytes = 100) {
  SystemRng rng;
  const Keypair key = Keypair::generate(rng);
  Verifier verifier;
  std::vector<VerifiedEvent> events;
  for (std::size_t i = 0; i < count; ++i) {
    EventDraft draft;
    draft.created_at = 1000 + static_cast<std::int64_t>(i);
    draft.kind = 1;
    draft.content = std::to_string(i) + std::string(content_bytes, 'x');
    auto event = VerifiedEvent::verify(test::unverified(sign_event(draft, key, rng)), verifier);
    CHECK(event.has_value());
    events.push_back(std::move(*event));
  }
  return events;
}

// Collects batches on the writer thread, waits for them on the test's.
class Collector {
 public:
  StoreWriter::CommitHandler handler() {
    return [this](CommittedBatch&& batch) {
      const std::lock_guard lock(mutex_);
      for (auto& outcome : batch.outcomes) outcomes_.push_back(outcome);
      for (auto& event : batch.events) events_.push_back(std::move(event));
      changed_.notify_all();
    };
  }

  std::vector<WriteOutcome> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return outcomes_.size() >= count; });
    return outcomes_;
  }

  std::vector<std::shared_ptr<const CommittedEvent>> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<WriteOutcome> outcomes_;
  std::vector<std::shared_ptr<const CommittedEvent>> events_;
};

TEST(StoreWriter, AnswersEveryRequestInOrderAfterTheCommit) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path());
  const FakeClock clock(2000);
  const auto events = signed_events(50);
  Collector collector;
  StoreWriter writer(*store, clock, {}, collector.handler());
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_TRUE(writer.submit({events[i], {i, 7}}));
  }
  ASSERT_TRUE(writer.submit({events[0], {99, 8}}));
  const auto outcomes = collector.wait_for(51);
  ASSERT_EQ(outcomes.size(), 51U);
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(outcomes[i].result, PutResult::Stored);
    EXPECT_EQ(outcomes[i].token.session, i);
    EXPECT_EQ(outcomes[i].token.loop, 7U);
    EXPECT_EQ(outcomes[i].id, events[i]->id);
  }
  EXPECT_EQ(outcomes[50].result, PutResult::Duplicate);
  EXPECT_EQ(outcomes[50].token.session, 99U);
  const auto committed = collector.events();
  ASSERT_EQ(committed.size(), 50U);
  EXPECT_EQ(*committed[3]->json(), to_json(events[3].event()));
  EXPECT_EQ(store->count(), 50U);
  writer.stop();
  EXPECT_EQ(writer.outcomes(PutResult::Stored), 50U);
  EXPECT_LE(writer.batches(), 51U);
}

TEST(StoreWriter, SharesOneTransactionAmongThoseWhoWait) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path());
  const FakeClock clock(2000);
  const auto events = signed_events(41);
  std::promise<void> first_is_in;
  std::promise<void> go_on;
  std::vector<std::size_t> sizes;  // the writer thread's until stop()
  StoreWriter writer(*store, clock, {}, [&](CommittedBatch&& batch) {
    sizes.push_back(batch.outcomes.size());
    if (sizes.size() > 1) return;
    first_is_in.set_value();
    go_on.get_future().wait();
  });
  ASSERT_TRUE(writer.submit({events[0], {}}));
  first_is_in.get_future().wait();
  for (std::size_t i = 1; i < events.size(); ++i) ASSERT_TRUE(writer.submit({events[i], {}}));
  go_on.set_value();
  writer.stop();
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 40}));
}

// A position in the stream says that all before it is stored: whoever published, no event of it may
// be written before an earlier one, and of a batch that is cut off the rest comes next.
TEST(StoreWriter, KeepsTheOrderOfAStreamAcrossPublishers) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path());
  const FakeClock clock(2000);
  const auto events = signed_events(8);
  std::promise<void> first_is_in;
  std::promise<void> go_on;
  std::vector<EventId> written;           // the writer thread's until stop()
  std::vector<std::uint64_t> positions;   // likewise
  std::vector<std::size_t> written_then;  // likewise
  WriterOptions options;
  options.batch_events_max = 3;
  StoreWriter writer(*store, clock, options, [&](CommittedBatch&& batch) {
    for (const auto& outcome : batch.outcomes) written.push_back(outcome.id);
    positions.push_back(batch.stream_sequence);
    written_then.push_back(written.size());
    if (positions.size() > 1) return;
    first_is_in.set_value();
    go_on.get_future().wait();
  });
  constexpr std::array<std::uint64_t, 8> kSessions = {0, 0, 0, 7, 8, 0, 7, 0};  // 0: another relay
  ASSERT_TRUE(writer.submit({events[0], {kSessions[0], 0}, 1}));
  first_is_in.get_future().wait();
  for (std::size_t i = 1; i < events.size(); ++i) {
    ASSERT_TRUE(writer.submit({events[i], {kSessions[i], 0}, i + 1}));
  }
  go_on.set_value();
  writer.stop();
  ASSERT_EQ(written.size(), events.size());
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(written[i], events[i]->id) << i;
  EXPECT_EQ(positions, (std::vector<std::uint64_t>{1, 4, 7, 8}));
  EXPECT_EQ(written_then, (std::vector<std::size_t>{1, 4, 7, 8}));
}

TEST(StoreWriter, TellsWhenItsQueueIsFull) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path());
  const FakeClock clock(2000);
  const auto events = signed_events(1);
  WriterOptions options;
  options.queue_events_max = 3;
  std::promise<void> first_is_in;
  std::promise<void> go_on;
  bool is_first = true;
  StoreWriter writer(*store, clock, options, [&](CommittedBatch&&) {
    if (!std::exchange(is_first, false)) return;
    first_is_in.set_value();
    go_on.get_future().wait();
  });
  ASSERT_TRUE(writer.submit({events[0], {}}));
  first_is_in.get_future().wait();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(writer.submit({events[0], {}}));
  EXPECT_FALSE(writer.submit({events[0], {}}));
  EXPECT_EQ(writer.queued(), 3U);
  go_on.set_value();
  writer.stop();
  EXPECT_FALSE(writer.submit({events[0], {}}));
  EXPECT_EQ(writer.outcomes(PutResult::Duplicate), 3U);
}

// A file that may not grow, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uint64_t bytes) : before_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }

  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  FileSizeLimit(FileSizeLimit&&) = delete;
  FileSizeLimit& operator=(FileSizeLimit&&) = delete;

 private:
  rlimit before_{};
  void (*before_handler_)(int);
};

TEST(StoreWriter, RefusesWhatAFullDiskHasNoRoomForAndGoesOnLater) {
  const test::TempDir dir;
  const auto events = signed_events(3, 100000);
  const SystemClock clock;
  {
    const auto store = test::open_store(dir.path());
    Collector collector;
    StoreWriter writer(*store, clock, {}, collector.handler());
    ASSERT_TRUE(writer.submit({events[0], {}}));
    ASSERT_EQ(collector.wait_for(1).back().result, PutResult::Stored);
    {
      const FileSizeLimit limit(store->stats().file_used_bytes);
      ASSERT_TRUE(writer.submit({events[1], {}}));
      EXPECT_EQ(collector.wait_for(2).back().result, PutResult::DiskFull);
      EXPECT_FALSE(writer.is_healthy());
      // Not tried again so soon, or in vain.
      ASSERT_TRUE(writer.submit({events[1], {}}));
      EXPECT_EQ(collector.wait_for(3).back().result, PutResult::DiskFull);
    }
    while (!writer.is_healthy()) std::this_thread::yield();  // ends by the test's time limit else
    ASSERT_TRUE(writer.submit({events[2], {}}));
    EXPECT_EQ(collector.wait_for(4).back().result, PutResult::Stored);
    EXPECT_EQ(collector.events().size(), 2U);
  }
  const auto store = test::open_store(dir.path());
  EXPECT_TRUE(store->has_id(events[0]->id));
  EXPECT_FALSE(store->has_id(events[1]->id));
  EXPECT_EQ(store->count(), 2U);
  test::expect_consistent(*store);
}

// --- With a log.

StoreOptions logged_options() {
  StoreOptions options = test::test_options();
  options.log_bytes = kLogBytes;
  return options;
}

WriterOptions patient() {
  WriterOptions options;
  options.log_age_ms_max = 3'600'000;
  options.sweep_interval_ms = 3'600'000;
  return options;
}

TEST(StoreWriter, AnswersWhenALogHasItAndCommitsForAReader) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path(), logged_options());
  const FakeClock clock(2000);
  const auto events = signed_events(3);
  Collector collector;
  std::atomic<int> in_tables = 0;
  StoreWriter writer(*store, clock, patient(), collector.handler(), [&] { ++in_tables; });
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_TRUE(writer.submit({events[i], {}}));
    ASSERT_EQ(collector.wait_for(i + 1).back().result, PutResult::Stored);
  }
  EXPECT_EQ(store->count(), 0U);
  EXPECT_FALSE(writer.in_tables().is_open());
  EXPECT_EQ(in_tables, 0);
  EXPECT_TRUE(writer.in_tables().wait());
  EXPECT_TRUE(writer.in_tables().is_open());
  EXPECT_EQ(store->count(), 3U);
  EXPECT_EQ(in_tables, 1);
  EXPECT_EQ(writer.logged(), 3U);
  EXPECT_EQ(writer.log_commits(), 1U);
}

TEST(StoreWriter, CommitsAtOnceWhereReadersWantEveryBatch) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path(), logged_options());
  const FakeClock clock(2000);
  const auto events = signed_events(30);
  Collector collector;
  StoreWriter writer(*store, clock, patient(), collector.handler());
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_TRUE(writer.submit({events[i], {}}));
    ASSERT_EQ(collector.wait_for(i + 1).back().result, PutResult::Stored);
    ASSERT_TRUE(writer.in_tables().wait());
    ASSERT_EQ(store->count(), i + 1);
  }
  EXPECT_GE(writer.logged(), 1U);
  EXPECT_LE(writer.logged(), 6U);
}

TEST(StoreWriter, CommitsWhatIsOldOrMuchOrLarge) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path(), logged_options());
  const FakeClock clock(2000);
  const auto events = signed_events(120);
  Collector collector;
  {
    WriterOptions options = patient();
    options.log_age_ms_max = 1;
    StoreWriter writer(*store, clock, options, collector.handler());
    ASSERT_TRUE(writer.submit({events[0], {}}));
    while (store->count() < 1) std::this_thread::yield();  // ends by the test's time limit else
  }
  {
    WriterOptions options = patient();
    options.log_events_max = 3;
    StoreWriter writer(*store, clock, options, collector.handler());
    for (std::size_t i = 1; i < 4; ++i) {
      ASSERT_TRUE(writer.submit({events[i], {}}));
      collector.wait_for(i + 1);
    }
    while (store->count() < 4) std::this_thread::yield();
  }
  std::promise<void> is_in;
  std::promise<void> go_on;
  bool is_first = true;
  StoreWriter writer(*store, clock, patient(), [&](CommittedBatch&& batch) {
    if (std::exchange(is_first, false)) {
      is_in.set_value();
      go_on.get_future().wait();
      return;
    }
    EXPECT_TRUE(batch.is_in_tables);
  });
  ASSERT_TRUE(writer.submit({events[4], {}}));
  is_in.get_future().wait();
  for (std::size_t i = 5; i < events.size(); ++i) ASSERT_TRUE(writer.submit({events[i], {}}));
  go_on.set_value();
  while (store->count() < events.size()) std::this_thread::yield();
  EXPECT_EQ(writer.logged(), 1U);
}

TEST(StoreWriter, CommitsTheLogWhenItStops) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path(), logged_options());
  const FakeClock clock(2000);
  const auto events = signed_events(1);
  StoreWriter writer(*store, clock, patient(), [](CommittedBatch&&) {});
  ASSERT_TRUE(writer.submit({events[0], {}}));
  writer.stop();
  EXPECT_EQ(writer.logged(), 1U);
  EXPECT_EQ(store->count(), 1U);
}

// Its room was set aside when it was logged.
TEST(StoreWriter, WhatIsLoggedFindsRoomOnAFullDisk) {
  const test::TempDir dir;
  const auto events = signed_events(2, 100000);
  const FakeClock clock(2000);
  const auto store = test::open_store(dir.path(), logged_options());
  Collector collector;
  StoreWriter writer(*store, clock, patient(), collector.handler());
  ASSERT_TRUE(writer.submit({events[0], {}}));
  ASSERT_EQ(collector.wait_for(1).back().result, PutResult::Stored);
  const FileSizeLimit limit(std::filesystem::file_size(dir.path() / "data.mdb"));
  EXPECT_TRUE(writer.in_tables().wait());
  EXPECT_TRUE(writer.is_healthy());
  EXPECT_EQ(store->count(), 1U);
  test::expect_consistent(*store);
}

// For ThreadSanitizer: who asks after an answer sees what was answered.
TEST(StoreWriter, ReadersSeeWhatWasAnswered) {
  const test::TempDir dir;
  StoreOptions store_options = logged_options();
  store_options.map_bytes_initial = std::size_t{1} << 18;  // grows on the way
  const auto store = test::open_store(dir.path(), store_options);
  const SystemClock clock;
  const auto events = signed_events(400, 2000);
  std::atomic<std::size_t> answered = 0;
  WriterOptions options;
  options.log_age_ms_max = 5;
  StoreWriter writer(*store, clock, options,
                     [&](CommittedBatch&& batch) { answered += batch.outcomes.size(); });
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      Filter filter;
      filter.kinds = {1};
      for (std::size_t seen = 0; seen < events.size();) {
        seen = answered.load();
        if (writer.in_tables().would_miss({&filter, 1})) {
          EXPECT_TRUE(writer.in_tables().wait());
        }
        EXPECT_GE(store->count(), seen);
      }
    });
  }
  for (std::size_t i = 0; i < events.size(); ++i) {
    while (!writer.submit({events[i], {}})) std::this_thread::yield();
    if (i % 3 != 0) continue;
    while (answered.load() + 2 < i) std::this_thread::yield();
  }
  for (auto& reader : readers) reader.join();
  EXPECT_GT(writer.logged(), 0U);
  EXPECT_GT(writer.log_commits(), 0U);
  writer.stop();
  test::expect_consistent(*store);
}

TEST(StoreWriter, SweepsExpiredEventsALittleAtATime) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path());
  for (int i = 0; i < 10; ++i) {
    test::put(*store, test::make_event(1, i, 1, {{"expiration", "1500"}}));
  }
  const FakeClock clock(2000);
  WriterOptions options;
  options.sweep_rows_max = 4;
  options.sweep_interval_ms = 1;
  StoreWriter writer(*store, clock, options, [](CommittedBatch&&) {});
  while (store->count() > 0) std::this_thread::yield();  // ends by the test's time limit else
  writer.stop();
  EXPECT_EQ(writer.swept(), 10U);
  test::expect_consistent(*store);
}

// For ThreadSanitizer: readers go on while the map grows under them.
TEST(StoreWriter, ReadersGoOnWhileTheMapGrows) {
  const test::TempDir dir;
  const auto store = test::open_store(dir.path());
  const FakeClock clock(2000);
  const auto events = signed_events(300, 20000);
  Collector collector;
  StoreWriter writer(*store, clock, {}, collector.handler());
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  readers.reserve(3);
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&store, &stop, &events] {
      std::size_t last = 0;
      while (!stop.load()) {
        ScanOptions options;
        options.limit_max = 1000;
        const std::size_t rows = test::query(*store, {Filter()}, options).size();
        EXPECT_GE(rows, last);
        last = rows;
        (void)store->has_id(events[0]->id);
      }
    });
  }
  for (std::size_t i = 0; i < events.size(); ++i) {
    while (!writer.submit({events[i], {i, 0}})) std::this_thread::yield();
  }
  EXPECT_EQ(collector.wait_for(events.size()).size(), events.size());
  stop.store(true);
  for (auto& reader : readers) reader.join();
  EXPECT_GT(store->stats().map_bytes, std::size_t{4} << 20);
  EXPECT_EQ(store->count(), events.size());
  test::expect_consistent(*store);
}

}  // namespace

}  // namespace nostril::relay
