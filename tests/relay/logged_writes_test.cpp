#include "relay/store/logged_writes.h"

#include "relay/store/transaction.h"
#include "tests/relay/store_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <thread>

namespace nostril::relay {

namespace {

using test::make_event;
using test::signed_by;
using test::verified;

StoreOptions logged_options() {
  StoreOptions options = test::test_options();
  options.log_bytes = std::size_t{1} << 16;
  return options;
}

std::vector<VerifiedEvent> all_verified(const std::vector<Event>& events) {
  std::vector<VerifiedEvent> out;
  out.reserve(events.size());
  for (const Event& event : events) out.push_back(verified(event));
  return out;
}

Event note(int number, std::string content = "note") {
  return signed_by(1, make_event(1, 1000 + number, 1, {{"t", "x"}}, std::move(content)));
}

PutResult put_one(LoggedWrites& writes, const Event& event, bool may_log = true) {
  const std::vector events = {verified(event)};
  const auto results = writes.put(events, 0, may_log);
  return results ? (*results)[0] : PutResult::Failed;
}

class LoggedWritesTest : public testing::Test {
 protected:
  // Runs `work` in a process that then ends without any farewell.
  template <typename Work>
  void in_process_that_dies(Work work) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      work();
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }

  [[nodiscard]] std::unique_ptr<Store> open(StoreOptions options = logged_options()) const {
    return test::open_store(dir_.path(), options);
  }

  // Logged and not committed by a process that has ended.
  void leave_in_log(const std::vector<Event>& events) {
    in_process_that_dies([&] {
      const auto store = open();
      LoggedWrites writes(*store);
      for (const Event& event : events) {
        if (put_one(writes, event) != PutResult::Stored) _exit(1);
      }
      if (writes.batches_in_log() != events.size() || store->count() != 0) _exit(2);
    });
  }

  const test::TempDir dir_;
};

TEST_F(LoggedWritesTest, JudgesAsOneTransactionABatchWould) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  test::RandomWorld world(seed, true);
  test::ModelStore model;
  const auto store = open();
  LoggedWrites writes(*store);
  std::size_t logged = 0;
  for (int round = 0; round < 150; ++round) {
    std::vector<Event> batch;
    for (std::uint64_t i = world.below(8); i > 0; --i) batch.push_back(world.event());
    const std::int64_t now_s = 1000 + round;
    std::vector<PutResult> expected;
    for (const Event& event : batch) expected.push_back(model.put(event, now_s));
    const auto results = writes.put(all_verified(batch), now_s, world.below(6) != 0);
    ASSERT_TRUE(results.has_value());
    ASSERT_EQ(*results, expected) << "round " << round;
    logged = std::max(logged, writes.batches_in_log());
    if (world.below(10) == 0) {
      ASSERT_TRUE(writes.commit().has_value());
      ASSERT_EQ(writes.batches_in_log(), 0U);
      ASSERT_EQ(store->count(), model.events().size());
    }
  }
  EXPECT_GT(logged, 3U);
  ASSERT_TRUE(writes.commit().has_value());
  EXPECT_EQ(store->count(), model.events().size());
  for (const Event& event : model.events()) EXPECT_TRUE(store->has_id(event.id));
  test::expect_consistent(*store);
}

TEST_F(LoggedWritesTest, KeepsWhatIsLoggedFromReadersUntilItIsCommitted) {
  const auto store = open();
  LoggedWrites writes(*store);
  const Event event = note(1);
  EXPECT_EQ(put_one(writes, event), PutResult::Stored);
  EXPECT_FALSE(store->has_id(event.id));
  EXPECT_EQ(put_one(writes, event), PutResult::Duplicate);
  EXPECT_EQ(writes.batches_in_log(), 1U);
  const Event direct = note(2);
  EXPECT_EQ(put_one(writes, direct, false), PutResult::Stored);
  EXPECT_EQ(writes.batches_in_log(), 0U);
  EXPECT_TRUE(store->has_id(event.id));
  EXPECT_TRUE(store->has_id(direct.id));
}

