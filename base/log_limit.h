#pragma once

#include "base/log.h"

#include <cstdint>
#include <optional>
#include <utility>

namespace nostril {

/// For log lines that a peer can cause: some of one sort in a while, then only how many there were.
/// One object a sort (a place in the code, a reason). Threads: one.
class LogLimit {
 public:
  static constexpr unsigned kLinesMax = 5;
  static constexpr std::int64_t kWindowMs = 60'000;

  /// Nothing: no line for this one. Else: how many had none since the last line.
  std::optional<std::uint64_t> pass(std::int64_t now_ms) {
    if (now_ms >= window_ends_ms_) {
      window_ends_ms_ = now_ms + kWindowMs;
      lines_ = 0;
    }
    if (lines_ < kLinesMax) {
      ++lines_;
      return std::exchange(left_out_, 0);
    }
    ++left_out_;
    return std::nullopt;
  }

  /// How many had no line, once the window is over; 0: none, or it is not over. To be asked now and
  /// then, or the last of a flood would never be told.
  std::uint64_t take_left_out(std::int64_t now_ms) {
    return now_ms >= window_ends_ms_ ? std::exchange(left_out_, 0) : 0;
  }

 private:
  std::int64_t window_ends_ms_ = 0;
  unsigned lines_ = 0;
  std::uint64_t left_out_ = 0;
};

/// ", and 7 more before it", or nothing.
[[nodiscard]] inline LogText and_more(std::uint64_t count) {
  return public_text(count == 0 ? "" : fmt::format(", and {} more before it", count));
}

}  // namespace nostril
