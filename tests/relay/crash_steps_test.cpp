// The store ended at every single write and sync that it makes, and on every disk that a loss of
// power could leave behind. relay/crash kills at random moments instead.
#include "relay/store/compact.h"
#include "relay/store/train.h"
#include "tests/relay/disk_faults.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>

namespace nostril::relay {

namespace {

using test::disk::Fault;
using test::disk::Step;
using Ids = std::set<EventId>;

constexpr std::size_t kBatches = 10;

// Fixed: all runs of it take the same steps.
struct Workload {
  std::vector<std::vector<Event>> batches;
  std::vector<Ids> states;  // [n]: what n batches leave

  Workload() {
    test::RandomWorld world(7);
    test::ModelStore model;
    states.emplace_back();
    for (std::size_t i = 0; i < kBatches; ++i) {
      std::vector<Event> batch;
      for (std::uint64_t n = 0; n < 6 + i * 2; ++n) batch.push_back(world.event());
      // Also over several pages, and packed.
      batch.push_back(test::make_event(4, static_cast<std::int64_t>(i), 1, {},
                                       test::wordy_text(i, i % 3 == 0 ? 30000 : 500)));
      for (const Event& event : batch) model.put(event, 0);
      Ids ids;
      for (const Event& event : model.events()) ids.insert(event.id);
      states.push_back(std::move(ids));
      batches.push_back(std::move(batch));
    }
  }
};

const Workload& workload() {
  static const Workload once;
  return once;
}

StoreOptions durable() {
  StoreOptions options = test::test_options();
  options.sync = true;
  options.map_bytes_initial = std::size_t{1} << 17;  // grows on the way
  return options;
}

// Opens or makes the store and writes batch after batch, calling `acknowledge` with their count.
// False when the store reports a failure.
template <typename Acknowledge>
bool write_all(const std::filesystem::path& path, Acknowledge acknowledge) {
  auto store = Store::open(path, durable());
  if (!store) return false;
  for (std::size_t i = 0; i < kBatches; ++i) {
    if (i == kBatches / 2 && !(*store)->add_dictionary(as_bytes(test::wordy_text(0, 5000)), 1)) {
      return false;
    }
    std::vector<UnverifiedEvent> batch;
    for (const Event& event : workload().batches[i]) batch.push_back(test::unverified(event));
    if (!(*store)->put_unverified(batch, 0)) return false;
    acknowledge(i + 1);
  }
  return true;
}

Ids stored_ids(Store& store) {
  ScanOptions options;
  options.limit_max = 100000;
  const auto ids = test::query(store, {Filter()}, options);
  return {ids.begin(), ids.end()};
}

// A file that was ended in the first write of its two meta pages: liblmdb refuses it, and nothing
// was ever in it.
bool is_torn_at_birth(const std::filesystem::path& path) {
  constexpr std::uintmax_t kMetaBytes = 8192;
  const auto file = path / "data.mdb";
  return std::filesystem::exists(file) && std::filesystem::file_size(file) < kMetaBytes;
}

// Exactly the acknowledged batches, or one more that was under way.
void expect_whole_batches(const std::filesystem::path& path, std::size_t acknowledged) {
  if (acknowledged == 0 && is_torn_at_birth(path)) return;
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

struct Ended {
  int status = -1;               // of the child
  std::size_t acknowledged = 0;  // batches
};

// The workload in a child that meets `fault` at its `step`th step. Status 0: it took fewer steps.
Ended run_with_fault(const std::filesystem::path& path, Fault fault, std::size_t step) {
  std::array<int, 2> ends{};
  CHECK(pipe(ends.data()) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    test::disk::watch(path.string(), fault, step);
    const bool done = write_all(path, [&ends](std::size_t count) {
      const char byte = static_cast<char>(count);
      if (write(ends[1], &byte, 1) != 1) _exit(5);
    });
    const bool was_met = test::disk::steps() >= step;
    _exit(!was_met ? 0 : done ? 2 : 1);
  }
  close(ends[1]);
  Ended ended;
  for (char byte = 0; read(ends[0], &byte, 1) == 1;)
    ended.acknowledged = static_cast<std::size_t>(byte);
  close(ends[0]);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

class StoreCrashSteps : public testing::TestWithParam<Fault> {};

TEST_P(StoreCrashSteps, NothingAcknowledgedIsLostAndNothingIsHalfThere) {
  const Fault fault = GetParam();
  std::size_t step = 1;
  for (;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const test::TempDir dir;
    const Ended ended = run_with_fault(dir.path() / "store", fault, step);
    if (ended.status == 0) break;
    // After a failed step the store says so; it may not have mattered (a lock file's size).
    if (fault == Fault::Fail) {
      ASSERT_TRUE(ended.status == 1 || ended.status == 2) << ended.status;
      ASSERT_TRUE(ended.status == 1 || ended.acknowledged == kBatches);
    } else {
      ASSERT_EQ(ended.status, test::disk::kExitStatus);
    }
    expect_whole_batches(dir.path() / "store", ended.acknowledged);
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 4 * kBatches);
}

INSTANTIATE_TEST_SUITE_P(Faults, StoreCrashSteps,
                         testing::Values(Fault::Exit, Fault::ExitHalf, Fault::Fail));

// --- Loss of power: what was not synced is there, or not, or in part.

class DiskImage {
 public:
  explicit DiskImage(Bytes bytes) : bytes_(std::move(bytes)) {}

  void apply(const Step& step, std::size_t from, std::size_t to) {
    if (bytes_.size() < step.at + to) bytes_.resize(step.at + to);
    std::copy(step.bytes.begin() + static_cast<std::ptrdiff_t>(from),
              step.bytes.begin() + static_cast<std::ptrdiff_t>(to),
              bytes_.begin() + static_cast<std::ptrdiff_t>(step.at + from));
  }

  void apply(const Step& step) { apply(step, 0, step.bytes.size()); }

  void save(const std::filesystem::path& path) const {
    std::filesystem::create_directories(path);
    std::ofstream(path / "data.mdb", std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes_.data()),
               static_cast<std::streamsize>(bytes_.size()));
  }

 private:
  Bytes bytes_;
};

enum class Loss : std::uint8_t { Nothing, AllUnsynced, SomeSectors };

// The disk when power fails after `steps`. A sector of 512 bytes is written whole or not at all.
DiskImage after_power_loss(const Bytes& start, std::span<const Step> steps, Loss loss,
                           std::mt19937_64& random) {
  constexpr std::size_t kSector = 512;
  DiskImage image(start);
  std::size_t synced = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind == Step::Kind::Sync) synced = i;
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind != Step::Kind::Write) continue;
    if (i < synced || steps[i].is_durable || loss == Loss::Nothing) {
      image.apply(steps[i]);
    } else if (loss == Loss::SomeSectors) {
      for (std::size_t at = 0; at < steps[i].bytes.size(); at += kSector) {
        const std::size_t end = std::min(at + kSector, steps[i].bytes.size());
        if (random() % 2 == 0) image.apply(steps[i], at, end);
      }
    }
  }
  return image;
}

TEST(StoreCrash, APowerLossAfterEachStepLosesNothingAcknowledged) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const test::TempDir dir;
  const auto path = dir.path() / "store";
  test::open_store(path, durable());  // made before: liblmdb makes a new file without syncs
  const std::string made = nostril::test::read_file(path / "data.mdb");
  const Bytes start(made.begin(), made.end());
  test::disk::record(path.string());
  ASSERT_TRUE(write_all(path, test::disk::mark));
  const auto steps = test::disk::stop();
  ASSERT_GT(steps.size(), 5 * kBatches);
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

// A copy that was ended early is refused or whole.
TEST(StoreCrash, AnUnfinishedCopyIsNeverTakenForAStore) {
  const test::TempDir dir;
  const auto source = dir.path() / "store";
  ASSERT_TRUE(write_all(source, [](std::size_t) {}));
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
