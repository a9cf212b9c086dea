#include "schnorr/encrypted_key.h"

#include "base/check.h"
#include "schnorr/aead.h"

#include <openssl/evp.h>

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

namespace nostril {

namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::uint64_t kBlocks = 8;  // scrypt's r
constexpr std::size_t kSaltAt = 2;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kNonceAt = kSaltAt + kSaltBytes;
constexpr std::size_t kHandlingAt = kNonceAt + kXNonceBytes;
constexpr std::size_t kSealedAt = kHandlingAt + 1;

std::optional<SecretBytes<32>> scrypt(const Passphrase& passphrase, ByteSpan salt, unsigned log_n) {
  const std::uint64_t n = std::uint64_t{1} << log_n;
  const std::uint64_t memory_bytes_max = 128 * kBlocks * (n + 4);
  const std::string_view text = passphrase.expose();
  SecretBytes<32> out;
  if (EVP_PBE_scrypt(text.data(), text.size(), salt.data(), salt.size(), n, kBlocks, 1,
                     memory_bytes_max, out.expose_mutable().data(), 32) != 1) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::optional<Passphrase> Passphrase::from(std::string_view text) {
  if (text.empty() || text.size() > kBytesMax || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  utf8proc_uint8_t* made = nullptr;
  constexpr auto kNfkc =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &made, kNfkc);
  if (size < 0) return std::nullopt;
  const std::span<std::uint8_t> bytes(made, static_cast<std::size_t>(size));
  std::string normal(bytes.begin(), bytes.end());
  wipe(bytes);
  std::free(made);  // NOLINT(*-no-malloc,*-owning-memory): the library's
  return Passphrase(std::move(normal));
}

std::string_view to_string(EncryptedKeyError error) {
  switch (error) {
    case EncryptedKeyError::BadVersion:
      return "an encrypted key of a version other than 2";
    case EncryptedKeyError::BadCost:
      return "an encrypted key that asks for more than 2 GiB of memory, or for none";
    case EncryptedKeyError::OutOfMemory:
      return "not enough memory to try the passphrase";
    case EncryptedKeyError::WrongPassphrase:
      return "wrong passphrase";
    case EncryptedKeyError::BadKey:
      return "the passphrase is right, but there is no secret key inside";
  }
  return "unknown";
}

std::optional<EncryptedKey> encrypt_key(const Keypair& key, const Passphrase& passphrase,
                                        KeyHandling handling, unsigned log_n, Rng& rng) {
  CHECK(log_n >= 1 && log_n <= kScryptLogNMax);
  EncryptedKey out{};
  const std::span<std::uint8_t, kEncryptedKeyBytes> bytes(out);
  bytes[0] = kVersion;
  bytes[1] = static_cast<std::uint8_t>(log_n);
  rng.fill(bytes.subspan(kSaltAt, kSaltBytes + kXNonceBytes));
  bytes[kHandlingAt] = static_cast<std::uint8_t>(handling);
  const auto symmetric = scrypt(passphrase, bytes.subspan(kSaltAt, kSaltBytes), log_n);
  if (!symmetric) return std::nullopt;
  Bytes sealed;
  xchacha20_poly1305_seal(sealed, symmetric->expose(), bytes.subspan<kNonceAt, kXNonceBytes>(),
                          bytes.subspan(kHandlingAt, 1), key.expose_secret());
  CHECK(sealed.size() == kEncryptedKeyBytes - kSealedAt);
  std::ranges::copy(sealed, bytes.begin() + kSealedAt);
  return out;
}

KeyHandling handling_of(const EncryptedKey& encrypted) {
  const auto value = static_cast<KeyHandling>(encrypted[kHandlingAt]);
  return value <= KeyHandling::NotKnownInsecure ? value : KeyHandling::NotTracked;
}

Result<Keypair, EncryptedKeyError> decrypt_key(
    std::span<const std::uint8_t, kEncryptedKeyBytes> encrypted, const Passphrase& passphrase) {
  if (encrypted[0] != kVersion) return failure(EncryptedKeyError::BadVersion);
  const unsigned log_n = encrypted[1];
  if (log_n < 1 || log_n > kScryptLogNMax) return failure(EncryptedKeyError::BadCost);
  const auto symmetric = scrypt(passphrase, encrypted.subspan(kSaltAt, kSaltBytes), log_n);
  if (!symmetric) return failure(EncryptedKeyError::OutOfMemory);
  auto secret =
      xchacha20_poly1305_open(symmetric->expose(), encrypted.subspan<kNonceAt, kXNonceBytes>(),
                              encrypted.subspan(kHandlingAt, 1), encrypted.subspan(kSealedAt));
  if (!secret) return failure(EncryptedKeyError::WrongPassphrase);
  auto key = Keypair::from_secret(*secret);
  wipe(*secret);
  if (!key) return failure(EncryptedKeyError::BadKey);
  return std::move(*key);
}

}  // namespace nostril
