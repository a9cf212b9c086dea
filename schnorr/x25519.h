#pragma once

#include "base/rng.h"
#include "schnorr/secret.h"
#include "schnorr/types.h"

#include <optional>
#include <span>
#include <utility>

namespace nostril {

/// An X25519 key (RFC 7748) with its public key, in OpenSSL's arithmetic.
/// Threads: const after construction; callable from any.
class X25519Key {
 public:
  [[nodiscard]] static X25519Key generate(Rng& rng);
  /// Any 32 bytes are a key; RFC 7748's clamping happens at use.
  [[nodiscard]] static X25519Key from_secret(SecretBytes<32> secret);

  [[nodiscard]] const X25519PublicKey& public_key() const { return public_key_; }

  /// The raw shared secret. Nothing when it is all zeros: `peer` is a point of small order.
  [[nodiscard]] std::optional<SecretBytes<32>> shared_secret(const X25519PublicKey& peer) const;

 private:
  X25519Key(SecretBytes<32> secret, const X25519PublicKey& public_key)
      : secret_(std::move(secret)), public_key_(public_key) {}

  SecretBytes<32> secret_;
  X25519PublicKey public_key_;
};

}  // namespace nostril
