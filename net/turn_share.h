#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace nostril::net {

/// What a connection has had of its loop's time. A tenth of the time that passes is its own, and
/// kSavedUs of that at once; one that takes more is busy: the others go first. Nothing is refused,
/// and while nobody else wants anything a busy one has all.
class TurnShare {
 public:
  using Clock = std::chrono::steady_clock;

  void charge(std::int64_t us, Clock::time_point now) {
    const std::int64_t now_us = us_of(now);
    // However much it was: who has stopped goes first again soon.
    paid_at_us_ = std::min(std::max(paid_at_us_, now_us) + us * kPart, now_us + kDebtUsMax);
  }

  [[nodiscard]] bool is_busy(Clock::time_point now) const {
    return paid_at_us_ - us_of(now) > kSavedUs * kPart;
  }

 private:
  static constexpr std::int64_t kPart = 10;
  static constexpr std::int64_t kSavedUs = 2'000;
  static constexpr std::int64_t kDebtUsMax = 500'000;

  static std::int64_t us_of(Clock::time_point at) {
    return std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  }

  std::int64_t paid_at_us_ = 0;  // when all that it has had was its own
};

/// Time since it was made.
class Stopwatch {
 public:
  Stopwatch() = default;

  [[nodiscard]] TurnShare::Clock::time_point began() const { return began_; }

  [[nodiscard]] std::int64_t us() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(TurnShare::Clock::now() - began_)
        .count();
  }

 private:
  TurnShare::Clock::time_point began_ = TurnShare::Clock::now();
};

}  // namespace nostril::net
