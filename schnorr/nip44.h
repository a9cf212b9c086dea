#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/keys.h"
#include "schnorr/secret.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril {

/// NIP-44 version 2: ChaCha20 + HMAC-SHA256 with padding, in base64. Plaintext is 1 to
/// kNip44PlaintextBytesMax bytes; above 65,535 the extended length prefix (two zero bytes, then a
/// big-endian u32) of 2026-06 is used.
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
/// derived by other means (spec/05-session.md).
class ConversationKey {
 public:
  /// Nothing when `theirs` is no point of the curve.
  [[nodiscard]] static std::optional<ConversationKey> derive(const Keypair& ours,
                                                             const PublicKey& theirs);

  explicit ConversationKey(SecretBytes<32> key) : key_(std::move(key)) {}

  [[nodiscard]] std::span<const std::uint8_t, 32> expose() const { return key_.expose(); }

  [[nodiscard]] ConversationKey duplicate() const { return ConversationKey(key_.duplicate()); }

 private:
  SecretBytes<32> key_;
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
