#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "schnorr/keys.h"
#include "schnorr/secret_text.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace nostril {

/// A passphrase as NIP-49 takes it: UTF-8 in normal form NFKC, so that it is the same from every
/// keyboard. Wiped when it goes, never printed.
class Passphrase {
 public:
  static constexpr std::size_t kBytesMax = 1024;

  /// Nothing when `text` is empty, longer than kBytesMax, or not UTF-8 without U+0000.
  [[nodiscard]] static std::optional<Passphrase> from(std::string_view text);

  [[nodiscard]] std::string_view expose() const { return text_.expose(); }

 private:
  explicit Passphrase(std::string&& text) : text_(std::move(text)) {}

  SecretText text_;
};

/// NIP-49, version 2: a secret key under a passphrase (scrypt with r 8, p 1; XChaCha20-Poly1305).
///
///   | 1       | 1      | 16   | 24    | 1        | 48             |
///   | version | log2 N | salt | nonce | handling | key, encrypted |
///
/// `handling` is authenticated, not encrypted.
inline constexpr std::size_t kEncryptedKeyBytes = 91;
using EncryptedKey = std::array<std::uint8_t, kEncryptedKeyBytes>;

/// What the key has been through before it was encrypted.
enum class KeyHandling : std::uint8_t {
  KnownInsecure = 0,  ///< it was in the open: in plain files, on a clipboard
  NotKnownInsecure = 1,
  NotTracked = 2,
};

enum class EncryptedKeyError : std::uint8_t {
  BadVersion,
  BadCost,          ///< N below 2 or above 2^kScryptLogNMax
  OutOfMemory,      ///< scrypt takes 1 KiB * N
  WrongPassphrase,  ///< or bytes that were changed: nothing can tell which
  BadKey,           ///< the passphrase is right, and what is inside is no secret key
};
std::string_view to_string(EncryptedKeyError error);

inline constexpr unsigned kScryptLogNDefault = 17;  ///< 128 MiB, some 0.4 s
inline constexpr unsigned kScryptLogNMax = 21;      ///< 2 GiB: a code from outside may ask for it

/// `log_n`: 1 to kScryptLogNMax (CHECK). Nothing without memory for it.
[[nodiscard]] std::optional<EncryptedKey> encrypt_key(const Keypair& key,
                                                      const Passphrase& passphrase,
                                                      KeyHandling handling, unsigned log_n,
                                                      Rng& rng);
/// As the bytes say, whether or not the passphrase is known; other values read as NotTracked.
[[nodiscard]] KeyHandling handling_of(const EncryptedKey& encrypted);
[[nodiscard]] Result<Keypair, EncryptedKeyError> decrypt_key(
    std::span<const std::uint8_t, kEncryptedKeyBytes> encrypted, const Passphrase& passphrase);

}  // namespace nostril
