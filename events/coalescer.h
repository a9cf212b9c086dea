#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace nostril {

/// When collected response bytes become a frame: at once after a pause of `delay_ms`, else when
/// that pause is over or `bytes_max` are there. So a slow engine's tokens never wait, and a fast
/// one makes a frame each `delay_ms`: one token an event would cost 860 bytes and two signature
/// checks a token. An answer's first pieces are at once too: engines begin with a piece that names
/// the role, and the first word must not wait behind it. Threads: one. Times are monotonic
/// milliseconds, given by the caller.
class Coalescer {
 public:
  struct Limits {
    std::int64_t delay_ms = 40;    ///< between two frames, so the longest that a byte waits
    std::size_t bytes_max = 1024;  ///< flush without waiting
    std::size_t eager_count = 3;   ///< frames that an answer begins with, without any wait
  };

  Coalescer() = default;

  explicit Coalescer(const Limits& limits) : limits_(limits) {}

  void add(ByteSpan bytes, std::int64_t now_ms);
  [[nodiscard]] bool due(std::int64_t now_ms) const;
  /// When due() becomes true without more bytes; nothing when empty.
  [[nodiscard]] std::optional<std::int64_t> deadline_ms() const;
  /// Up to `bytes_max` collected bytes, oldest first; what stays is due at once.
  [[nodiscard]] Bytes take(std::size_t bytes_max, std::int64_t now_ms);

  [[nodiscard]] std::size_t size() const { return buffer_.size(); }

 private:
  Limits limits_;
  Bytes buffer_;
  std::int64_t oldest_ms_ = 0;
  std::int64_t taken_ms_ = 0;    ///< the last take(), if taken_count_ is not 0
  std::size_t taken_count_ = 0;  ///< up to eager_count
  bool remainder_ = false;
};

}  // namespace nostril
