#include "events/coalescer.h"

#include <gtest/gtest.h>

namespace nostril {
namespace {

// A coalescer that has made its first frames, the last at 1000.
Coalescer after_the_beginning() {
  Coalescer coalescer({.delay_ms = 40, .bytes_max = 100, .burst_count = 1});
  coalescer.add(as_bytes("first"), 1000);
  EXPECT_EQ(coalescer.take(100, 1000).size(), 5U);
  return coalescer;
}

TEST(Coalescer, GivesTheFirstPiecesAtOnce) {
  Coalescer coalescer({.delay_ms = 40, .bytes_max = 100, .burst_count = 3});
  EXPECT_FALSE(coalescer.deadline_ms());
  for (const std::int64_t at : {1000, 1001, 1011}) {
    coalescer.add(as_bytes("piece"), at);
    EXPECT_TRUE(coalescer.due(at)) << at;
    EXPECT_EQ(coalescer.take(100, at).size(), 5U);
  }
  coalescer.add(as_bytes("piece"), 1012);
  EXPECT_EQ(coalescer.deadline_ms(), 1040);  // four in the first 40 ms, then one each 40
  EXPECT_EQ(coalescer.take(100, 1040).size(), 5U);
  EXPECT_EQ(coalescer.next_frame_ms(), 1080);
}

TEST(Coalescer, SavesUpForPausesButNoMoreThanABurst) {
  Coalescer coalescer({.delay_ms = 40, .bytes_max = 100, .burst_count = 2});
  for (const std::int64_t at : {1000, 1001, 9000, 9001}) {
    coalescer.add(as_bytes("piece"), at);
    EXPECT_TRUE(coalescer.due(at)) << at;
    (void)coalescer.take(100, at);
  }
  coalescer.add(as_bytes("piece"), 9002);
  EXPECT_EQ(coalescer.deadline_ms(), 9040);
}

// One token each 40 ms, some a little early: none of them may wait for the next beat of a clock.
TEST(Coalescer, TakesTheJitterOfASteadyEngineFromWhatItSaved) {
  Coalescer coalescer({.delay_ms = 40, .bytes_max = 100, .burst_count = 3});
  for (std::int64_t token = 0; token < 100; ++token) {
    const std::int64_t at = 1000 + token * 40 - (token % 3) * 4;
    coalescer.add(as_bytes("token"), at);
    EXPECT_TRUE(coalescer.due(at)) << token;
    (void)coalescer.take(100, at);
    EXPECT_FALSE(coalescer.overflows());
  }
}

TEST(Coalescer, KnowsWhenItsBytesComeFasterThanFramesLeave) {
  Coalescer coalescer({.delay_ms = 40, .bytes_max = 4, .burst_count = 1});
  for (const std::int64_t at : {0, 1, 2}) {
    coalescer.add(as_bytes("12345"), at);
    (void)coalescer.take(4, at);
    EXPECT_TRUE(coalescer.overflows()) << at;
    (void)coalescer.take(4, at);
  }
  EXPECT_EQ(coalescer.next_frame_ms(), 42);  // nothing to make up for
  coalescer.add(as_bytes("1"), 50);
  (void)coalescer.take(4, 50);
  EXPECT_FALSE(coalescer.overflows());
}

TEST(Coalescer, GathersUntilTheDelayAfterTheLastFrame) {
  Coalescer coalescer = after_the_beginning();
  coalescer.add(as_bytes("a"), 1010);
  coalescer.add(as_bytes("b"), 1030);
  EXPECT_FALSE(coalescer.due(1039));
  EXPECT_EQ(coalescer.deadline_ms(), 1040);
  EXPECT_TRUE(coalescer.due(1040));
  EXPECT_EQ(as_text(coalescer.take(100, 1040)), "ab");
  EXPECT_FALSE(coalescer.due(9999));
}

TEST(Coalescer, DoesNotLetASlowEngineWait) {
  Coalescer coalescer = after_the_beginning();
  for (const std::int64_t at : {1100, 1200, 1300}) {
    coalescer.add(as_bytes("token"), at);
    EXPECT_EQ(coalescer.deadline_ms(), at);
    EXPECT_EQ(as_text(coalescer.take(100, at)), "token");
  }
}

TEST(Coalescer, DoesNotWaitForMoreThanAFrameful) {
  Coalescer coalescer({.delay_ms = 40, .bytes_max = 4, .burst_count = 1});
  coalescer.add(as_bytes("x"), 0);
  (void)coalescer.take(1, 0);
  coalescer.add(as_bytes("123"), 1);
  EXPECT_FALSE(coalescer.due(1));
  coalescer.add(as_bytes("45"), 2);
  EXPECT_TRUE(coalescer.due(2));
  EXPECT_EQ(as_text(coalescer.take(4, 2)), "1234");
  EXPECT_TRUE(coalescer.due(2));  // a remainder does not wait again
  EXPECT_EQ(as_text(coalescer.take(4, 2)), "5");
}

}  // namespace
}  // namespace nostril
