#pragma once

#include "base/rng.h"
#include "schnorr/ecdsa_key.h"
#include "schnorr/types.h"
#include "schnorr/x25519.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace nostril {

/// One message to a public key, by a key pair made for it alone:
///
///   | 32 (X25519) or 65 (secp256k1) | 12 (AES-GCM) or 24 | size of the text | 16  |
///   | ephemeral public key          | nonce              | ciphertext       | tag |
///
/// NaCl's two boxes have the tag before the ciphertext. The forms that other people's field
/// encryption uses; what we design ourselves uses NIP-44 or HPKE. Threads: any.
enum class BoxCipher : std::uint8_t {
  AesGcm,       ///< AES-256-GCM, key = HKDF-SHA256(no salt, shared secret, info)
  XChaCha,      ///< XChaCha20-Poly1305, key as above
  NaclXChaCha,  ///< secretbox with XChaCha20, key = HChaCha20(shared secret, 0); libsodium
  NaclXSalsa,   ///< secretbox with XSalsa20, key = HSalsa20(shared secret, 0); NaCl, tweetnacl
  BareXChaCha,  ///< XChaCha20-Poly1305 under NaclXChaCha's key; an old Rust library
};

struct BoxSuite {
  BoxCipher cipher = BoxCipher::AesGcm;
  std::string_view info = {};  ///< of HKDF, where the cipher has one
};

/// `aad` must be empty unless the cipher is AesGcm (CHECK). Nothing when `to` is of small order.
[[nodiscard]] std::optional<Bytes> seal_box(const BoxSuite& suite, const X25519PublicKey& to,
                                            ByteSpan aad, ByteSpan plaintext, Rng& rng);
/// Nothing for every failure alike: too short, a bad ephemeral key, a wrong tag.
[[nodiscard]] std::optional<Bytes> open_box(const BoxSuite& suite, const X25519Key& key,
                                            ByteSpan aad, ByteSpan sealed);

/// The same on secp256k1, AES-256-GCM only. Nothing when `to` is no point.
[[nodiscard]] std::optional<Bytes> seal_ecdsa_box(std::string_view info, const EcdsaPublicKey& to,
                                                  ByteSpan aad, ByteSpan plaintext, Rng& rng);
[[nodiscard]] std::optional<Bytes> open_ecdsa_box(std::string_view info, const EcdsaKey& key,
                                                  ByteSpan aad, ByteSpan sealed);

}  // namespace nostril
