#include "relay/key_limits.h"

#include <algorithm>

namespace nostril::relay {

namespace {
constexpr std::int64_t kSweepMs = 1'000;
}

bool KeyLimits::has_token(const PublicKey& key) {
  if (!is_limited()) return true;
  Shard& shard = shards_[key.bytes[0] % kShards];
  const std::int64_t now_ms = clock_.monotonic_ms();
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.buckets.find(key);
  if (found == shard.buckets.end() || found->second.wait_ms(rate_, now_ms) == 0) return true;
  counts_.add(Overrun::KeyEvents);
  return false;
}

bool KeyLimits::take(const PublicKey& key) {
  if (!is_limited()) return true;
  Shard& shard = shards_[key.bytes[0] % kShards];
  const std::int64_t now_ms = clock_.monotonic_ms();
  const std::lock_guard lock(shard.mutex);
  auto found = shard.buckets.find(key);
  if (found == shard.buckets.end()) {
    if (now_ms >= shard.next_sweep_ms) {
      shard.next_sweep_ms = now_ms + kSweepMs;
      std::erase_if(shard.buckets, [&](const auto& entry) { return entry.second.is_full(now_ms); });
    }
    if (shard.buckets.size() < std::max<std::size_t>(1, keys_max_ / kShards)) {
      found = shard.buckets.try_emplace(key).first;
    }
  }
  TokenBucket& bucket = found == shard.buckets.end() ? shard.rest : found->second;
  if (bucket.try_take(rate_, now_ms)) return true;
  counts_.add(Overrun::KeyEvents);
  return false;
}

}  // namespace nostril::relay
