#pragma once

#include "base/bytes.h"

#include <optional>
#include <string>
#include <string_view>

namespace nostril {

/// Bytes as text of which JSON escapes nothing: 5 characters for 4 bytes, where base64 takes 5 1/3.
/// Alphabet and groups of ZeroMQ's Z85 (RFC 32/Z85): four bytes are a big-endian number, written in
/// five digits of base 85, the highest first. What is over, 1 to 3 bytes, is such a number with one
/// digit more than it has bytes; Z85 itself has no such end.
std::string encode_base85(ByteSpan data);

/// The bytes, or nothing when `text` is not exactly what encode_base85 would have written.
std::optional<Bytes> decode_base85(std::string_view text);

}  // namespace nostril
