#pragma once

#include "base/bytes.h"
#include "schnorr/secret.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace nostril {

/// Authenticated encryption under keys that this folder makes: AES-256-GCM (NIST SP 800-38D),
/// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), and NaCl's secretbox with Salsa20 or ChaCha20.
/// OpenSSL 3.0 has the block functions, ChaCha20 and Poly1305; Salsa20 and the two key functions
/// (HSalsa20, HChaCha20) are here. Limit: 2^31 - 1 bytes a message (CHECK). Threads: any.
inline constexpr std::size_t kAeadTagBytes = 16;
inline constexpr std::size_t kGcmNonceBytes = 12;
inline constexpr std::size_t kXNonceBytes = 24;

using AeadKey = std::span<const std::uint8_t, 32>;
using GcmNonce = std::span<const std::uint8_t, kGcmNonceBytes>;
using XNonce = std::span<const std::uint8_t, kXNonceBytes>;

/// Appends ciphertext and tag.
void aes_256_gcm_seal(Bytes& out, AeadKey key, GcmNonce nonce, ByteSpan aad, ByteSpan plaintext);
/// Nothing when the tag is wrong: then no byte of plaintext leaves the function.
[[nodiscard]] std::optional<Bytes> aes_256_gcm_open(AeadKey key, GcmNonce nonce, ByteSpan aad,
                                                    ByteSpan sealed);

/// Appends ciphertext and tag.
void xchacha20_poly1305_seal(Bytes& out, AeadKey key, XNonce nonce, ByteSpan aad,
                             ByteSpan plaintext);
[[nodiscard]] std::optional<Bytes> xchacha20_poly1305_open(AeadKey key, XNonce nonce, ByteSpan aad,
                                                           ByteSpan sealed);

/// NaCl: the tag comes first, and Poly1305 covers the bare ciphertext.
enum class SecretboxCipher : std::uint8_t { XSalsa20, XChaCha20 };
void secretbox_seal(Bytes& out, SecretboxCipher cipher, AeadKey key, XNonce nonce,
                    ByteSpan plaintext);
[[nodiscard]] std::optional<Bytes> secretbox_open(SecretboxCipher cipher, AeadKey key, XNonce nonce,
                                                  ByteSpan sealed);

/// The key functions of both: 32 bytes from a key and 16 bytes.
using HInput = std::span<const std::uint8_t, 16>;
[[nodiscard]] SecretBytes<32> hsalsa20(AeadKey key, HInput input);
[[nodiscard]] SecretBytes<32> hchacha20(AeadKey key, HInput input);

/// AES-128-GCM takes the first half of an AeadKey.
enum class GcmKeySize : std::uint8_t { Bits128, Bits256 };

/// AES-GCM for a sequence of messages: message i has the nonce `base` XOR i (RFC 9180 5.2).
/// A message that does not open leaves the sequence where it was.
/// Threads: one object, one thread.
class GcmSequence {
 public:
  GcmSequence(SecretBytes<32> key, SecretBytes<kGcmNonceBytes> base,
              GcmKeySize size = GcmKeySize::Bits256)
      : key_(std::move(key)), base_(std::move(base)), size_(size) {}

  /// Appends ciphertext and tag of the next message.
  void seal(Bytes& out, ByteSpan aad, ByteSpan plaintext);
  [[nodiscard]] std::optional<Bytes> open(ByteSpan aad, ByteSpan sealed);

 private:
  [[nodiscard]] std::array<std::uint8_t, kGcmNonceBytes> nonce() const;

  SecretBytes<32> key_;
  SecretBytes<kGcmNonceBytes> base_;
  GcmKeySize size_;
  std::uint64_t next_ = 0;
};

}  // namespace nostril
