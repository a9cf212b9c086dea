// Snapshots as files: what is made is what another relay ends up with, whatever ends on the way.
#include "base/clock.h"
#include "relay/cluster/snapshot_files.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <set>

namespace nostril::relay {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

constexpr std::size_t kEvents = 3'000;  // some chunks

std::vector<Event> some_events(std::uint64_t seed, std::size_t count) {
  std::vector<Event> out;
  test::RandomWorld world(seed);
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(i % 3 == 0 ? world.event()
                             : test::make_event(static_cast<unsigned>(i % 7),
                                                1'000 + static_cast<std::int64_t>(i), 1, {},
                                                test::wordy_text(seed * 1'000'000 + i, 500)));
  }
  return out;
}

/// A relay's directory with a store, lists, and a writer.
class Home {
 public:
  Home(fs::path data, const std::vector<Event>& events, std::uint32_t banned_kind)
      : data_(std::move(data)), store_(test::open_store(data_)) {
    (void)test::put_all(*store_, events);
    auto opened = Moderation::open(data_ / "moderation");
    EXPECT_TRUE(opened) << opened.error();
    moderation_ = std::move(*opened);
    const std::array changes = {
        ModerationChange{ModerationList::DisallowedKinds, item_of(banned_kind), ""}};
    EXPECT_TRUE(moderation_->apply(changes, 1));
    writer_ =
        std::make_unique<StoreWriter>(*store_, clock_, WriterOptions{}, [](CommittedBatch&&) {});
  }

  std::unique_ptr<Snapshot> make(std::uint64_t position) {
    EXPECT_TRUE(store_->set_stream_position({{"main", 7}, position}));
    auto made = Snapshot::make({*store_, *writer_, *moderation_, "a", {}, {}}, data_, 5);
    EXPECT_TRUE(made) << made.error();
    return std::move(*made);
  }

  [[nodiscard]] Store& store() { return *store_; }

  [[nodiscard]] StoreWriter& writer() { return *writer_; }

  [[nodiscard]] const fs::path& data() const { return data_; }

 private:
  const fs::path data_;
  const SystemClock clock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Moderation> moderation_;
  std::unique_ptr<StoreWriter> writer_;
};

Bytes all_hashes(const Snapshot& snapshot) {
  Bytes out;
  for (std::uint64_t i = 0;; ++i) {
    const auto piece = snapshot.hashes(i);
    if (!piece) return out;
    out.insert(out.end(), piece->begin(), piece->end());
  }
}

std::unique_ptr<SnapshotStage> stage_for(const fs::path& data, const Snapshot& snapshot) {
  auto stage = SnapshotStage::open(data, snapshot.header(), all_hashes(snapshot));
  EXPECT_TRUE(stage) << stage.error();
  return std::move(*stage);
}

void fetch(SnapshotStage& stage, const Snapshot& snapshot) {
  for (std::uint64_t i = 0; i < stage.header().chunks(); ++i) {
    if (stage.has(i)) continue;
    EXPECT_EQ(stage.put(i, *snapshot.chunk(i)), SnapshotStage::Put::Written);
  }
  EXPECT_EQ(stage.missing(), 0U);
}

std::vector<EventId> all_ids(Store& store) {
  ScanOptions options;
  options.limit_max = 100'000;
  return test::query(store, {Filter()}, options);
}

/// What a relay would see when it starts now.
struct Seen {
  std::vector<EventId> ids;
  std::set<std::uint32_t> disallowed;

  static Seen in(const fs::path& data) {
    Seen out;
    auto store = test::open_store(data);
    test::expect_consistent(*store);
    out.ids = all_ids(*store);
    auto lists = Moderation::open(data / "moderation");
    EXPECT_TRUE(lists) << lists.error();
    out.disallowed = *(*lists)->lists()->disallowed_kinds;
    return out;
  }

  bool operator==(const Seen&) const = default;
};

TEST(Snapshot, IsWhatAnotherRelayEndsUpWith) {
  const TempDir dir;
  Home from(dir.path() / "a", some_events(1, kEvents), 7);
  const auto snapshot = from.make(41);
  const SnapshotHeader& header = snapshot->header();
  EXPECT_EQ(header.position, 41U);
  EXPECT_EQ(header.events, from.store().count());
  EXPECT_GE(header.chunks(), 4U);
  EXPECT_FALSE(snapshot->chunk(header.chunks()));
  EXPECT_FALSE(snapshot->hashes(1));
  // What comes after it is not in it.
  (void)test::put_all(from.store(), some_events(2, 10));

  const fs::path to = dir.path() / "b";
  { const Home old(to, some_events(3, 50), 9); }
  EXPECT_FALSE(put_snapshot_in_place(to));
  const Seen before = Seen::in(to);
  auto stage = stage_for(to, *snapshot);
  fetch(*stage, *snapshot);
  ASSERT_TRUE(want_snapshot(to));
  EXPECT_FALSE(is_snapshot_ready(to));
  const auto finished = stage->finish();
  ASSERT_TRUE(finished) << finished.error();
  EXPECT_TRUE(is_snapshot_ready(to));
  EXPECT_TRUE(is_snapshot_wanted(to));
  EXPECT_EQ(Seen::in(to), before);
  EXPECT_TRUE(put_snapshot_in_place(to));
  EXPECT_FALSE(is_snapshot_ready(to));
  EXPECT_FALSE(is_snapshot_wanted(to));
  EXPECT_FALSE(put_snapshot_in_place(to));
  const Seen after = Seen::in(to);
  EXPECT_EQ(after.ids.size(), header.events);
  EXPECT_EQ(after.disallowed, std::set<std::uint32_t>{7});
  for (const char* left : {"snapshot.in", "snapshot.ready", "snapshot.wanted"}) {
    EXPECT_FALSE(fs::exists(to / left)) << left;
  }
}

