#include "base/thread_turns.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace nostril {

namespace {

// struct sched_attr of sched_setattr(2) in its first version; the C library has none.
struct SchedAttributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime_ns;
  std::uint64_t deadline_ns;
  std::uint64_t period_ns;
};

static_assert(sizeof(SchedAttributes) == 48);

constexpr pid_t kThisThread = 0;

}  // namespace

bool set_thread_slice(std::chrono::microseconds slice) {
  SchedAttributes attributes{};
  // All else stays as it is: the nice value is the operator's.
  if (::syscall(SYS_sched_getattr, kThisThread, &attributes, sizeof attributes, 0) != 0) {
    return false;
  }
  if (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH) return false;
  attributes.size = sizeof attributes;
  attributes.runtime_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(slice).count());
  return ::syscall(SYS_sched_setattr, kThisThread, &attributes, 0) == 0;
}

void give_way() {
  (void)::sched_yield();  // never fails
}

}  // namespace nostril
