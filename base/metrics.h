#pragma once

#include <atomic>
#include <cstdint>

namespace nostril {

/// A count that one thread raises and any thread reads. Plain load and store, no locked
/// instruction: each thread has counters of its own, and whoever shows them adds them up.
class Counter {
 public:
  void add(std::uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace nostril