TEST(Snapshot, HoldsUpNoWriterAndGoesWhenItIsDropped) {
  const TempDir dir;
  Home from(dir.path() / "a", some_events(1, 500), 7);
  // A writer that grows the map while a copy is open would wait for it for ever: this one has room.
  auto snapshot = from.make(1);
  EXPECT_GE(from.store().stats().map_bytes, std::uint64_t{4} << 30U);
  EXPECT_TRUE(fs::exists(from.data() / "snapshot.tmp"));
  snapshot.reset();
  EXPECT_FALSE(fs::exists(from.data() / "snapshot.tmp"));
}

TEST(Snapshot, IsNotMadeOfARelayThatIsStopping) {
  const TempDir dir;
  Home from(dir.path() / "a", some_events(1, 10), 7);
  from.writer().stop();
  auto lists = Moderation::open(dir.path() / "lists");
  const auto made =
      Snapshot::make({from.store(), from.writer(), **lists, "a", {}, {}}, from.data(), 5);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error(), "the relay is stopping");
  EXPECT_FALSE(fs::exists(from.data() / "snapshot.tmp"));
}

TEST(SnapshotStage, TakesNoOtherBytes) {
  const TempDir dir;
  Home from(dir.path() / "a", some_events(1, kEvents), 7);
  const auto snapshot = from.make(41);
  const fs::path to = dir.path() / "b";
  Bytes hashes = all_hashes(*snapshot);
  hashes.back() ^= 1U;
  EXPECT_FALSE(SnapshotStage::open(to, snapshot->header(), hashes));
  hashes.pop_back();
  EXPECT_FALSE(SnapshotStage::open(to, snapshot->header(), hashes));
  EXPECT_FALSE(fs::exists(to / "snapshot.in"));
  auto stage = stage_for(to, *snapshot);
  Bytes chunk = *snapshot->chunk(1);
  using Put = SnapshotStage::Put;
  EXPECT_EQ(stage->put(0, chunk), Put::Wrong);
  EXPECT_EQ(stage->put(stage->header().chunks(), chunk), Put::Wrong);
  chunk.back() ^= 1U;
  EXPECT_EQ(stage->put(1, chunk), Put::Wrong);
  chunk.back() ^= 1U;
  chunk.push_back(0);
  EXPECT_EQ(stage->put(1, chunk), Put::Wrong);
  EXPECT_EQ(stage->missing(), stage->header().chunks());
  EXPECT_FALSE(stage->finish());
  chunk.pop_back();
  EXPECT_EQ(stage->put(1, chunk), Put::Written);
  EXPECT_EQ(stage->put(1, chunk), Put::Written);
  EXPECT_EQ(stage->missing(), stage->header().chunks() - 1);
}

TEST(SnapshotStage, RefusesAStoreThatIsAtAnotherPosition) {
  const TempDir dir;
  Home from(dir.path() / "a", some_events(1, 100), 7);
  const auto snapshot = from.make(41);
  const fs::path to = dir.path() / "b";
  SnapshotHeader header = snapshot->header();
  ++header.position;
  auto stage = SnapshotStage::open(to, header, all_hashes(*snapshot));
  ASSERT_TRUE(stage) << stage.error();
  fetch(**stage, *snapshot);
  EXPECT_FALSE((*stage)->finish());
  EXPECT_FALSE(is_snapshot_ready(to));
  EXPECT_FALSE(fs::exists(to / "snapshot.in"));
}

TEST(SnapshotStage, GoesOnWithWhatAnEarlierAttemptHasLeft) {
  const TempDir dir;
  Home from(dir.path() / "a", some_events(1, kEvents), 7);
  const fs::path to = dir.path() / "b";
  {
    const auto snapshot = from.make(41);
    auto stage = stage_for(to, *snapshot);
    for (const std::uint64_t i : {0U, 2U}) {
      EXPECT_EQ(stage->put(i, *snapshot->chunk(i)), SnapshotStage::Put::Written);
    }
  }
  // Made anew of the same state, of the same relay: the same bytes.
  const auto again = from.make(41);
  auto stage = stage_for(to, *again);
  EXPECT_EQ(stage->kept(), 2U);
  EXPECT_TRUE(stage->has(0) && !stage->has(1) && stage->has(2));
  fetch(*stage, *again);
  EXPECT_TRUE(stage->finish());
}