TEST_F(LoggedWritesTest, HoldsNoTransactionWithoutNeed) {
  const auto store = open();
  LoggedWrites writes(*store);
  EXPECT_EQ(put_one(writes, note(1)), PutResult::Stored);
  ASSERT_TRUE(writes.commit().has_value());
  EXPECT_EQ(put_one(writes, note(1)), PutResult::Duplicate);
  std::async(std::launch::async, [&] { test::put(*store, make_event(3, 1, 1)); }).get();
  EXPECT_EQ(store->count(), 2U);
}

TEST_F(LoggedWritesTest, CommitsWhatTheLogHasNoRoomFor) {
  const auto store = open();
  LoggedWrites writes(*store);
  std::size_t most = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(put_one(writes, note(i, std::string(3000, 'x'))), PutResult::Stored);
    most = std::max(most, writes.batches_in_log());
  }
  EXPECT_EQ(most, 20U);
  EXPECT_EQ(put_one(writes, note(100, std::string(70000, 'x'))), PutResult::Stored);
  EXPECT_EQ(writes.batches_in_log(), 0U);
  EXPECT_EQ(store->count(), 101U);
  test::expect_consistent(*store);
}

TEST_F(LoggedWritesTest, CommitsEverythingWithoutALog) {
  const auto store = open(test::test_options());
  LoggedWrites writes(*store);
  EXPECT_EQ(put_one(writes, note(1)), PutResult::Stored);
  EXPECT_EQ(writes.batches_in_log(), 0U);
  EXPECT_EQ(store->count(), 1U);
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "log"));
}

TEST_F(LoggedWritesTest, TheNextToOpenPutsWhatAnEndedProcessLeft) {
  std::vector<Event> events;
  for (int i = 0; i < 5; ++i) events.push_back(note(i));
  leave_in_log(events);
  const auto store = open(test::test_options());  // no log of its own
  EXPECT_EQ(store->replayed(), 5U);
  EXPECT_EQ(store->count(), 5U);
  test::expect_consistent(*store);
}

TEST_F(LoggedWritesTest, AReaderThatOpensSeesItToo) {
  leave_in_log({note(1), note(2)});
  StoreOptions options = test::test_options();
  options.read_only = true;
  EXPECT_EQ(open(options)->count(), 2U);
  EXPECT_EQ(open(options)->count(), 2U);
}

TEST_F(LoggedWritesTest, PutsWhatWasLeftOnceOnly) {
  const Event kept = note(1);
  const Event erased = note(2);
  leave_in_log({kept, erased});
  {
    const auto store = open();
    const std::array ids = {erased.id};
    ASSERT_EQ(store->erase(ids).value(), 1U);
  }
  for (int i = 0; i < 3; ++i) {
    const auto store = open();
    EXPECT_EQ(store->replayed(), 0U);
    EXPECT_TRUE(store->has_id(kept.id));
    EXPECT_FALSE(store->has_id(erased.id));
  }
}

// Judged again at the time that it was judged at first: what has expired since was acknowledged.
TEST_F(LoggedWritesTest, GivesTheSameVerdictsAgain) {
  const Event expiring = signed_by(1, make_event(1, 1000, 1, {{"expiration", "1500"}}));
  const Event first = signed_by(1, make_event(1, 1000, 0, {}, "first"));
  const Event second = signed_by(1, make_event(1, 1001, 0, {}, "second"));
  const Event deletion = signed_by(2, make_event(2, 1002, 5, {{"e", encode_hex(note(9).id)}}));
  in_process_that_dies([&] {
    const auto store = open();
    LoggedWrites writes(*store);
    const auto events = all_verified({expiring, first, second, first, deletion});
    const auto results = writes.put(events, 1400, true);
    const std::vector<PutResult> expected = {PutResult::Stored, PutResult::Stored,
                                             PutResult::Stored, PutResult::HaveNewer,
                                             PutResult::Stored};
    if (!results || *results != expected || writes.batches_in_log() != 1) _exit(1);
  });
  const auto store = open();
  EXPECT_EQ(store->count(), 3U);
  for (const Event& event : {expiring, second, deletion}) EXPECT_TRUE(store->has_id(event.id));
  test::expect_consistent(*store);
}

