#pragma once

#include <cstdint>

namespace nostril {

/// Time as a dependency, so that tests move it. Threads: const and callable from any.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds since 1970-01-01 UTC; may jump with the system's clock.
  [[nodiscard]] virtual std::int64_t unix_ms() const = 0;
  /// Milliseconds of a clock that never goes back; only differences mean something.
  [[nodiscard]] virtual std::int64_t monotonic_ms() const = 0;

  /// Seconds since 1970-01-01 UTC: Nostr's `created_at`.
  [[nodiscard]] std::int64_t unix_s() const { return unix_ms() / 1000; }

 protected:
  Clock() = default;
  Clock(const Clock&) = default;
  Clock& operator=(const Clock&) = default;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t unix_ms() const override;
  [[nodiscard]] std::int64_t monotonic_ms() const override;
};

/// Stands still until told; for tests. One thread.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(std::int64_t unix_s) : unix_ms_(unix_s * 1000) {}

  [[nodiscard]] std::int64_t unix_ms() const override { return unix_ms_; }

  [[nodiscard]] std::int64_t monotonic_ms() const override { return unix_ms_; }

  void advance_ms(std::int64_t delta_ms) { unix_ms_ += delta_ms; }

 private:
  std::int64_t unix_ms_;
};

}  // namespace nostril
