#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/hash.h"
#include "schnorr/keys.h"
#include "schnorr/secret.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace nostril {

/// NIP-44 version 2: ChaCha20 + HMAC-SHA256 with padding, in base64. Payload before base64:
///
///   | 1       | 32    | 2 or 6        | padded size      | 32  |
///   | version | nonce | plaintext size| plaintext, zeros | MAC |
///
/// Size, plaintext and zeros are encrypted; the MAC covers nonce and ciphertext and is compared, in
/// constant time, before anything is decrypted. The size is a big-endian u16; above 65,535 it is
/// the extended form of 2026-06: two zero bytes, then a big-endian u32. Threads: any.
inline constexpr std::size_t kNip44PlaintextBytesMax = 16U << 20;

enum class Nip44Error : std::uint8_t {
  BadSize,     ///< shorter or longer than any payload of a permitted plaintext
  BadVersion,  ///< not version 2
  BadBase64,
  BadMac,  ///< another key, or changed on the way
  BadPadding,
};
std::string_view to_string(Nip44Error error);

/// The 32 bytes that two parties share: HKDF-extract(salt "nip44-v2", shared x), or a session key
/// derived by other means (spec/05-session.md). Keep it for as long as the peer talks: derive()
/// costs 20 times a short message. Threads: const, callable from any.
class ConversationKey {
 public:
  /// Nothing when `theirs` is no point of the curve.
  [[nodiscard]] static std::optional<ConversationKey> derive(const Keypair& ours,
                                                             const PublicKey& theirs);

  explicit ConversationKey(SecretBytes<32> key) : key_(std::move(key)), hmac_(key_.expose()) {}

  [[nodiscard]] std::span<const std::uint8_t, 32> expose() const { return key_.expose(); }

  [[nodiscard]] ConversationKey duplicate() const { return ConversationKey(key_.duplicate()); }

  /// HMAC under this key: the expand step of every message.
  [[nodiscard]] const HmacKey& hmac() const { return hmac_; }

 private:
  SecretBytes<32> key_;
  HmacKey hmac_;
};

/// `plaintext` must be 1 to kNip44PlaintextBytesMax bytes (CHECK).
[[nodiscard]] std::string nip44_encrypt(const ConversationKey& key, std::string_view plaintext,
                                        Rng& rng);
[[nodiscard]] std::string nip44_encrypt_with_nonce(const ConversationKey& key,
                                                   std::string_view plaintext,
                                                   const std::array<std::uint8_t, 32>& nonce);
[[nodiscard]] Result<std::string, Nip44Error> nip44_decrypt(const ConversationKey& key,
                                                            std::string_view payload);

/// Padded size of a plaintext, without the length prefix.
[[nodiscard]] std::size_t nip44_padded_size(std::size_t plaintext_bytes);

}  // namespace nostril
