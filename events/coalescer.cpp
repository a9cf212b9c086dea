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
  if (remainder_ || taken_count_ < limits_.eager_count || buffer_.size() >= limits_.bytes_max) {
    return oldest_ms_;
  }
  return std::max(oldest_ms_, taken_ms_ + limits_.delay_ms);
}

Bytes Coalescer::take(std::size_t bytes_max, std::int64_t now_ms) {
  const auto count = static_cast<std::ptrdiff_t>(std::min(bytes_max, buffer_.size()));
  Bytes out(buffer_.begin(), buffer_.begin() + count);
  buffer_.erase(buffer_.begin(), buffer_.begin() + count);
  remainder_ = !buffer_.empty();
  taken_ms_ = now_ms;
  taken_count_ = std::min(taken_count_ + 1, limits_.eager_count);
  return out;
}

}  // namespace nostril
