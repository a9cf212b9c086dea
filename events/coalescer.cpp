#include "events/coalescer.h"

#include <algorithm>

namespace nostril {

void Coalescer::add(ByteSpan bytes, std::int64_t now_ms) {
  if (bytes.empty()) return;
  if (buffer_.empty()) oldest_ms_ = now_ms;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

bool Coalescer::due(std::int64_t now_ms) const {
  const auto deadline = deadline_ms();
  return deadline && now_ms >= *deadline;
}

std::optional<std::int64_t> Coalescer::deadline_ms() const {
  if (buffer_.empty()) return std::nullopt;
  if (remainder_ || buffer_.size() >= limits_.bytes_max) return oldest_ms_;
  return std::max(oldest_ms_, next_frame_ms_);
}

Bytes Coalescer::take(std::size_t bytes_max, std::int64_t now_ms) {
  const auto count = static_cast<std::ptrdiff_t>(std::min(bytes_max, buffer_.size()));
  Bytes out(buffer_.begin(), buffer_.begin() + count);
  buffer_.erase(buffer_.begin(), buffer_.begin() + count);
  overflows_ = now_ms < next_frame_ms_ || !buffer_.empty();
  remainder_ = !buffer_.empty();
  // What was saved up in a pause is `burst_count` frames at most; frames that could not wait are
  // not made up for.
  const std::int64_t saved_from_ms = now_ms - (limits_.burst_count - 1) * limits_.delay_ms;
  next_frame_ms_ = std::clamp(next_frame_ms_, saved_from_ms, now_ms) + limits_.delay_ms;
  return out;
}

}  // namespace nostril
