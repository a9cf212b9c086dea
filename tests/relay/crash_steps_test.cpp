// The store ended at every single write and sync that it makes, and on every disk that a loss of
// power could leave behind. relay/crash kills at random moments instead.
#include "relay/store/compact.h"
#include "relay/store/logged_writes.h"
#include "relay/store/train.h"
#include "tests/relay/disk_faults.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>
#include <tuple>

namespace nostril::relay {

namespace {

using test::disk::Fault;
using test::disk::Step;
using Ids = std::set<EventId>;

constexpr std::size_t kBatches = 10;

// How batches become durable.
enum class Way : std::uint8_t { Committed, Logged };

// Fixed: all runs of it take the same steps.
struct Workload {
  std::vector<std::vector<VerifiedEvent>> batches;
  std::vector<Ids> states;  // [n]: what n batches leave

  Workload() {
    test::RandomWorld world(7, true);
    test::ModelStore model;
    states.emplace_back();
    for (std::size_t i = 0; i < kBatches; ++i) {
      std::vector<Event> batch;
      for (std::uint64_t n = 0; n < 6 + i * 2; ++n) batch.push_back(world.event());
      // Also over several pages, and packed.
      batch.push_back(
          test::signed_by(4, test::make_event(4, static_cast<std::int64_t>(i), 1, {},
                                              test::wordy_text(i, i % 3 == 1 ? 30000 : 500))));
      batches.emplace_back();
      for (const Event& event : batch) {
        model.put(event, 0);
        batches.back().push_back(test::verified(event));
      }
      Ids ids;
      for (const Event& event : model.events()) ids.insert(event.id);
      states.push_back(std::move(ids));
    }
  }
};

const Workload& workload() {
  static const Workload once;
  return once;
}

StoreOptions durable(Way way) {
  StoreOptions options = test::test_options();
  options.sync = true;
  options.map_bytes_initial = std::size_t{1} << 17;  // grows on the way
  options.log_bytes = way == Way::Logged ? std::size_t{1} << 16 : 0;
  return options;
}

// Opens or makes the store and writes batch after batch, calling `acknowledge` with their count.
// False when the store reports a failure. Logged: the tables are committed after the fifth batch,
// in the sixth, which is packed, and where the log is full; the last batches are in the log only.
template <typename Acknowledge>
bool write_all(const std::filesystem::path& path, Way way, Acknowledge acknowledge) {
  auto store = Store::open(path, durable(way));
  if (!store) return false;
  LoggedWrites writes(**store);
  for (std::size_t i = 0; i < kBatches; ++i) {
    if (i == kBatches / 2) {
      if (!writes.commit()) return false;
      if (!(*store)->add_dictionary(as_bytes(test::wordy_text(0, 5000)), 1)) return false;
    }
    if (!writes.put(workload().batches[i], 0, i != kBatches / 2)) return false;
    acknowledge(i + 1);
  }
  return way == Way::Committed || writes.batches_in_log() > 0;
}

Ids stored_ids(Store& store) {
  ScanOptions options;
  options.limit_max = 100000;
  const auto ids = test::query(store, {Filter()}, options);
  return {ids.begin(), ids.end()};
}

// Exactly the acknowledged batches, or one more that was under way.
void expect_whole_batches(const std::filesystem::path& path, std::size_t acknowledged) {
  if (acknowledged == 0 && test::disk::is_torn_at_birth(path)) return;
  const auto store = Store::open(path, test::test_options());
  ASSERT_TRUE(store.has_value()) << store.error().text;
  const Ids ids = stored_ids(**store);
  const auto& states = workload().states;
  const bool is_as_acknowledged = ids == states[acknowledged];
  const bool is_one_more = acknowledged < kBatches && ids == states[acknowledged + 1];
  EXPECT_TRUE(is_as_acknowledged || is_one_more)
      << ids.size() << " events, not " << states[acknowledged].size();
  test::expect_consistent(**store);
}

class StoreCrashSteps : public testing::TestWithParam<std::tuple<Way, Fault>> {};

TEST_P(StoreCrashSteps, NothingAcknowledgedIsLostAndNothingIsHalfThere) {
  const auto [way, fault] = GetParam();
  std::size_t step = 1;
  for (;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const test::TempDir dir;
    const auto path = dir.path() / "store";
    const auto ended = test::disk::run_with_fault(
        path, fault, step, [&, way = way](const test::disk::Acknowledge& acknowledge) {
          return write_all(path, way, acknowledge);
        });
    if (ended.status == 0) break;
    // After a failed step the store says so; it may not have mattered (a lock file's size).
    if (fault == Fault::Fail) {
      ASSERT_TRUE(ended.status == 1 || ended.status == 2) << ended.status;
      ASSERT_TRUE(ended.status == 1 || ended.acknowledged == kBatches);
    } else {
      ASSERT_EQ(ended.status, test::disk::kExitStatus);
    }
    expect_whole_batches(path, ended.acknowledged);
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 4 * kBatches);
}

INSTANTIATE_TEST_SUITE_P(Faults, StoreCrashSteps,
                         testing::Combine(testing::Values(Way::Committed, Way::Logged),
                                          testing::Values(Fault::Exit, Fault::ExitHalf,
                                                          Fault::Fail)));

// --- Loss of power: what was not synced is there, or not, or in part.

// The files of a store, by name.
class DiskImage {
 public:
  explicit DiskImage(const std::filesystem::path& made) {
    for (const char* name : {"data.mdb", "log"}) {
      if (!std::filesystem::exists(made / name)) continue;
      const std::string bytes = nostril::test::read_file(made / name);
      files_[name].assign(bytes.begin(), bytes.end());
    }
  }

