#include "events/coalescer.h"

#include <algorithm>

namespace nostril {

void Coalescer::add(ByteSpan bytes, std::int64_t now_ms) {
  if (bytes.empty()) return;
  if (buffer_.empty()) oldest_ms_ = now_ms;
  if (!started_) urgent_ = true;
  started_ = true;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

bool Coalescer::due(std::int64_t now_ms) const {
  const auto deadline = deadline_ms();
  return deadline && now_ms >= *deadline;
}

std::optional<std::int64_t> Coalescer::deadline_ms() const {
  if (buffer_.empty()) return std::nullopt;
  if (urgent_ || buffer_.size() >= limits_.bytes_max) return oldest_ms_;
  return oldest_ms_ + limits_.delay_ms;
}

Bytes Coalescer::take(std::size_t bytes_max) {
  const auto count = static_cast<std::ptrdiff_t>(std::min(bytes_max, buffer_.size()));
  Bytes out(buffer_.begin(), buffer_.begin() + count);
  buffer_.erase(buffer_.begin(), buffer_.begin() + count);
  urgent_ = !buffer_.empty();
  return out;
}

}  // namespace nostril
