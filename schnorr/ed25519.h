#pragma once

#include "base/rng.h"
#include "schnorr/secret.h"
#include "schnorr/types.h"
#include "schnorr/x25519.h"

#include <optional>
#include <utility>

namespace nostril {

/// An Ed25519 key (RFC 8032). Threads: const after construction; callable from any.
class Ed25519Key {
 public:
  [[nodiscard]] static Ed25519Key generate(Rng& rng);
  [[nodiscard]] static Ed25519Key from_seed(SecretBytes<32> seed);

  [[nodiscard]] const Ed25519PublicKey& public_key() const { return public_key_; }

  [[nodiscard]] Ed25519Signature sign(ByteSpan message) const;

  /// The X25519 key of the same scalar, SHA-512(seed)[0..32]: others encrypt to the signing key.
  [[nodiscard]] X25519Key to_x25519() const;

 private:
  Ed25519Key(SecretBytes<32> seed, const Ed25519PublicKey& public_key)
      : seed_(std::move(seed)), public_key_(public_key) {}

  SecretBytes<32> seed_;
  Ed25519PublicKey public_key_;
};

[[nodiscard]] bool ed25519_verify(const Ed25519PublicKey& key, ByteSpan message,
                                  const Ed25519Signature& signature);

/// The X25519 public key of the same point: u = (1 + y) / (1 - y). Nothing when the bytes are no
/// canonical point of the curve, or its neutral element, which has no u. Public data: not constant
/// in time.
[[nodiscard]] std::optional<X25519PublicKey> to_x25519(const Ed25519PublicKey& key);

}  // namespace nostril
