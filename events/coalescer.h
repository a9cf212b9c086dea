#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace nostril {

/// When collected response bytes become a frame: the first ones at once, later ones after
/// `delay_ms` or when `bytes_max` are there. One token an event would cost 860 bytes and two
/// signature checks a token.
/// Threads: one. Times are monotonic milliseconds, given by the caller.
class Coalescer {
 public:
  struct Limits {
    std::int64_t delay_ms = 40;    ///< longest that a byte waits
    std::size_t bytes_max = 1024;  ///< flush without waiting
  };

  Coalescer() = default;

  explicit Coalescer(const Limits& limits) : limits_(limits) {}

  void add(ByteSpan bytes, std::int64_t now_ms);
  [[nodiscard]] bool due(std::int64_t now_ms) const;
  /// When due() becomes true without more bytes; nothing when empty.
  [[nodiscard]] std::optional<std::int64_t> deadline_ms() const;
  /// Up to `bytes_max` collected bytes, oldest first; what stays is due at once.
  [[nodiscard]] Bytes take(std::size_t bytes_max);

  [[nodiscard]] std::size_t size() const { return buffer_.size(); }

 private:
  Limits limits_;
  Bytes buffer_;
  std::int64_t oldest_ms_ = 0;
  bool started_ = false;  ///< the first bytes have been added
  bool urgent_ = false;   ///< the first bytes, or a remainder
};

}  // namespace nostril
