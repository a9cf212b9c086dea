#pragma once

#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <span>

namespace nostril {

/// A compressed point of secp256k1 (SEC 1): 02 or 03, x. What Lightning calls a node id. Not
/// checked by its type.
using CompressedPublicKey = FixedBytes<struct CompressedPublicKeyTag, 33>;

/// Whose ECDSA signature (r, s) of `digest` this is. `recovery`: 0 to 3. s may be high: who has no
/// key to compare with has no second signature to tell it from. Threads: any.
[[nodiscard]] std::optional<CompressedPublicKey> recover_ecdsa(
    const Digest& digest, std::span<const std::uint8_t, 64> signature, int recovery);

/// False for a high s, too. Threads: any.
[[nodiscard]] bool verify_ecdsa(const Digest& digest, std::span<const std::uint8_t, 64> signature,
                                const CompressedPublicKey& key);

/// True when the 33 bytes are 02 or 03 and the x of a point.
[[nodiscard]] bool is_point(const CompressedPublicKey& key);

}  // namespace nostril
