#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/secret_text.h"

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>

namespace nostril::client {

/// The first line of a file with a secret in it, without its end. Refuses a file that others than
/// its owner may read, and one of more than `bytes_max`. Errors are one line for the user.
[[nodiscard]] Result<SecretText, std::string> read_secret_line(const std::filesystem::path& file,
                                                               std::size_t bytes_max);

/// The file then has these bytes and this mode, or is as it was; on the disk when it returns. A
/// link stays one. Makes the folders that lead to it, for its owner alone.
[[nodiscard]] Result<void, std::string> replace_file(const std::filesystem::path& file,
                                                     ByteSpan bytes, mode_t mode);
/// The same of a file that must not be there.
[[nodiscard]] Result<void, std::string> create_file(const std::filesystem::path& file,
                                                    ByteSpan bytes, mode_t mode);

/// A whole file of at most `bytes_max`.
[[nodiscard]] Result<std::string, std::string> read_whole_file(const std::filesystem::path& file,
                                                               std::size_t bytes_max);

}  // namespace nostril::client
