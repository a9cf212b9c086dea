#pragma once

#include <atomic>
#include <cstddef>

namespace nostril::net {

/// What a connection may always have waiting, whatever the others have.
inline constexpr std::size_t kMemoryShareBytes = 64 << 10;

/// Less than this of one connection is not counted.
inline constexpr std::size_t kMemoryUncountedBytes = 4 << 10;

/// Bytes that wait for all connections of several servers together. A text that many wait for
/// counts for each of them: rather too much than too little. Threads: any.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// One who had `before` has `after`.
  void change(std::size_t before, std::size_t after) {
    if (before == after) return;
    used_.fetch_add(after - before, std::memory_order_relaxed);  // wraps where it falls
  }

  [[nodiscard]] std::size_t used() const { return used_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::size_t bytes_max() const { return bytes_max_; }

  [[nodiscard]] bool is_full() const { return used() > bytes_max_; }

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> used_{0};
};

}  // namespace nostril::net
