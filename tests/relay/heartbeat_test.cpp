#include "relay/heartbeat.h"

#include <gtest/gtest.h>

namespace nostril::relay {
namespace {

TEST(Heartbeat, IsHeardOnlyWhileEveryLoopTurns) {
  int heard = 0;
  Heartbeat heart(3, [&] { ++heard; });
  for (int i = 0; i < 5; ++i) heart.beat(0);
  heart.beat(2);
  EXPECT_EQ(heard, 0) << "the second one hangs";
  heart.beat(1);
  EXPECT_EQ(heard, 1);
  heart.beat(1);
  heart.beat(2);
  EXPECT_EQ(heard, 1) << "what counted once does not count again";
  heart.beat(0);
  EXPECT_EQ(heard, 2);
}

TEST(Heartbeat, OfOneLoopIsEachOfItsBeats) {
  int heard = 0;
  Heartbeat heart(1, [&] { ++heard; });
  heart.beat(0);
  heart.beat(0);
  EXPECT_EQ(heard, 2);
}

}  // namespace
}  // namespace nostril::relay
