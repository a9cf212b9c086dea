#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace nostril {

/// When collected response bytes become a frame: one frame each `delay_ms` on average, and after a
/// pause up to `burst_count` at once; or as soon as `bytes_max` are there. So the tokens of an
/// engine that is slower than `delay_ms` a token never wait, a fast one makes a frame each
/// `delay_ms` (one token an event would cost 860 bytes and two signature checks a token), and an
/// answer's first pieces leave at once: engines begin with a piece that names the role, and the
/// first word must not wait behind it. Threads: one. Times are monotonic milliseconds, given by the
/// caller.
class Coalescer {
 public:
  struct Limits {
    std::int64_t delay_ms = 40;    ///< between two frames, so the longest that a byte waits
    std::size_t bytes_max = 1024;  ///< flush without waiting
    std::int64_t burst_count = 3;  ///< frames that may follow a pause, or begin an answer, unwaited
  };

  Coalescer() = default;

  explicit Coalescer(const Limits& limits) : limits_(limits) {}

  void add(ByteSpan bytes, std::int64_t now_ms);
  [[nodiscard]] bool due(std::int64_t now_ms) const;
  /// When due() becomes true without more bytes; nothing when empty.
  [[nodiscard]] std::optional<std::int64_t> deadline_ms() const;

  /// Less than `bytes_max` that come before this leave no earlier.
  [[nodiscard]] std::int64_t next_frame_ms() const { return next_frame_ms_; }

  /// The bytes of the last frame came faster than one of `bytes_max` each `delay_ms`.
  [[nodiscard]] bool overflows() const { return overflows_; }

  /// Up to `bytes_max` collected bytes, oldest first; what stays is due at once.
  [[nodiscard]] Bytes take(std::size_t bytes_max, std::int64_t now_ms);

  [[nodiscard]] std::size_t size() const { return buffer_.size(); }

 private:
  Limits limits_;
  Bytes buffer_;
  std::int64_t oldest_ms_ = 0;
  std::int64_t next_frame_ms_ = std::numeric_limits<std::int64_t>::min();
  bool overflows_ = false;
  bool remainder_ = false;
};

}  // namespace nostril
