#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace nostril {

// At a place of a file, whatever its position is. Interrupted calls are made again.

/// The bytes that were there: less than `out` only at the file's end. Else an errno.
[[nodiscard]] Result<std::size_t, int> read_at(int fd, std::uint64_t at,
                                               std::span<std::uint8_t> out);
/// All of `bytes`. 0 or an errno; then a part of them may be there.
[[nodiscard]] int write_at(int fd, std::uint64_t at, ByteSpan bytes);

}  // namespace nostril
