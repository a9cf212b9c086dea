#include "events/coalescer.h"

#include <gtest/gtest.h>

namespace nostril {
namespace {

TEST(Coalescer, GivesTheFirstBytesAtOnceAndTheNextAfterTheDelay) {
  Coalescer coalescer;
  EXPECT_FALSE(coalescer.deadline_ms());
  coalescer.add(as_bytes("first"), 1000);
  EXPECT_TRUE(coalescer.due(1000));
  EXPECT_EQ(coalescer.take(100).size(), 5U);
  coalescer.add(as_bytes("a"), 1010);
  coalescer.add(as_bytes("b"), 1030);
  EXPECT_FALSE(coalescer.due(1049));
  EXPECT_EQ(coalescer.deadline_ms(), 1050);
  EXPECT_TRUE(coalescer.due(1050));
  EXPECT_EQ(as_text(coalescer.take(100)), "ab");
  EXPECT_FALSE(coalescer.due(9999));
}

TEST(Coalescer, DoesNotWaitForMoreThanAFrameful) {
  Coalescer coalescer({.delay_ms = 40, .bytes_max = 4});
  coalescer.add(as_bytes("x"), 0);
  (void)coalescer.take(1);
  coalescer.add(as_bytes("123"), 1);
  EXPECT_FALSE(coalescer.due(1));
  coalescer.add(as_bytes("45"), 2);
  EXPECT_TRUE(coalescer.due(2));
  EXPECT_EQ(as_text(coalescer.take(4)), "1234");
  EXPECT_TRUE(coalescer.due(2));  // a remainder does not wait again
  EXPECT_EQ(as_text(coalescer.take(4)), "5");
}

}  // namespace
}  // namespace nostril
