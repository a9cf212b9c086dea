#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace nostril::net {

using TurnClock = std::chrono::steady_clock;

/// What part of a loop's time is each connection's own: a tenth, or less while those who take no
/// more than their part use up the loop together, down to a hundredth. So twenty that each take
/// a twentieth do not stand in the way of one who takes a hundredth.
class TurnPart {
 public:
  /// One in so many.
  [[nodiscard]] std::int64_t divisor() const { return divisor_; }

  /// Time of the loop for one who `is_busy` (TurnShare) or is not.
  void charge(std::int64_t us, bool is_busy) { (is_busy ? busy_us_ : calm_us_) += us; }

  /// Time of other threads, of which each loop has about one for itself.
  void charge_elsewhere(std::int64_t us, bool is_busy) {
    (is_busy ? busy_elsewhere_us_ : calm_elsewhere_us_) += us;
  }

  /// Once a turn. `idle_us`: how long the loop has waited for something to do, ever.
  void look(TurnClock::time_point now, std::int64_t idle_us) {
    const std::int64_t window_us =
        std::chrono::duration_cast<std::chrono::microseconds>(now - began_).count();
    if (window_us < kWindowUs) return;
    const std::int64_t rested_us = idle_us - idle_us_;
    const bool loop_is_full = rested_us < window_us / 10;
    const bool calm_fill_it = loop_is_full && calm_us_ > busy_us_;
    const bool calm_fill_others = calm_elsewhere_us_ > window_us / 2;
    const bool calm_have_little = calm_us_ < window_us / 8 && calm_elsewhere_us_ < window_us / 8;
    if (calm_fill_it || calm_fill_others) {
      divisor_ = std::min(divisor_ * 2, kDivisorMax);
    } else if (calm_have_little) {
      divisor_ = std::max(divisor_ * 7 / 8, kDivisorMin);
    }
    began_ = now;
    idle_us_ = idle_us;
    calm_us_ = busy_us_ = calm_elsewhere_us_ = busy_elsewhere_us_ = 0;
  }

 private:
  static constexpr std::int64_t kWindowUs = 10'000;
  static constexpr std::int64_t kDivisorMin = 10;
  static constexpr std::int64_t kDivisorMax = 100;

  std::int64_t divisor_ = kDivisorMin;
  TurnClock::time_point began_ = TurnClock::now();
  std::int64_t idle_us_ = 0;
  std::int64_t calm_us_ = 0;
  std::int64_t busy_us_ = 0;
  std::int64_t calm_elsewhere_us_ = 0;
  std::int64_t busy_elsewhere_us_ = 0;
};

/// What a connection has had of its loop's time. A part of the time that passes is its own
/// (TurnPart), and kSavedUs of that at once; one that takes more is busy: the others go first.
/// Nothing is refused, and while nobody else wants anything a busy one has all.
class TurnShare {
 public:
  void charge(std::int64_t us, TurnClock::time_point now, const TurnPart& part) {
    const std::int64_t now_us = us_of(now);
    // However much it was: who has stopped goes first again soon.
    paid_at_us_ =
        std::min(std::max(paid_at_us_, now_us) + us * part.divisor(), now_us + kDebtUsMax);
  }

  [[nodiscard]] bool is_busy(TurnClock::time_point now, const TurnPart& part) const {
    return paid_at_us_ - us_of(now) > kSavedUs * part.divisor();
  }

  /// When all that it has had was its own; now, if it was.
  [[nodiscard]] std::int64_t due_us(TurnClock::time_point now) const {
    return std::max(paid_at_us_, us_of(now));
  }

 private:
  static constexpr std::int64_t kSavedUs = 2'000;
  static constexpr std::int64_t kDebtUsMax = 500'000;

  static std::int64_t us_of(TurnClock::time_point at) {
    return std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  }

  std::int64_t paid_at_us_ = 0;  // when all that it has had was its own
};

/// Time since it was made.
class Stopwatch {
 public:
  Stopwatch() = default;

  [[nodiscard]] TurnClock::time_point began() const { return began_; }

  [[nodiscard]] std::int64_t us() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(TurnClock::now() - began_).count();
  }

 private:
  TurnClock::time_point began_ = TurnClock::now();
};

}  // namespace nostril::net
