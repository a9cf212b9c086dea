#pragma once

#include "base/bytes.h"
#include "base/fixed_bytes.h"

#include <optional>
#include <string>
#include <string_view>

namespace nostril {

/// Lowercase hexadecimal, two characters a byte.
std::string encode_hex(ByteSpan data);

/// Writes the same, 2 * data.size() characters, to `out`; where it ends.
char* write_hex(char* out, ByteSpan data);

/// Appends the same to `out`.
void append_hex(std::string& out, ByteSpan data);

template <typename Tag, std::size_t N>
std::string encode_hex(const FixedBytes<Tag, N>& value) {
  return encode_hex(ByteSpan(value.bytes));
}

/// Fills `out` from exactly 2 * out.size() lowercase hexadecimal characters; false, with `out`
/// unspecified, for anything else. Uppercase is refused: NIP-01 wants lowercase, and two spellings
/// of one id would be two ids.
bool decode_hex(std::string_view text, std::span<std::uint8_t> out);

/// Any even number of characters.
std::optional<Bytes> decode_hex(std::string_view text);

template <typename T>
std::optional<T> from_hex(std::string_view text) {
  T value;
  if (!decode_hex(text, std::span<std::uint8_t>(value.bytes))) return std::nullopt;
  return value;
}

}  // namespace nostril
