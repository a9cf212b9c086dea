#pragma once

#include "base/bytes.h"

#include <optional>
#include <string>
#include <string_view>

namespace nostril {

/// RFC 4648 section 4: standard alphabet, with padding, no line breaks.
std::string encode_base64(ByteSpan data);

/// The bytes, or nothing when `text` is not exactly what encode_base64 would have written: unknown
/// characters, missing padding and non-zero spare bits are refused, so that one value has one text.
std::optional<Bytes> decode_base64(std::string_view text);

/// The same in lines of 64 characters, each ended by LF; only the last may be shorter. The form of
/// certificates in text (RFC 7468).
std::optional<Bytes> decode_base64_lines(std::string_view text);

/// RFC 4648 section 5: '-' and '_' for '+' and '/', and no padding, as in JSON web tokens. Decoding
/// is as strict as decode_base64().
std::string encode_base64url(ByteSpan data);
std::optional<Bytes> decode_base64url(std::string_view text);

}  // namespace nostril
