#pragma once

#include "base/rng.h"
#include "schnorr/secret.h"
#include "schnorr/types.h"

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace nostril {

/// A secp256k1 secret key with its public key: signs BIP-340 and derives shared secrets. The point
/// is computed once, at construction (about as long as one signature), not at each signature.
/// Threads: const after construction; sign() and shared_x() from any. The library's blinding of
/// scalar multiplication is seeded once a process from the system's randomness.
class Keypair {
 public:
  [[nodiscard]] static Keypair generate(Rng& rng);
  /// Nothing when the bytes are zero or not below the group order.
  [[nodiscard]] static std::optional<Keypair> from_secret(ByteSpan secret);

  Keypair(Keypair&&) noexcept = default;
  Keypair& operator=(Keypair&&) noexcept = default;
  Keypair(const Keypair&) = delete;
  Keypair& operator=(const Keypair&) = delete;
  ~Keypair() = default;

  [[nodiscard]] Keypair duplicate() const;

  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }

  /// BIP-340 with 32 bytes of fresh auxiliary randomness.
  [[nodiscard]] Signature sign(const Digest& message, Rng& rng) const;
  /// BIP-340 over a message of any size with given auxiliary bytes: for test vectors.
  [[nodiscard]] Signature sign_with_aux(ByteSpan message,
                                        const std::array<std::uint8_t, 32>& aux) const;

  /// The x coordinate of secret * lift_x(peer), unhashed: NIP-44's shared secret. Nothing when
  /// `peer` is no point of the curve.
  [[nodiscard]] std::optional<SecretBytes<32>> shared_x(const PublicKey& peer) const;

  /// HKDF-SHA256 of the secret, with `label` as info: a secret of its own for another algorithm or
  /// use. The same at each start; who has it does not have this key.
  [[nodiscard]] SecretBytes<32> derive_secret(std::string_view label) const;

  /// For writing the key to its owner (key files, nsec). Nothing else may read it.
  [[nodiscard]] std::span<const std::uint8_t, 32> expose_secret() const { return secret_.expose(); }

 private:
  static constexpr std::size_t kLibraryKeypairBytes = 96;

  Keypair(SecretBytes<32> secret, SecretBytes<kLibraryKeypairBytes> keypair,
          const PublicKey& public_key)
      : secret_(std::move(secret)), keypair_(std::move(keypair)), public_key_(public_key) {}

  SecretBytes<32> secret_;
  SecretBytes<kLibraryKeypairBytes> keypair_;  ///< a secp256k1_keypair, opaque to us
  PublicKey public_key_;
};

}  // namespace nostril
