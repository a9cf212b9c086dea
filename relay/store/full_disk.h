#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace nostril::relay {

/// Whether the store's disk is full, as far as known, and when it is worth a try again: after one
/// second, then two, four, … 30. Between the tries whoever wants to write is told at once.
///
/// Threads: is_full() from any, the others from the writer's.
class FullDisk {
 public:
  static constexpr std::int64_t kPauseMsMin = 1'000;
  static constexpr std::int64_t kPauseMsMax = 30'000;

  [[nodiscard]] bool is_full() const { return is_full_.load(); }

  /// Whether events may be tried to be stored.
  [[nodiscard]] bool may_try(std::int64_t now_ms) const {
    return !is_full() || now_ms >= next_try_ms_;
  }

  /// A write has failed for want of room.
  void found_full(std::int64_t now_ms) {
    pause_ms_ = is_full() ? std::min(2 * pause_ms_, kPauseMsMax) : kPauseMsMin;
    next_try_ms_ = now_ms + pause_ms_;
    is_full_.store(true);
  }

  /// Something was written, or there is room. True: it was full until now.
  bool found_room() { return is_full_.exchange(false); }

 private:
  std::atomic<bool> is_full_{false};
  std::int64_t pause_ms_ = 0;
  std::int64_t next_try_ms_ = 0;
};

}  // namespace nostril::relay
