#pragma once

#include "base/rng.h"
#include "schnorr/keys.h"
#include "schnorr/secret.h"
#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace nostril {

/// A secp256k1 key as Ethereum uses it: recoverable ECDSA over Keccak-256, and ECDH with the x
/// coordinate as it is. Not for Nostr: that is Keypair. Threads: const after construction; any.
class EcdsaKey {
 public:
  [[nodiscard]] static EcdsaKey generate(Rng& rng);
  /// Nothing when the bytes are zero or not below the group order.
  [[nodiscard]] static std::optional<EcdsaKey> from_secret(SecretBytes<32> secret);

  /// The account of a Nostr key: its secret, negated where the point's y is odd, so that whoever
  /// has the x-only public key knows the address (lift_x()).
  [[nodiscard]] static EcdsaKey of(const Keypair& key);

  [[nodiscard]] const EcdsaPublicKey& public_key() const { return public_key_; }

  [[nodiscard]] EthereumAddress address() const;

  /// Over a digest, deterministic (RFC 6979). Only for digests of a form of its own: a
  /// transaction's.
  [[nodiscard]] EthereumSignature sign_digest(const Digest& digest) const;

  /// EIP-191 "personal_sign" of `text`: sign_digest() of eip191_digest().
  [[nodiscard]] EthereumSignature sign_personal(std::string_view text) const;

  /// The x coordinate of secret * peer. Nothing when `peer` is no point of the curve.
  [[nodiscard]] std::optional<SecretBytes<32>> shared_x(const EcdsaPublicKey& peer) const;

 private:
  EcdsaKey(SecretBytes<32> secret, const EcdsaPublicKey& public_key)
      : secret_(std::move(secret)), public_key_(public_key) {}

  SecretBytes<32> secret_;
  EcdsaPublicKey public_key_;
};

/// The last 20 bytes of Keccak-256(x, y).
[[nodiscard]] EthereumAddress ethereum_address(const EcdsaPublicKey& key);

/// The point with this x and an even y, as BIP-340 lifts keys and nonces. Nothing when there is
/// none.
[[nodiscard]] std::optional<EcdsaPublicKey> lift_x(std::span<const std::uint8_t, 32> x);

/// True when the 65 bytes are 04 and a point of the curve.
[[nodiscard]] bool is_point(const EcdsaPublicKey& key);

/// Keccak-256("\x19Ethereum Signed Message:\n" <size of text, decimal> text): EIP-191, version 45.
[[nodiscard]] Digest eip191_digest(std::string_view text);

/// Whose signature of `digest` this is; nothing when it is nobody's. High s is refused.
[[nodiscard]] std::optional<EthereumAddress> recover_digest(const Digest& digest,
                                                            const EthereumSignature& signature);

/// The same of an EIP-191 signature of `text`.
[[nodiscard]] std::optional<EthereumAddress> recover_personal(std::string_view text,
                                                              const EthereumSignature& signature);

}  // namespace nostril
