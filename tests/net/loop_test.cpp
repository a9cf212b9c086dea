#include "net/loop.h"

#include "tests/net/support.h"

#include <atomic>
#include <csignal>

namespace nostril::net {
namespace {

TEST(Loop, RunsPostsFromManyThreadsOnItsOwnThreadInOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 10'000;
  LoopThread thread;
  std::vector<int> next(kThreads, 0);  // touched by the loop thread only
  std::atomic<int> ran{0};
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        while (!thread.loop().post([&, t, i] {
          EXPECT_EQ(next[static_cast<std::size_t>(t)]++, i);
          ++ran;
        })) {
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  thread.call([] {});
  EXPECT_EQ(ran, kThreads * kEach);
  EXPECT_FALSE(thread.loop().on_loop_thread());
  EXPECT_TRUE(thread.call([&] { return thread.loop().on_loop_thread(); }));
}

TEST(Loop, RefusesPostsWhenFull) {
  Loop loop({.posts_count_max = 3, .posts_a_turn_max = 2});
  int ran = 0;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(loop.post([&] { ++ran; }));
  EXPECT_FALSE(loop.post([&] { ++ran; }));
  loop.after(20, [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(ran, 3);
  EXPECT_TRUE(loop.post([] {}));
}

TEST(Loop, StopBeforeRunReturnsAtOnce) {
  Loop loop;
  loop.stop();
  loop.run();
  loop.after(1, [&] { loop.stop(); });
  loop.run();
}

TEST(Loop, TimersRunOnceOrAgainAndCanBeCancelled) {
  Loop loop;
  std::vector<std::string> seen;
  loop.after(30, [&] { seen.emplace_back("30"); });
  loop.after(10, [&] { seen.emplace_back("10"); });
  const TimerId never = loop.after(15, [&] { seen.emplace_back("never"); });
  loop.after(5, [&] { loop.cancel(never); });
  int ticks = 0;
  TimerId ticker = TimerId::None;
  ticker = loop.every(2, [&] {
    if (++ticks == 3) loop.cancel(ticker);  // inside its own task
  });
  loop.after(60, [&] { loop.stop(); });
  loop.cancel(TimerId::None);
  const std::uint64_t before = loop.now_ms();
  loop.run();
  EXPECT_GE(loop.now_ms() - before, 60U);
  EXPECT_EQ(seen, (std::vector<std::string>{"10", "30"}));
  EXPECT_EQ(ticks, 3);
}

TEST(Loop, TurnEndHooksRunBeforeTheLoopWaits) {
  Loop loop;
  int queued = 0;
  int flushed = 0;
  HookId hook = loop.on_turn_end([&] { flushed += std::exchange(queued, 0); });
  loop.after(5, [&] { queued += 2; });
  loop.after(15, [&] {
    EXPECT_EQ(flushed, 2);
    loop.remove_turn_end(hook);
    queued = 5;
  });
  loop.after(25, [&] {
    EXPECT_EQ(flushed, 2);
    loop.stop();
  });
  loop.run();
}

TEST(Loop, AHookMayRemoveItselfAndOthers) {
  Loop loop;
  int a_ran = 0;
  int b_ran = 0;
  HookId a = HookId::None;
  HookId b = HookId::None;
  a = loop.on_turn_end([&] {
    ++a_ran;
    loop.remove_turn_end(b);
    loop.remove_turn_end(a);
  });
  b = loop.on_turn_end([&] { ++b_ran; });
  loop.after(10, [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(a_ran, 1);
  EXPECT_EQ(b_ran, 0);
}

TEST(Loop, HandlesSignals) {
  Loop loop;
  int got = 0;
  loop.on_signal(SIGUSR1, [&] {
    ++got;
    loop.stop();
  });
  loop.after(5, [] { std::raise(SIGUSR1); });
  loop.run();
  EXPECT_EQ(got, 1);
}

TEST(Loop, ManyLoopsComeAndGoInManyThreads) {
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        Loop loop;
        loop.after(1, [&] { loop.stop(); });
        loop.run();
        ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 20);
}

TEST(LoopDeathTest, RefusesToBeTouchedFromAnotherThread) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        LoopThread thread;
        thread.call([] {});
        thread.loop().after(1, [] {});
      },
      "CHECK");
}

TEST(Loop, RunsInTheNextRunWhatWasPostedWhileItStopped) {
  Loop loop;
  bool ran = false;
  loop.after(0, [&] {
    loop.stop();
    EXPECT_TRUE(loop.post([&] {
      ran = true;
      loop.stop();
    }));
  });
  loop.run();
  if (!ran) {
    const TimerId limit = loop.after(5'000, [&] { loop.stop(); });
    loop.run();
    loop.cancel(limit);
  }
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace nostril::net
