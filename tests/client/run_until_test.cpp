// A command's wait ends when what it waits for is there, or its time is over; by nothing else.
#include "client/run_until.h"

#include <gtest/gtest.h>

namespace nostril::client {
namespace {

constexpr std::uint64_t kLongMs = 20'000;

TEST(RunUntil, IsNotEndedByAnothersStop) {
  net::Loop loop;
  int stops = 0;
  const net::TimerId other = loop.every(5, [&] {
    loop.stop();
    ++stops;
  });
  run_until(loop, kLongMs, [&] { return stops >= 20; });
  loop.cancel(other);
  EXPECT_GE(stops, 20);
}

TEST(RunUntil, EndsWithItsTime) {
  net::Loop loop;
  const std::uint64_t begin_ms = loop.now_ms();
  run_until(loop, 60, [] { return false; });
  EXPECT_GE(loop.now_ms() - begin_ms, 60U);
  EXPECT_LT(loop.now_ms() - begin_ms, kLongMs);
}

}  // namespace
}  // namespace nostril::client
