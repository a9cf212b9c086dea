#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nostril {

/// BIP-173 bech32 (constant 1, not bech32m) without its limit of 90 characters.
inline constexpr std::size_t kBech32CharactersMax = 5000;  ///< NIP-19's recommendation

struct Bech32 {
  std::string prefix;
  Bytes data;  ///< 8-bit; the caller wipes it when it is a secret
};

enum class Bech32Error : std::uint8_t { BadForm, BadChecksum, BadPadding };

/// Lowercase only: NIP-19 codes are written so, and one code then has one spelling.
[[nodiscard]] Result<Bech32, Bech32Error> decode_bech32(std::string_view code);

/// The same before groups of five bits become bytes: invoices (BOLT 11) are made of them.
struct Bech32Groups {
  std::string prefix;
  Bytes groups;  ///< one a character, each below 32; without the checksum
};

/// Lowercase only; at most `characters_max` long.
[[nodiscard]] Result<Bech32Groups, Bech32Error> decode_bech32_groups(std::string_view code,
                                                                     std::size_t characters_max);
/// `prefix` must be lowercase letters and digits.
[[nodiscard]] std::string encode_bech32(std::string_view prefix, ByteSpan data);

}  // namespace nostril
