#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

namespace nostril::relay {

namespace {

// More where a round acknowledges little, as on a busy machine.
constexpr unsigned kRoundsMin = 25;
constexpr unsigned kRoundsMax = 500;
constexpr std::size_t kAcknowledgedMin = 100;

// What the child does until it is killed: batches of regular events, which nothing removes, among
// replacements and deletions of others. Each committed batch is acknowledged by the numbers of its
// regular events, one write of whole lines a batch.
[[noreturn]] void write_until_killed(const std::filesystem::path& path, unsigned round, int out) {
  StoreOptions options = test::test_options();
  options.sync = true;
  options.map_bytes_initial = std::size_t{1} << 18;  // grows while it runs
  auto store = Store::open(path, options);
  if (!store) _exit(3);
  std::mt19937_64 random(round);
  for (std::uint32_t number = 0;;) {
    std::vector<UnverifiedEvent> batch;
    std::vector<EventId> acknowledged;
    for (std::uint64_t i = random() % 40 + 1; i > 0; --i, ++number) {
      const std::string name = std::to_string(round) + "-" + std::to_string(number);
      Event event = test::make_event(1, 1000 + number, 1, {{"t", name}}, std::string(300, 'x'));
      acknowledged.push_back(event.id);
      const Event other = test::make_event(2, 1000 + number, 1, {{"t", name}});
      batch.push_back(test::unverified(std::move(event)));
      batch.push_back(test::unverified(other));
      batch.push_back(
          test::unverified(test::make_event(3, 1000 + static_cast<std::int64_t>(random() % 1000),
                                            30023, {{"d", name.substr(0, 3)}})));
      if (random() % 2 == 0) {
        batch.push_back(
            test::unverified(test::make_event(2, 2000, 5, {{"e", encode_hex(other.id)}}, name)));
      }
    }
    if (!(*store)->put_unverified(batch, 0)) _exit(4);
    for (const EventId& id : acknowledged) {
      if (write(out, id.bytes.data(), id.bytes.size()) != 32) _exit(5);
    }
  }
}

// Reads acknowledgements for `wait_ms`, then kills the child and reads what was still in the pipe.
std::vector<EventId> acknowledged_before_kill(pid_t child, int in, int wait_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  std::string bytes;
  std::array<char, 4096> buffer{};
  bool is_killed = false;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (!is_killed && left.count() <= 0) {
      kill(child, SIGKILL);
      is_killed = true;
    }
    pollfd wait{in, POLLIN, 0};
    poll(&wait, 1, is_killed ? -1 : static_cast<int>(left.count()));
    if (wait.revents == 0) continue;
    const ssize_t got = read(in, buffer.data(), buffer.size());
    if (got <= 0) break;  // the pipe's other end went with the child
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
  std::vector<EventId> ids;
  for (std::size_t at = 0; at + 32 <= bytes.size(); at += 32) {
    ids.push_back(*EventId::from(as_bytes(std::string_view(bytes).substr(at, 32))));
  }
  return ids;
}

TEST(StoreCrash, KeepsWhatWasAcknowledgedAndStaysConsistent) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const test::TempDir dir;
  std::vector<EventId> acknowledged;
  for (unsigned round = 0; round < kRoundsMin || acknowledged.size() <= kAcknowledgedMin; ++round) {
    ASSERT_LT(round, kRoundsMax) << acknowledged.size() << " acknowledged";
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      write_until_killed(dir.path(), round, ends[1]);
    }
    close(ends[1]);
    const auto ids = acknowledged_before_kill(child, ends[0], static_cast<int>(random() % 80) + 5);
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    acknowledged.insert(acknowledged.end(), ids.begin(), ids.end());

    const auto store = test::open_store(dir.path());
    ReadTxn txn = store->read();
    for (const EventId& id : acknowledged) {
      ASSERT_TRUE(store->has_id(txn, id)) << "round " << round << ": lost " << encode_hex(id);
    }
  }
  test::expect_consistent(*test::open_store(dir.path()));
}

}  // namespace

}  // namespace nostril::relay
