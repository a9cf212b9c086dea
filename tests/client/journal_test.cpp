#include "client/journal.h"

#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>
#include <thread>

namespace nostril::client {
namespace {

using test::run_until;
using test::TempDir;

Bytes bytes_of(const std::string& text) {
  const ByteSpan span = as_bytes(text);
  return {span.begin(), span.end()};
}

JournalChange put(const std::string& key, const std::string& value) {
  return {JournalTable::Records, bytes_of(key), bytes_of(value)};
}

std::unique_ptr<Journal> open(const std::filesystem::path& folder, net::Loop& loop,
                              JournalLimits limits = {}) {
  auto journal = Journal::open(folder, loop, limits);
  EXPECT_TRUE(journal) << journal.error();
  return std::move(*journal);
}

TEST(Journal, KeepsWhatItAcknowledgedInOrder) {
  const TempDir folder;
  net::Loop loop;
  std::vector<int> done;
  {
    auto journal = open(folder.path() / "j", loop);
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(journal->commit({put("k", std::to_string(i)), put("k" + std::to_string(i), "v")},
                                  [&done, i](bool good) {
                                    EXPECT_TRUE(good);
                                    done.push_back(i);
                                  }));
    }
    ASSERT_TRUE(run_until(loop, [&] { return done.size() == 100; }));
    EXPECT_TRUE(std::ranges::is_sorted(done));
    EXPECT_EQ(journal->get(JournalTable::Records, as_bytes("k")), bytes_of("99"));
    EXPECT_FALSE(journal->get(JournalTable::Channels, as_bytes("k")));
    ASSERT_TRUE(journal->commit({{JournalTable::Records, bytes_of("k5"), std::nullopt}}, {}));
  }
  // The destructor has committed what was queued.
  auto journal = open(folder.path() / "j", loop);
  EXPECT_FALSE(journal->get(JournalTable::Records, as_bytes("k5")));
  EXPECT_TRUE(journal->get(JournalTable::Records, as_bytes("k6")));
  std::size_t seen = 0;
  journal->scan(JournalTable::Records, as_bytes("k9"), [&](ByteSpan key, ByteSpan) {
    EXPECT_TRUE(as_text(key).starts_with("k9"));
    ++seen;
    return true;
  });
  EXPECT_EQ(seen, 11U);
}

TEST(Journal, GrowsBeyondItsFirstMap) {
  const TempDir folder;
  net::Loop loop;
  auto journal = open(folder.path() / "j", loop);
  int done = 0;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(journal->commit({put("k" + std::to_string(i), std::string(1U << 20, 'v'))},
                                [&](bool good) { done += good ? 1 : 0; }));
  }
  ASSERT_TRUE(run_until(loop, [&] { return done == 40; }));
  EXPECT_EQ(journal->get(JournalTable::Records, as_bytes("k39"))->size(), 1U << 20);
}

TEST(Journal, RefusesAboveItsBound) {
  const TempDir folder;
  net::Loop loop;
  auto journal = open(folder.path() / "j", loop, {.waiting_max = 4});
  int taken = 0;
  for (int i = 0; i < 10'000; ++i) {
    taken += journal->commit({put(std::to_string(i), std::string(10'000, 'x'))}, {}) ? 1 : 0;
  }
  EXPECT_LT(taken, 10'000);
}

TEST(Journal, CallsNothingBackAfterItsEnd) {
  const TempDir folder;
  net::Loop loop;
  int called = 0;
  auto journal = open(folder.path() / "j", loop);
  ASSERT_TRUE(journal->commit({put("a", "b")}, [&](bool) { ++called; }));
  journal.reset();
  test::run_for(loop, 50);
  EXPECT_EQ(called, 0);
}

TEST(Journal, EndsInsideItsOwnCallback) {
  const TempDir folder;
  net::Loop loop;
  auto journal = open(folder.path() / "j", loop);
  bool ended = false;
  int later = 0;
  ASSERT_TRUE(journal->commit({put("a", "b")}, [&](bool) {
    journal.reset();
    ended = true;
  }));
  ASSERT_TRUE(journal->commit({put("c", "d")}, [&](bool) { ++later; }));
  ASSERT_TRUE(run_until(loop, [&] { return ended; }));
  test::run_for(loop, 20);
  EXPECT_EQ(later, 0);
}

TEST(Journal, LetsGoOfCallbacksOnTheLoopsThreadOnly) {
  const TempDir folder;
  net::Loop loop;
  auto journal = open(folder.path() / "j", loop);
  const std::thread::id here = std::this_thread::get_id();
  int released = 0;
  int wrong = 0;
  for (int i = 0; i < 200; ++i) {
    const std::shared_ptr<int> held(new int(i), [&](const int* value) {
      if (std::this_thread::get_id() != here) ++wrong;
      ++released;
      delete value;
    });
    ASSERT_TRUE(journal->commit({put("a", "b")}, [held](bool) {}));
  }
  ASSERT_TRUE(run_until(loop, [&] { return released == 200; }));
  EXPECT_EQ(wrong, 0);
}

/// In the child: commits numbers and writes each acknowledged one to the pipe, until it is killed.
[[noreturn]] void commit_until_killed(const std::filesystem::path& folder, int pipe_end) {
  net::Loop loop;
  auto journal = Journal::open(folder, loop);
  if (!journal) _exit(2);
  std::uint32_t next = 1;
  std::function<void()> more = [&] {
    for (int i = 0; i < 3; ++i) {
      const std::uint32_t n = next++;
      const bool queued =
          (*journal)->commit({put("n" + std::to_string(n), std::string(n % 5000, 'v')),
                              put("last", std::to_string(n))},
                             [&, n](bool good) {
                               if (!good) _exit(3);
                               if (write(pipe_end, &n, sizeof n) != sizeof n) _exit(4);
                               if (n % 3 == 0) more();
                             });
      if (!queued) _exit(5);
    }
  };
  more();
  loop.run();
  _exit(6);
}

TEST(Journal, KilledAtAnyMomentHoldsAllThatWasAcknowledged) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const TempDir folder;
  for (int round = 0; round < 8; ++round) {
    const auto path = folder.path() / std::to_string(round);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      commit_until_killed(path, ends[1]);
    }
    close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(30 + random() % 150));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    std::uint32_t n = 0;
    std::uint32_t last = 0;
    while (read(ends[0], &n, sizeof n) == sizeof n) {
      EXPECT_EQ(n, last + 1) << "acknowledged out of order";
      last = n;
    }
    close(ends[0]);
    net::Loop loop;
    auto journal = open(path, loop);
    for (std::uint32_t i = 1; i <= last; ++i) {
      const auto value = journal->get(JournalTable::Records, as_bytes("n" + std::to_string(i)));
      ASSERT_TRUE(value) << i << " of " << last;
      ASSERT_EQ(value->size(), i % 5000);
    }
    if (const auto newest = journal->get(JournalTable::Records, as_bytes("last"))) {
      const std::string name = "n" + std::string(as_text(*newest));
      EXPECT_TRUE(journal->get(JournalTable::Records, as_bytes(name))) << "half a commit";
    }
  }
}

}  // namespace
}  // namespace nostril::client
