#include "client/key_file.h"

#include "base/hex.h"
#include "client/private_file.h"
#include "events/nip19.h"
#include "events/nip49.h"

#include <sys/stat.h>

#include <array>
#include <optional>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::size_t kLineBytesMax = 4096;  // a bunker's URL names relays
constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

std::optional<Keypair> plain_key(std::string_view line) {
  std::array<std::uint8_t, 32> bytes{};
  if (decode_hex(line, bytes)) {
    auto key = Keypair::from_secret(bytes);
    wipe(bytes);
    return key;
  }
  auto decoded = nip19::decode(line);
  auto* secret = decoded ? std::get_if<nip19::Nsec>(&*decoded) : nullptr;
  return secret != nullptr ? Keypair::from_secret(secret->secret.expose()) : std::nullopt;
}

}  // namespace

bool is_encrypted_key_line(std::string_view line) {
  return line.starts_with("ncryptsec1");
}

Result<SecretText, std::string> read_key_line(const std::filesystem::path& file) {
  return read_secret_line(file, kLineBytesMax);
}

Result<Keypair, std::string> open_key_line(std::string_view line, const std::string& name,
                                           const PassphraseSource& source) {
  if (!is_encrypted_key_line(line)) {
    auto key = plain_key(line);
    if (!key) return failure(name + ": not an nsec or ncryptsec line");
    return std::move(*key);
  }
  const auto encrypted = decode_ncryptsec(line);
  if (!encrypted) {
    return failure(name + ": not an ncryptsec line: " + std::string(to_string(encrypted.error())));
  }
  const auto passphrase = source(name);
  if (!passphrase) return failure(passphrase.error());
  auto key = decrypt_key(*encrypted, *passphrase);
  if (!key) return failure(name + ": " + std::string(to_string(key.error())));
  return std::move(*key);
}

Result<Keypair, std::string> read_key_file(const std::filesystem::path& file,
                                           const PassphraseSource& source) {
  const auto line = read_key_line(file);
  if (!line) return failure(line.error());
  return open_key_line(line->expose(), file.string(), source);
}

SecretText to_key_line(const Keypair& key) {
  return SecretText(nip19::encode(nip19::Nsec{SecretBytes<32>(key.expose_secret())}));
}

Result<std::string, std::string> to_encrypted_key_line(const Keypair& key,
                                                       const Passphrase& passphrase,
                                                       KeyHandling handling, unsigned log_n,
                                                       Rng& rng) {
  const auto encrypted = encrypt_key(key, passphrase, handling, log_n, rng);
  if (!encrypted) return failure(std::string(to_string(EncryptedKeyError::OutOfMemory)));
  return encode_ncryptsec(*encrypted);
}

Result<void, std::string> write_key_file(const std::filesystem::path& file, const Keypair& key) {
  const SecretText with_end(std::string(to_key_line(key).expose()) + "\n");
  return create_file(file, as_bytes(with_end.expose()), kOwnerOnly);
}

}  // namespace nostril::client