  void apply(const Step& step, std::size_t from, std::size_t to) {
    Bytes& bytes = files_[step.file];
    if (bytes.size() < step.at + to) bytes.resize(step.at + to);
    std::copy(step.bytes.begin() + static_cast<std::ptrdiff_t>(from),
              step.bytes.begin() + static_cast<std::ptrdiff_t>(to),
              bytes.begin() + static_cast<std::ptrdiff_t>(step.at + from));
  }

  void apply(const Step& step) { apply(step, 0, step.bytes.size()); }

  void save(const std::filesystem::path& path) const {
    std::filesystem::create_directories(path);
    for (const auto& [name, bytes] : files_) {
      std::ofstream(path / name, std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()));
    }
  }

 private:
  std::map<std::string, Bytes> files_;
};

enum class Loss : std::uint8_t { Nothing, AllUnsynced, SomeSectors };

// The disk when power fails after `steps`. A sector of 512 bytes is written whole or not at all; a
// sync is one file's.
DiskImage after_power_loss(DiskImage image, std::span<const Step> steps, Loss loss,
                           std::mt19937_64& random) {
  constexpr std::size_t kSector = 512;
  std::map<std::string, std::size_t> synced;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind == Step::Kind::Sync) synced[steps[i].file] = i;
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind != Step::Kind::Write) continue;
    if (i < synced[steps[i].file] || steps[i].is_durable || loss == Loss::Nothing) {
      image.apply(steps[i]);
    } else if (loss == Loss::SomeSectors) {
      // By where they lie on the disk.
      for (std::size_t from = 0; from < steps[i].bytes.size();) {
        const std::size_t to =
            std::min((steps[i].at + from) / kSector * kSector + kSector - steps[i].at,
                     steps[i].bytes.size());
        if (random() % 2 == 0) image.apply(steps[i], from, to);
        from = to;
      }
    }
  }
  return image;
}

class StorePowerLoss : public testing::TestWithParam<Way> {};

TEST_P(StorePowerLoss, AfterAnyStepLosesNothingAcknowledged) {
  const Way way = GetParam();
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const test::TempDir dir;
  const auto path = dir.path() / "store";
  test::open_store(path, durable(way));  // made before: liblmdb makes a new file without syncs
  const DiskImage start(path);
  test::disk::record(path.string());
  ASSERT_TRUE(write_all(path, way, test::disk::mark));
  const auto steps = test::disk::stop();
  ASSERT_GT(steps.size(), 3 * kBatches);
  std::size_t syncs = 0;
  std::size_t acknowledged = 0;
  for (std::size_t count = 0; count <= steps.size(); ++count) {
    if (count > 0 && steps[count - 1].kind == Step::Kind::Mark) acknowledged = steps[count - 1].at;
    if (count > 0 && steps[count - 1].kind == Step::Kind::Sync) ++syncs;
    for (const Loss loss : {Loss::Nothing, Loss::AllUnsynced, Loss::SomeSectors}) {
      SCOPED_TRACE("after step " + std::to_string(count) + ", loss " +
                   std::to_string(static_cast<int>(loss)));
      const test::TempDir other;
      const auto seen = std::span(steps).first(count);
      after_power_loss(start, seen, loss, random).save(other.path());
      expect_whole_batches(other.path(), acknowledged);
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(syncs, kBatches);
}

INSTANTIATE_TEST_SUITE_P(Ways, StorePowerLoss, testing::Values(Way::Committed, Way::Logged));

// A process that ends while it puts what is in the log: nothing is lost, however often.
TEST(StoreCrash, AReplayMayBeEndedAtAnyStep) {
  const test::TempDir made;
  ASSERT_TRUE(write_all(made.path(), Way::Logged, [](std::size_t) {}));
  const DiskImage left(made.path());
  std::size_t step = 1;
  for (;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const test::TempDir dir;
    left.save(dir.path());
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      test::disk::watch(dir.path().string(), Fault::ExitHalf, step);
      const auto store = Store::open(dir.path(), durable(Way::Logged));
      _exit(store && (*store)->replayed() > 0 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    expect_whole_batches(dir.path(), kBatches);
    if (status == 0 || HasFailure()) break;
    ASSERT_EQ(WEXITSTATUS(status), test::disk::kExitStatus);
  }
  EXPECT_GT(step, 3U);
}

// A copy that was ended early is refused or whole.
TEST(StoreCrash, AnUnfinishedCopyIsNeverTakenForAStore) {
  const test::TempDir dir;
  const auto source = dir.path() / "store";
  ASSERT_TRUE(write_all(source, Way::Committed, [](std::size_t) {}));
  std::size_t refused = 0;
  for (std::size_t step = 1;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const test::TempDir other;
    const auto target = other.path() / "copy";
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const auto store = Store::open(source, test::test_options());
      test::disk::watch(target.string(), Fault::Exit, step);
      const bool done = store && compact(**store, target);
      _exit(done ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (status == 0) break;
    ASSERT_EQ(WEXITSTATUS(status), test::disk::kExitStatus);
    StoreOptions read_only = test::test_options();
    read_only.read_only = true;
    const auto copy = Store::open(target, read_only);
    refused += copy ? 0U : 1U;
    EXPECT_TRUE(!copy || stored_ids(**copy) == workload().states[kBatches]);
  }
  EXPECT_GT(refused, 10U);
}

}  // namespace

}  // namespace nostril::relay
