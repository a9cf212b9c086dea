#pragma once

#include "schnorr/types.h"

#include <optional>
#include <vector>

namespace nostril::client {

/// Whose word counts, and what is told to others. HOME/config.toml, [reputation].
struct ReputationSettings {
  std::vector<PublicKey> follows;
  /// Whose follow list (kind 3) counts besides; relays then see whose words we ask for.
  std::optional<PublicKey> follows_of;
  std::vector<PublicKey> providers;  ///< NIP-85
  /// Whose list of providers (kind 10040) counts besides: the user's own. Nobody's unless named.
  std::optional<PublicKey> providers_of;
  /// Proofs that hold records of our own requests are published, too. Under a throw-away key, but a
  /// record has the SHA-256 of a request.
  bool publish_proofs = false;
};

}  // namespace nostril::client
