#include "base/base64.h"

#include <algorithm>
#include <array>

namespace nostril {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNotBase64 = 0xff;

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = kNotBase64;
  for (std::uint8_t i = 0; i < 64; ++i) table[static_cast<std::uint8_t>(kAlphabet[i])] = i;
  return table;
}();

}  // namespace

std::string encode_base64(ByteSpan data) {
  std::string out((data.size() + 2) / 3 * 4, '=');
  char* at = out.data();
  const std::size_t whole = data.size() / 3 * 3;
  for (std::size_t i = 0; i < whole; i += 3) {
    const std::uint32_t word = static_cast<std::uint32_t>(data[i]) << 16 |
                               static_cast<std::uint32_t>(data[i + 1]) << 8 | data[i + 2];
    *at++ = kAlphabet[word >> 18];
    *at++ = kAlphabet[word >> 12 & 63];
    *at++ = kAlphabet[word >> 6 & 63];
    *at++ = kAlphabet[word & 63];
  }
  const std::size_t left = data.size() - whole;
  if (left == 0) return out;
  std::uint32_t word = static_cast<std::uint32_t>(data[whole]) << 16;
  if (left == 2) word |= static_cast<std::uint32_t>(data[whole + 1]) << 8;
  *at++ = kAlphabet[word >> 18];
  *at++ = kAlphabet[word >> 12 & 63];
  if (left == 2) *at = kAlphabet[word >> 6 & 63];
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
  const std::size_t digits = text.size() - padding;
  Bytes out(text.size() / 4 * 3 - padding);
  std::uint8_t* at = out.data();
  std::uint8_t bad = 0;
  const auto value = [&](std::size_t index) -> std::uint32_t {
    const std::uint8_t found = kValues[static_cast<std::uint8_t>(text[index])];
    bad |= found;  // a digit never has its upper two bits set
    return found;
  };
  const std::size_t whole = digits / 4 * 4;
  for (std::size_t i = 0; i < whole; i += 4) {
    const std::uint32_t word =
        value(i) << 18 | value(i + 1) << 12 | value(i + 2) << 6 | value(i + 3);
    *at++ = static_cast<std::uint8_t>(word >> 16);
    *at++ = static_cast<std::uint8_t>(word >> 8);
    *at++ = static_cast<std::uint8_t>(word);
  }
  std::uint32_t spare = 0;  // bits of the last digit that no byte takes
  if (padding == 2) {
    const std::uint32_t word = value(whole) << 6 | value(whole + 1);
    *at = static_cast<std::uint8_t>(word >> 4);
    spare = word & 0xf;
  } else if (padding == 1) {
    const std::uint32_t word = value(whole) << 12 | value(whole + 1) << 6 | value(whole + 2);
    *at++ = static_cast<std::uint8_t>(word >> 10);
    *at = static_cast<std::uint8_t>(word >> 2);
    spare = word & 0x3;
  }
  if ((bad & 0xc0U) != 0 || spare != 0) return std::nullopt;
  return out;
}

std::optional<Bytes> decode_base64_lines(std::string_view text) {
  constexpr std::size_t kLine = 64;
  std::string unbroken;
  unbroken.reserve(text.size());
  while (!text.empty()) {
    const std::size_t line = text.find('\n');
    if (line == std::string_view::npos || line == 0 || line > kLine) return std::nullopt;
    if (line < kLine && line + 1 != text.size()) return std::nullopt;  // only the last is short
    unbroken.append(text.substr(0, line));
    text.remove_prefix(line + 1);
  }
  return decode_base64(unbroken);
}

std::string encode_base64url(ByteSpan data) {
  std::string out = encode_base64(data);
  out.resize(std::min(out.find('='), out.size()));
  std::replace(out.begin(), out.end(), '+', '-');
  std::replace(out.begin(), out.end(), '/', '_');
  return out;
}

std::optional<Bytes> decode_base64url(std::string_view text) {
  if (text.find_first_of("+/=") != std::string_view::npos) return std::nullopt;
  std::string standard(text);
  std::replace(standard.begin(), standard.end(), '-', '+');
  std::replace(standard.begin(), standard.end(), '_', '/');
  standard.append((4 - text.size() % 4) % 4, '=');
  return decode_base64(standard);
}

}  // namespace nostril
