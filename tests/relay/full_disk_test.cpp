// A disk that is full, at any step, and has room again later: what the store and its writer do, in
// one process. What a relay says then: relay/process, and tests/soak.
#include "relay/store/full_disk.h"

#include "relay/store/logged_writes.h"
#include "relay/store/writer.h"
#include "tests/relay/disk_faults.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

namespace nostril::relay {

namespace {

using test::disk::Fault;
using Ids = std::set<EventId>;

constexpr std::size_t kBatches = 24;

// Ends watching the disk with the test, whatever became of it.
struct Watch {
  Watch(const std::filesystem::path& directory, Fault fault, std::size_t at) {
    test::disk::watch(directory.string(), fault, at);
  }

  ~Watch() { test::disk::stop(); }

  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  Watch(Watch&&) = delete;
  Watch& operator=(Watch&&) = delete;
};

enum class Way : std::uint8_t { Committed, Logged };

StoreOptions options_of(Way way) {
  StoreOptions options = test::test_options();
  options.map_bytes_initial = std::size_t{1} << 17;  // grows on the way
  options.log_bytes = way == Way::Logged ? kLogBytes : 0;
  return options;
}

// Larger together than the room that is set aside at a time, so that the disk is met full.
const std::vector<std::vector<VerifiedEvent>>& batches() {
  static const auto once = [] {
    std::vector<std::vector<VerifiedEvent>> made;
    for (std::size_t i = 0; i < kBatches; ++i) {
      made.emplace_back();
      for (unsigned n = 0; n < 3; ++n) {
        const auto at = static_cast<std::int64_t>(i * 10 + n);
        made.back().push_back(test::verified(test::signed_by(
            n,
            test::make_event(n, at, 1, {{"t", "x"}}, std::string(n == 0 ? 180'000 : 500, 'x')))));
      }
      // Replaces the one of the batch before.
      made.back().push_back(test::verified(
          test::signed_by(9, test::make_event(9, static_cast<std::int64_t>(i), 0, {}, "profile"))));
    }
    return made;
  }();
  return once;
}

Ids stored_ids(Store& store) {
  ScanOptions options;
  options.limit_max = 100000;
  const auto ids = test::query(store, {Filter()}, options);
  return {ids.begin(), ids.end()};
}

// What is there once these batches, in order, were stored.
Ids ids_after(const std::vector<std::size_t>& acknowledged) {
  test::ModelStore model;
  for (const std::size_t i : acknowledged) {
    for (const VerifiedEvent& event : batches()[i]) model.put(event.event(), 0);
  }
  Ids ids;
  for (const Event& event : model.events()) ids.insert(event.id);
  return ids;
}

class FullDiskAtAnyStep : public testing::TestWithParam<std::tuple<Way, bool>> {
 protected:
  void SetUp() override { test::disk::can_allocate(std::get<1>(GetParam())); }

  void TearDown() override { test::disk::can_allocate(true); }
};

TEST_P(FullDiskAtAnyStep, LosesNothingAndWritesOnOnceThereIsRoom) {
  const Way way = std::get<0>(GetParam());
  std::size_t refused_at_all = 0;
  for (std::size_t step = 1;; step += 1 + step / 8) {
    SCOPED_TRACE("step " + std::to_string(step));
    const test::TempDir dir;
    std::vector<std::size_t> acknowledged;
    std::size_t next = 0;
    bool is_past_the_end = false;
    {
      const auto store = test::open_store(dir.path(), options_of(way));
      LoggedWrites writes(*store);
      {
        const Watch watch(dir.path(), Fault::Full, step);
        std::size_t refused = 0;
        for (; next < kBatches && refused < 2; ++next) {
          const auto results = writes.put(batches()[next], 0, next % 5 != 4);
          if (results) {
            acknowledged.push_back(next);
            continue;
          }
          ASSERT_TRUE(results.error().is_disk_full) << results.error().text;
          ASSERT_TRUE(store->is_writable());
          ++refused;
          // What was acknowledged has its room: readers get it while nothing new is taken.
          const auto committed = writes.commit();
          ASSERT_TRUE(committed.has_value()) << committed.error().text;
          ASSERT_EQ(stored_ids(*store), ids_after(acknowledged));
        }
        refused_at_all += refused;
        is_past_the_end = test::disk::steps() < step;
      }
      ASSERT_TRUE(writes.commit().has_value());
      ASSERT_TRUE(store->has_room());
      for (; next < kBatches; ++next) {
        ASSERT_TRUE(writes.put(batches()[next], 0, true).has_value());
        acknowledged.push_back(next);
      }
      ASSERT_TRUE(writes.commit().has_value());
      ASSERT_EQ(stored_ids(*store), ids_after(acknowledged));
    }
    const auto store = test::open_store(dir.path());
    ASSERT_EQ(stored_ids(*store), ids_after(acknowledged));
    test::expect_consistent(*store);
    if (is_past_the_end || HasFailure()) break;
  }
  EXPECT_GT(refused_at_all, 0U);
}

INSTANTIATE_TEST_SUITE_P(Ways, FullDiskAtAnyStep,
                         testing::Combine(testing::Values(Way::Committed, Way::Logged),
                                          testing::Bool()));

// --- The writer.

class Collector {
 public:
  StoreWriter::CommitHandler handler() {
    return [this](CommittedBatch&& batch) {
      const std::lock_guard lock(mutex_);
      for (auto& outcome : batch.outcomes) outcomes_.push_back(outcome.result);
      changed_.notify_all();
    };
  }

  PutResult wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(60), [&] { return outcomes_.size() >= count; });
    return outcomes_.size() >= count ? outcomes_[count - 1] : PutResult::Failed;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PutResult> outcomes_;
};

class FullDiskWriterTest : public testing::Test {
 protected:
  void TearDown() override {
    test::disk::stop();
    test::disk::can_allocate(true);
  }

  void start(const WriterOptions& options = {}) {
    store_ = test::open_store(dir_.path(), options_of(Way::Logged));
    writer_ = std::make_unique<StoreWriter>(*store_, clock_, options, collector_.handler());
  }

  // The writer is idle: nobody else touches the files.
  void make_full() { test::disk::watch(dir_.path().string(), Fault::Full, 1); }

  void make_room() { test::disk::stop(); }

  PutResult put(const VerifiedEvent& event) {
    EXPECT_TRUE(writer_->submit({event, {}}));
    return collector_.wait_for(++submitted_);
  }

  VerifiedEvent next_event(std::size_t bytes = 60'000) {
    return test::verified(
        test::signed_by(1, test::make_event(1, ++made_, 1, {}, std::string(bytes, 'x'))));
  }

  // Until one is refused; ends by the test's time limit else.
  std::vector<VerifiedEvent> put_until_refused(PutResult expected) {
    std::vector<VerifiedEvent> stored;
    for (;;) {
      VerifiedEvent event = next_event();
      const PutResult result = put(event);
      if (result != PutResult::Stored) {
        EXPECT_EQ(result, expected);
        return stored;
      }
      stored.push_back(std::move(event));
    }
  }

  const test::TempDir dir_;
  const SystemClock clock_;
  Collector collector_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<StoreWriter> writer_;
  std::size_t submitted_ = 0;
  std::int64_t made_ = 0;
};

TEST_F(FullDiskWriterTest, ReadsGoOnAndWritesComeBackByThemselves) {
  start();
  make_full();
  const auto stored = put_until_refused(PutResult::DiskFull);
  EXPECT_GT(stored.size(), 1U);
  EXPECT_FALSE(writer_->is_healthy());
  EXPECT_TRUE(store_->is_writable());
  EXPECT_TRUE(writer_->in_tables().wait());
  EXPECT_EQ(store_->count(), stored.size());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(put(next_event(100)), PutResult::DiskFull);  // at once
  make_room();
  while (!writer_->is_healthy()) std::this_thread::yield();  // ends by the test's time limit else
  const auto after = next_event();
  EXPECT_EQ(put(after), PutResult::Stored);
  EXPECT_TRUE(writer_->in_tables().wait());
  EXPECT_EQ(store_->count(), stored.size() + 1);
  writer_->stop();
  for (const auto& event : stored) EXPECT_TRUE(store_->has_id(event->id));
  EXPECT_TRUE(store_->has_id(after->id));
  test::expect_consistent(*store_);
}

// Where no room can be kept the log may hold what the tables can't take: readers that would miss it
// are told so at once, and see it when there is room.
TEST_F(FullDiskWriterTest, AReaderOfWhatIsStuckInTheLogIsToldAndSeesItLater) {
  WriterOptions patient;
  patient.log_age_ms_max = 3'600'000;
  start(patient);
  const auto first = next_event();
  ASSERT_EQ(put(first), PutResult::Stored);
  ASSERT_FALSE(writer_->in_tables().is_open());
  // What was set aside is gone: somebody has cut the file.
  std::filesystem::resize_file(dir_.path() / "data.mdb", store_->stats().file_used_bytes);
  make_full();
  Filter notes;
  notes.kinds = {1};
  ASSERT_TRUE(writer_->in_tables().would_miss({&notes, 1}));
  EXPECT_FALSE(writer_->in_tables().wait());
  Filter others;
  others.kinds = {7};
  EXPECT_FALSE(writer_->in_tables().would_miss({&others, 1}));
  make_room();
  while (!writer_->in_tables().wait()) std::this_thread::yield();
  EXPECT_TRUE(store_->has_id(first->id));
  EXPECT_EQ(put(next_event()), PutResult::Stored);
}

// A disk that fails otherwise: nothing more is taken, and nobody waits.
TEST_F(FullDiskWriterTest, AFailedDiskEndsEveryWait) {
  WriterOptions patient;
  patient.log_age_ms_max = 3'600'000;
  start(patient);
  const auto first = next_event();
  ASSERT_EQ(put(first), PutResult::Stored);
  std::thread reader;
  std::atomic<bool> result = true;
  test::disk::watch(dir_.path().string(), Fault::Fail, 1);
  reader = std::thread([&] { result = writer_->in_tables().wait(); });
  reader.join();
  test::disk::stop();
  EXPECT_FALSE(result);
  EXPECT_FALSE(store_->is_writable());
  EXPECT_EQ(put(next_event()), PutResult::Failed);
  EXPECT_FALSE(writer_->in_tables().wait());
  writer_.reset();
  store_.reset();
  EXPECT_TRUE(test::open_store(dir_.path())->has_id(first->id));
}

// The sweep is a write, too.
TEST_F(FullDiskWriterTest, ASweepThatFailsLeavesNobodyWaiting) {
  {
    const auto store = test::open_store(dir_.path(), options_of(Way::Logged));
    test::put(*store, test::make_event(1, 1, 1, {{"expiration", "1500"}}));
  }
  WriterOptions options;
  options.sweep_interval_ms = 1;
  options.log_age_ms_max = 3'600'000;
  store_ = test::open_store(dir_.path(), options_of(Way::Logged));
  // The writer sweeps before it takes anything.
  test::disk::watch(dir_.path().string(), Fault::Fail, 1);
  writer_ = std::make_unique<StoreWriter>(*store_, clock_, options, collector_.handler());
  EXPECT_EQ(put(next_event()), PutResult::Failed);
  EXPECT_FALSE(store_->is_writable());
  EXPECT_TRUE(writer_->in_tables().wait());  // nothing is in the log only
}

// The writer hangs in a sync, say.
TEST(CommitGate, LetsNobodyWaitForEver) {
  int woken = 0;
  CommitGate gate([&] { ++woken; }, std::chrono::milliseconds(20));
  gate.acknowledge({}, true);
  EXPECT_TRUE(gate.would_miss({}));
  EXPECT_FALSE(gate.wait());
  EXPECT_EQ(woken, 1);
  gate.fail();
  EXPECT_FALSE(gate.wait());
  gate.commit();
  EXPECT_TRUE(gate.wait());
  gate.acknowledge({}, false);
  EXPECT_FALSE(gate.wait());
  EXPECT_EQ(woken, 2);
}

TEST(FullDisk, IsTriedAgainLessAndLessOften) {
  FullDisk disk;
  EXPECT_TRUE(disk.may_try(0));
  EXPECT_FALSE(disk.found_room());
  std::int64_t now_ms = 0;
  std::vector<std::int64_t> pauses;
  for (int i = 0; i < 7; ++i) {
    disk.found_full(now_ms);
    std::int64_t pause_ms = 0;
    while (!disk.may_try(now_ms + pause_ms)) pause_ms += 500;
    pauses.push_back(pause_ms);
    now_ms += pause_ms;
  }
  EXPECT_EQ(pauses, (std::vector<std::int64_t>{1000, 2000, 4000, 8000, 16000, 30000, 30000}));
  EXPECT_TRUE(disk.found_room());
  EXPECT_TRUE(disk.may_try(now_ms));
  disk.found_full(now_ms);
  EXPECT_TRUE(disk.may_try(now_ms + 1000));
}

}  // namespace

}  // namespace nostril::relay
