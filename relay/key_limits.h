#pragma once

#include "base/clock.h"
#include "relay/client_limits.h"
#include "relay/token_bucket.h"
#include "schnorr/types.h"

#include <array>
#include <cstddef>
#include <mutex>
#include <unordered_map>

namespace nostril::relay {

/// How fast one key may publish, from wherever. A token is taken once the signature has passed:
/// before that anybody could use up anybody's. Threads: any.
class KeyLimits {
 public:
  /// Keys known at a time, 100 bytes each. Beyond, new ones share a bucket (of 16): makers of many
  /// keys then wait for each other.
  static constexpr std::size_t kKeysMax = 65'536;

  /// `clock` and `counts` outlive this.
  KeyLimits(const Rate& rate, const Clock& clock, OverrunCounts& counts,
            std::size_t keys_max = kKeysMax)
      : rate_(rate), clock_(clock), counts_(counts), keys_max_(keys_max) {}

  [[nodiscard]] bool is_limited() const { return !rate_.is_any(); }

  /// It would find a token now: worth a signature check.
  [[nodiscard]] bool has_token(const PublicKey& key);
  [[nodiscard]] bool take(const PublicKey& key);

 private:
  static constexpr std::size_t kShards = 16;

  struct Shard {
    std::mutex mutex;
    // Guarded by mutex.
    std::unordered_map<PublicKey, TokenBucket, FixedBytesHash> buckets;
    TokenBucket rest;
    std::int64_t next_sweep_ms = 0;
  };

  const Rate rate_;
  const Clock& clock_;
  OverrunCounts& counts_;
  const std::size_t keys_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace nostril::relay
