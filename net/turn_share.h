#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace nostril::net {

using TurnClock = std::chrono::steady_clock;

/// Whose time was spent: the loop's, or other threads', of which each loop has about one for
/// itself.
enum class TurnPlace : std::uint8_t { Loop, Elsewhere };

/// What part of a loop's time is each connection's own: a tenth; or less while those who take no
/// more than their part use up the loop together: half of what such a one takes, down to a
/// hundredth. So twenty that each take a twentieth do not stand in the way of one who takes a
/// hundredth.
class TurnPart {
 public:
  /// What a connection has had in the window that goes on.
  struct Use {
    std::uint32_t window = 0;
    std::uint32_t us = 0;
  };

  /// One in so many.
  [[nodiscard]] std::int64_t divisor() const { return divisor_; }

  /// Time that went to one who `is_busy` (TurnShare) or is not.
  void charge(std::int64_t us, TurnPlace place, bool is_busy, Use& use) {
    Spent& spent = place == TurnPlace::Loop ? here_ : elsewhere_;
    (is_busy ? spent.busy_us : spent.calm_us) += us;
    if (!is_busy) add(us, use);
  }

  /// Once a turn. `idle_us`: how long the loop has waited for something to do, ever.
  void look(TurnClock::time_point now, std::int64_t idle_us) {
    const std::int64_t window_us =
        std::chrono::duration_cast<std::chrono::microseconds>(now - began_).count();
    if (window_us < kWindowUs) return;
    const std::int64_t rested_us = idle_us - idle_us_;
    const std::int64_t calm_us = here_.calm_us + elsewhere_.calm_us;
    const std::int64_t busy_us = here_.busy_us + elsewhere_.busy_us;
    const std::int64_t elsewhere_us = elsewhere_.calm_us + elsewhere_.busy_us;
    // Without a rest, or with rests only while others work on the same processor; or they are full.
    const bool is_full = rested_us < window_us / 10 || calm_us + busy_us > window_us / 10 * 9 ||
                         elsewhere_us > window_us / 2;
    const bool calm_fill_it = is_full && calm_us > busy_us;
    const bool calm_fill_others = elsewhere_.calm_us > window_us / 2;
    const bool calm_have_little =
        here_.calm_us < window_us / 8 && elsewhere_.calm_us < window_us / 8;
    ++window_;
    if (calm_fill_it || calm_fill_others) {
      shrink_below(static_cast<std::int64_t>(squares_ / static_cast<double>(calm_us)), window_us);
    } else if (calm_have_little && !is_full) {
      divisor_ = std::max(divisor_ / 2, kDivisorMin);
    } else if (calm_have_little && window_ % kFullWindows == 0) {
      // Slowly: the busy ones of now would be calm again, and fill it again.
      divisor_ = std::max(divisor_ - 1, kDivisorMin);
    }
    began_ = now;
    idle_us_ = idle_us;
    here_ = elsewhere_ = {};
    squares_ = 0;
  }

 private:
  struct Spent {
    std::int64_t calm_us = 0;
    std::int64_t busy_us = 0;
  };

  static constexpr std::int64_t kWindowUs = 20'000;
  static constexpr std::int64_t kDivisorMin = 10;
  static constexpr std::int64_t kDivisorMax = 100;
  static constexpr std::uint32_t kFullWindows = 16;

  // The mean of what they have had, each microsecond of it counted as one: those who have hardly
  // anything do not lower it, however many they are.
  void add(std::int64_t us, Use& use) {
    if (use.window != window_) use = {window_, 0};
    squares_ += static_cast<double>(us) * static_cast<double>(us + 2 * std::int64_t{use.us});
    use.us += static_cast<std::uint32_t>(us);
  }

  void shrink_below(std::int64_t typical_us, std::int64_t window_us) {
    const std::int64_t below = 2 * window_us / std::max<std::int64_t>(typical_us, 1);
    // At least a little: what they have saved may hide what they take.
    divisor_ = std::clamp(below, std::min(divisor_ + 1, kDivisorMax), kDivisorMax);
  }

  std::int64_t divisor_ = kDivisorMin;
  TurnClock::time_point began_ = TurnClock::now();
  std::int64_t idle_us_ = 0;
  Spent here_;
  Spent elsewhere_;
  double squares_ = 0;  // of what each of the calm has had in this window
  std::uint32_t window_ = 1;
};

/// What a connection has had of its loop's time. A part of the time that passes is its own
/// (TurnPart), and that of kSavedUs at once; one that takes more is busy: the others go first.
/// Nothing is refused, and while nobody else wants anything a busy one has all.
class TurnShare {
 public:
  void charge(std::int64_t us, TurnPlace place, TurnClock::time_point now, TurnPart& part) {
    part.charge(us, place, is_busy(now), use_);
    const std::int64_t now_us = us_of(now);
    // However much it was: who has stopped goes first again soon.
    paid_at_us_ =
        std::min(std::max(paid_at_us_, now_us) + us * part.divisor(), now_us + kDebtUsMax);
  }

  [[nodiscard]] bool is_busy(TurnClock::time_point now) const {
    return paid_at_us_ - us_of(now) > kSavedUs;
  }

  /// When all that it has had was its own; now, if it was.
  [[nodiscard]] std::int64_t due_us(TurnClock::time_point now) const {
    return std::max(paid_at_us_, us_of(now));
  }

 private:
  static constexpr std::int64_t kSavedUs = 20'000;
  static constexpr std::int64_t kDebtUsMax = 500'000;

  static std::int64_t us_of(TurnClock::time_point at) {
    return std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  }

  std::int64_t paid_at_us_ = 0;  // when all that it has had was its own
  TurnPart::Use use_;
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
