#pragma once

#include "base/bytes.h"
#include "events/amount.h"

#include <cstddef>
#include <cstdint>

namespace nostril {

/// Appends the lowest `bytes` bytes of `value`, most significant first: numbers in hashed bytes and
/// in keys that sort by number.
inline void append_big_endian(Bytes& out, Uint128 value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

}  // namespace nostril
