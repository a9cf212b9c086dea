#pragma once

#include "base/fixed_bytes.h"
#include "schnorr/types.h"

#include <cstddef>
#include <string>
#include <unordered_set>
#include <vector>

namespace nostril::relay {

inline constexpr std::size_t kManagementBodyBytesMax = 64 << 10;  ///< of one request

/// Who may manage the relay, and what he signs for.
struct AdminRules {
  std::unordered_set<PublicKey, FixedBytesHash> keys;  ///< empty: nobody, and there is no page
  /// The relay's URL as a signed request (NIP-98) may name it: with http or ws, with and without
  /// the last slash.
  std::vector<std::string> urls;
  bool ban_deletes = true;

  [[nodiscard]] bool is_operator(const PublicKey& key) const { return keys.contains(key); }

  [[nodiscard]] bool enabled() const { return !keys.empty(); }
};

}  // namespace nostril::relay
