#include "base/base64.h"

#include <array>

namespace nostril {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNotBase64 = 0xff;

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = kNotBase64;
  for (std::uint8_t i = 0; i < 64; ++i) table[static_cast<std::size_t>(kAlphabet[i])] = i;
  return table;
}();

}  // namespace

std::string encode_base64(ByteSpan data) {
  std::string out;
  out.reserve((data.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < data.size(); i += 3) {
    const std::size_t left = data.size() - i;
    std::uint32_t word = static_cast<std::uint32_t>(data[i]) << 16;
    if (left > 1) word |= static_cast<std::uint32_t>(data[i + 1]) << 8;
    if (left > 2) word |= data[i + 2];
    out += kAlphabet[word >> 18];
    out += kAlphabet[word >> 12 & 63];
    out += left > 1 ? kAlphabet[word >> 6 & 63] : '=';
    out += left > 2 ? kAlphabet[word & 63] : '=';
  }
  return out;
}

std::optional<Bytes> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  if (text.ends_with("==")) {
    padding = 2;
  } else if (text.ends_with('=')) {
    padding = 1;
  }
  Bytes out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    std::uint32_t word = 0;
    for (std::size_t j = 0; j < digits; ++j) {
      const std::uint8_t value = kValues[static_cast<std::uint8_t>(text[i + j])];
      if (value == kNotBase64) return std::nullopt;
      word |= static_cast<std::uint32_t>(value) << (18 - 6 * j);
    }
    out.push_back(static_cast<std::uint8_t>(word >> 16));
    if (digits > 2) out.push_back(static_cast<std::uint8_t>(word >> 8));
    if (digits > 3) out.push_back(static_cast<std::uint8_t>(word));
    const std::uint32_t spare = digits == 2 ? word & 0xffff : digits == 3 ? word & 0xff : 0;
    if (spare != 0) return std::nullopt;
  }
  return out;
}

}  // namespace nostril
