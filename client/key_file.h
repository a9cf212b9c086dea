#pragma once

#include "base/result.h"
#include "schnorr/keys.h"

#include <filesystem>
#include <string>

namespace nostril::client {

/// A secret key as one nsec line in a file that only its owner may read. Reading refuses a file
/// that others may read. Errors are one line for the user and never hold key material.
[[nodiscard]] Result<Keypair, std::string> read_key_file(const std::filesystem::path& file);
/// Never overwrites; on the disk when it returns.
[[nodiscard]] Result<void, std::string> write_key_file(const std::filesystem::path& file,
                                                       const Keypair& key);

}  // namespace nostril::client
