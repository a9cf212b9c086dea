#pragma once

#include "base/rng.h"
#include "schnorr/secret.h"
#include "schnorr/types.h"

#include <optional>
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

  [[nodiscard]] const EcdsaPublicKey& public_key() const { return public_key_; }

  [[nodiscard]] EthereumAddress address() const;

  /// EIP-191 "personal_sign" of `text`, deterministic (RFC 6979).
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

/// True when the 65 bytes are 04 and a point of the curve.
[[nodiscard]] bool is_point(const EcdsaPublicKey& key);

/// Keccak-256("\x19Ethereum Signed Message:\n" <size of text, decimal> text): EIP-191, version 45.
[[nodiscard]] Digest eip191_digest(std::string_view text);

/// Whose EIP-191 signature of `text` this is; nothing when it is nobody's. High s is refused.
[[nodiscard]] std::optional<EthereumAddress> recover_personal(std::string_view text,
                                                              const EthereumSignature& signature);

}  // namespace nostril
