#include "node/rate_limit.h"

#include <algorithm>

namespace nostril::node {

namespace {
constexpr std::int64_t kMinuteMs = 60'000;
}

void RateLimit::forget_full(std::int64_t now_ms) {
  std::erase_if(full_at_ms_, [now_ms](const auto& entry) { return entry.second <= now_ms; });
}

std::int64_t RateLimit::take(const net::PeerAddress& peer, std::int64_t now_ms) {
  auto group = net::peer_group(peer);
  if (full_at_ms_.size() >= addresses_max_ && !full_at_ms_.contains(group)) forget_full(now_ms);
  if (full_at_ms_.size() >= addresses_max_ && !full_at_ms_.contains(group)) group = {};
  const std::int64_t token_ms = kMinuteMs / per_minute_;
  std::int64_t& full_at_ms = full_at_ms_[group];
  const std::int64_t after_ms = std::max(full_at_ms, now_ms) + token_ms;
  const std::int64_t wait_ms = after_ms - now_ms - kMinuteMs;
  if (wait_ms > 0) return wait_ms;
  full_at_ms = after_ms;
  return 0;
}

}  // namespace nostril::node
