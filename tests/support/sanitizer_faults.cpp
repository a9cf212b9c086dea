// sanitizer-faults address|undefined|thread: makes the mistake that this sanitizer finds. For the
// test of tests/support/sanitized.
#include <cstdio>
#include <limits>
#include <memory>
#include <string_view>
#include <thread>

namespace {

int use_after_free() {
  auto owner = std::make_unique<int>(1);
  const volatile int* freed = owner.get();
  owner.reset();
  return *freed;
}

int signed_overflow() {
  volatile int largest = std::numeric_limits<int>::max();
  return largest + 1;
}

int data_race() {
  int shared = 0;
  std::thread other([&shared] { ++shared; });
  ++shared;
  other.join();
  return shared;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view fault = argc > 1 ? argv[1] : "";
  int seen = 0;
  if (fault == "address") seen = use_after_free();
  if (fault == "undefined") seen = signed_overflow();
  if (fault == "thread") seen = data_race();
  std::printf("nothing has noticed %d\n", seen);
}
