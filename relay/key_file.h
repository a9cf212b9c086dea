#pragma once

#include "base/result.h"
#include "schnorr/keys.h"

#include <filesystem>
#include <string>

namespace nostril::relay {

/// A secret key of the relay's own: 64 lowercase hex characters, in a file that nobody else may
/// read (refused otherwise). The error names the file and never what is in it.
[[nodiscard]] Result<Keypair, std::string> read_key_file(const std::filesystem::path& file);
/// Makes one, on disk when it returns; never over another file.
[[nodiscard]] Result<Keypair, std::string> make_key_file(const std::filesystem::path& file,
                                                         Rng& rng);

}  // namespace nostril::relay