// The process that finds the log may have had the store open before its writer came and went.
TEST_F(LoggedWritesTest, AnotherWriterThatIsAlreadyThereCommitsThemWithItsOwn) {
  const auto importer = open(test::test_options());
  leave_in_log({note(1), note(2)});
  EXPECT_EQ(importer->count(), 0U);
  EXPECT_EQ(test::put(*importer, make_event(3, 1, 1)), PutResult::Stored);
  EXPECT_EQ(importer->count(), 3U);
  EXPECT_EQ(importer->replayed(), 2U);
  EXPECT_EQ(test::put(*importer, make_event(3, 2, 1)), PutResult::Stored);
  EXPECT_EQ(importer->replayed(), 2U);
}

TEST_F(LoggedWritesTest, TakesTurnsWithAWriterOfAnotherProcess) {
  constexpr int kEach = 300;
  test::put(*open(), make_event(3, 0, 1));  // made before
  const pid_t importer = fork();
  ASSERT_GE(importer, 0);
  if (importer == 0) {
    const auto store = open(test::test_options());
    for (int i = 1; i <= kEach; ++i) {
      if (test::put(*store, make_event(3, i, 1)) != PutResult::Stored) _exit(1);
    }
    _exit(0);
  }
  const auto store = open();
  LoggedWrites writes(*store);
  for (int i = 0; i < kEach; ++i) {
    ASSERT_EQ(put_one(writes, note(i)), PutResult::Stored);
    if (i % 7 != 0) continue;
    ASSERT_TRUE(writes.commit().has_value());
  }
  ASSERT_TRUE(writes.commit().has_value());
  int status = 0;
  ASSERT_EQ(waitpid(importer, &status, 0), importer);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(store->count(), 2U * kEach + 1);
  EXPECT_EQ(store->replayed(), 0U);
  test::expect_consistent(*store);
}

TEST_F(LoggedWritesTest, GrowsTheMapUnderAnOpenTransaction) {
  StoreOptions options = logged_options();
  options.map_bytes_initial = std::size_t{1} << 17;
  options.log_bytes = std::size_t{1} << 20;
  const auto store = open(options);
  LoggedWrites writes(*store);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(put_one(writes, note(i, std::string(3000, 'x'))), PutResult::Stored);
  }
  EXPECT_EQ(writes.batches_in_log(), 200U);  // put again after each growth, not committed
  EXPECT_EQ(store->count(), 0U);
  EXPECT_GT(store->replayed(), 100U);
  EXPECT_GT(store->stats().map_bytes, std::size_t{1} << 19);
  ASSERT_TRUE(writes.commit().has_value());
  EXPECT_EQ(store->count(), 200U);
  test::expect_consistent(*store);
}

TEST_F(LoggedWritesTest, RefusesADamagedMark) {
  (void)open();
  {
    auto env = lmdb::Env::open(dir_.path(), {});
    const auto meta = (*env)->open_table("meta", false);
    lmdb::WriteTxn txn(**env);
    txn.put(*meta, as_bytes(kLogMarkKey), as_bytes("short"));
    ASSERT_TRUE(txn.commit().has_value());
  }
  const auto store = Store::open(dir_.path(), logged_options());
  ASSERT_FALSE(store.has_value());
  EXPECT_THAT(store.error().text, testing::HasSubstr("the log's mark"));
}

TEST_F(LoggedWritesTest, ALogThatIsGoneIsAnEmptyOne) {
  test::put(*open(), make_event(3, 1, 1));
  std::filesystem::remove(dir_.path() / "log");
  EXPECT_EQ(open(test::test_options())->count(), 1U);
  const auto store = open();
  LoggedWrites writes(*store);
  EXPECT_EQ(put_one(writes, note(1)), PutResult::Stored);
  EXPECT_EQ(writes.batches_in_log(), 1U);
}

}  // namespace

}  // namespace nostril::relay