// Relays that applied the same stream have the same records under the same numbers (but for what
// those who vanish have left for later): a copy that begins at one goes on at another.
TEST(SnapshotStage, GoesOnAtAnotherRelayThatHasAppliedTheSame) {
  const TempDir dir;
  std::vector<Event> events;
  for (std::size_t i = 0; i < kEvents; ++i) {
    events.push_back(test::make_event(static_cast<unsigned>(i % 7),
                                      1'000 + static_cast<std::int64_t>(i), 1, {},
                                      test::wordy_text(i, 500)));
  }
  Home a(dir.path() / "a", events, 7);
  const auto snapshot = a.make(41);
  // In other batches.
  Home b(dir.path() / "b", std::vector(events.begin(), events.begin() + 1'234), 7);
  (void)test::put_all(b.store(), std::vector(events.begin() + 1'234, events.end()));
  const auto other = b.make(41);
  EXPECT_EQ(all_ids(a.store()), all_ids(b.store()));
  const fs::path to = dir.path() / "c";
  {
    auto stage = stage_for(to, *snapshot);
    for (std::uint64_t i = 0; i + 2 < stage->header().chunks(); ++i) {
      EXPECT_EQ(stage->put(i, *snapshot->chunk(i)), SnapshotStage::Put::Written);
    }
  }
  auto stage = stage_for(to, *other);
  EXPECT_GT(stage->kept(), 0U);
  fetch(*stage, *other);
  ASSERT_TRUE(stage->finish());
  EXPECT_TRUE(put_snapshot_in_place(to));
  EXPECT_EQ(Seen::in(to), Seen::in(b.data()));
}

// --- Ended at each step.

// `work` in a child that is killed at the crash point; 0: it was not on its way.
int killed_at(const char* point, const std::function<void()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("NOSTRIL_CRASH_AT", point, 1);  // NOLINT(concurrency-mt-unsafe): one thread
    work();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(SnapshotInPlace, EndedAtAnyStepItIsTheOldStoreOrTheNewOneAndGoesOn) {
  const TempDir dir;
  const fs::path made = dir.path() / "made";
  Seen wanted;
  {
    Home from(dir.path() / "a", some_events(1, 500), 7);
    const auto snapshot = from.make(41);
    auto stage = stage_for(made, *snapshot);
    fetch(*stage, *snapshot);
    ASSERT_TRUE(stage->finish());
  }
  wanted = Seen::in(dir.path() / "a");
  const fs::path old = dir.path() / "old";
  { const Home home(old, some_events(3, 50), 9); }
  const Seen before = Seen::in(old);
  ASSERT_NE(before, wanted);
  for (const char* point :
       {"snapshot.begin", "snapshot.moderation", "snapshot.events", "snapshot.wanted", "never"}) {
    SCOPED_TRACE(point);
    const fs::path data = dir.path() / "data";
    fs::remove_all(data);
    fs::copy(old, data, fs::copy_options::recursive);
    fs::copy(made / "snapshot.ready", data / "snapshot.ready", fs::copy_options::recursive);
    ASSERT_TRUE(want_snapshot(data));
    const int ended = killed_at(point, [&] { (void)put_snapshot_in_place(data); });
    EXPECT_EQ(ended, std::string_view(point) == "never" ? 0 : SIGKILL);
    {
      auto store = test::open_store(data);  // a command of the operator's, in between
      test::expect_consistent(*store);
      const auto ids = all_ids(*store);
      EXPECT_TRUE(ids == before.ids || ids == wanted.ids);
    }
    (void)put_snapshot_in_place(data);
    EXPECT_EQ(Seen::in(data), wanted);
    EXPECT_FALSE(is_snapshot_wanted(data));
    EXPECT_FALSE(is_snapshot_ready(data));
  }
}

TEST(SnapshotInPlace, EndedBeforeItIsReadyTheOldStoreStays) {
  const TempDir dir;
  Home from(dir.path() / "a", some_events(1, 500), 7);
  const auto snapshot = from.make(41);
  const fs::path data = dir.path() / "b";
  { const Home home(data, some_events(3, 50), 9); }
  const Seen before = Seen::in(data);
  for (const char* point : {"snapshot.checked", "snapshot.ready"}) {
    SCOPED_TRACE(point);
    EXPECT_EQ(killed_at(point,
                        [&] {
                          auto stage = stage_for(data, *snapshot);
                          fetch(*stage, *snapshot);
                          (void)stage->finish();
                        }),
              SIGKILL);
    EXPECT_EQ(Seen::in(data), before);
    EXPECT_EQ(is_snapshot_ready(data), std::string_view(point) == "snapshot.ready");
  }
  EXPECT_TRUE(put_snapshot_in_place(data));
  EXPECT_EQ(Seen::in(data).ids.size(), from.store().count());
}

}  // namespace
}  // namespace nostril::relay
