#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace nostril::relay {

/// How fast tokens come, and how many may be taken at once. 0 a second: any number.
struct Rate {
  double a_second = 0;
  double burst = 1;

  [[nodiscard]] bool is_any() const { return a_second <= 0; }
};

/// A token bucket in one word: the time at which it will be full again. Without a lock, so one may
/// be shared by all loops. Times are of a clock that never goes back. Threads: any.
class TokenBucket {
 public:
  /// False when they are not there: then none are taken.
  [[nodiscard]] bool try_take(const Rate& rate, std::int64_t now_ms, double count = 1) {
    if (rate.is_any()) return true;
    const std::int64_t now_ns = now_ms * kNsAMs;
    std::int64_t full_at_ns = full_at_ns_.load(std::memory_order_relaxed);
    while (true) {
      const std::int64_t after_ns = std::max(full_at_ns, now_ns) + cost_ns(rate, count);
      if (after_ns - now_ns > cost_ns(rate, rate.burst)) return false;
      if (full_at_ns_.compare_exchange_weak(full_at_ns, after_ns, std::memory_order_relaxed)) {
        return true;
      }
    }
  }

  /// Takes them whether they are there or not; milliseconds until the debt is paid, 0: there is
  /// none.
  std::int64_t spend(const Rate& rate, std::int64_t now_ms, double count = 1) {
    if (rate.is_any()) return 0;
    const std::int64_t now_ns = now_ms * kNsAMs;
    std::int64_t full_at_ns = full_at_ns_.load(std::memory_order_relaxed);
    std::int64_t after_ns = 0;
    do {
      after_ns = std::max(full_at_ns, now_ns) + cost_ns(rate, count);
    } while (!full_at_ns_.compare_exchange_weak(full_at_ns, after_ns, std::memory_order_relaxed));
    const std::int64_t debt_ns = after_ns - now_ns - cost_ns(rate, rate.burst);
    return debt_ns <= 0 ? 0 : (debt_ns + kNsAMs - 1) / kNsAMs;
  }

  /// Milliseconds until one token is there.
  [[nodiscard]] std::int64_t wait_ms(const Rate& rate, std::int64_t now_ms) const {
    if (rate.is_any()) return 0;
    const std::int64_t left_ns = full_at_ns_.load(std::memory_order_relaxed) - now_ms * kNsAMs;
    const std::int64_t wait_ns = left_ns + cost_ns(rate, 1) - cost_ns(rate, rate.burst);
    return wait_ns <= 0 ? 0 : (wait_ns + kNsAMs - 1) / kNsAMs;
  }

  [[nodiscard]] bool is_full(std::int64_t now_ms) const {
    return full_at_ns_.load(std::memory_order_relaxed) <= now_ms * kNsAMs;
  }

 private:
  static constexpr std::int64_t kNsAMs = 1'000'000;

  static std::int64_t cost_ns(const Rate& rate, double count) {
    return static_cast<std::int64_t>(count * 1e9 / rate.a_second);
  }

  std::atomic<std::int64_t> full_at_ns_{0};
};

}  // namespace nostril::relay
