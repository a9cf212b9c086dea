#pragma once

#include "base/result.h"
#include "client/passphrase.h"
#include "schnorr/encrypted_key.h"
#include "schnorr/keys.h"
#include "schnorr/secret_text.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace nostril::client {

/// A secret key as one line in a file that only its owner may read: "nsec1…", or "ncryptsec1…"
/// under a passphrase (NIP-49). Reading refuses a file that others may read. Errors are one line
/// for the user and never hold key material.
[[nodiscard]] Result<Keypair, std::string> read_key_file(
    const std::filesystem::path& file, const PassphraseSource& source = known_passphrase);

/// The line alone; also one that names a remote signer ("bunker://…").
[[nodiscard]] Result<SecretText, std::string> read_key_line(const std::filesystem::path& file);
/// The key of a line, or of 64 hex digits; `name`: of the file, for errors and questions.
[[nodiscard]] Result<Keypair, std::string> open_key_line(
    std::string_view line, const std::string& name,
    const PassphraseSource& source = known_passphrase);
[[nodiscard]] bool is_encrypted_key_line(std::string_view line);

/// Never overwrites; on the disk when it returns.
[[nodiscard]] Result<void, std::string> write_key_file(const std::filesystem::path& file,
                                                       const Keypair& key);

/// The lines of a key, without their end.
[[nodiscard]] SecretText to_key_line(const Keypair& key);
[[nodiscard]] Result<std::string, std::string> to_encrypted_key_line(const Keypair& key,
                                                                     const Passphrase& passphrase,
                                                                     KeyHandling handling,
                                                                     unsigned log_n, Rng& rng);

}  // namespace nostril::client
