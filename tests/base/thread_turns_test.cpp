#include "base/thread_turns.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <thread>

namespace nostril {
namespace {

// sched_attr: policy at 4, nice at 16, runtime at 24.
struct Attributes {
  std::array<std::uint32_t, 6> words{};
  std::uint64_t runtime_ns = 0;
  std::array<std::uint64_t, 2> rest{};
};

static_assert(sizeof(Attributes) == 48);

Attributes of_this_thread() {
  Attributes out;
  EXPECT_EQ(::syscall(SYS_sched_getattr, 0, &out, sizeof out, 0), 0);
  return out;
}

TEST(ThreadTurns, SliceIsThisThreadsAndChangesNothingElse) {
  using std::chrono::microseconds;
  const Attributes before = of_this_thread();
  std::thread([&] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 3), 0);
    const Attributes there = of_this_thread();
    const bool is_set = set_thread_slice(microseconds(400));
    const Attributes now = of_this_thread();
    EXPECT_EQ(now.words, there.words);  // the policy, the nice value
    // Before Linux 6.12 nothing is there to be set, and nothing is said of it.
    if (is_set && there.runtime_ns != 0) {
      EXPECT_EQ(now.runtime_ns, 400'000U);
    }
    give_way();
  }).join();
  EXPECT_EQ(of_this_thread().runtime_ns, before.runtime_ns);
}

}  // namespace
}  // namespace nostril
