#include "base/hex.h"

#include <array>
#include <cstring>

namespace nostril {

namespace {

constexpr std::uint8_t kNotHex = 0xff;

constexpr std::array<std::uint8_t, 256> kNibbles = [] {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = kNotHex;
  for (std::uint8_t i = 0; i < 10; ++i) table[static_cast<std::size_t>('0' + i)] = i;
  for (std::uint8_t i = 0; i < 6; ++i) {
    table[static_cast<std::size_t>('a' + i)] = static_cast<std::uint8_t>(10 + i);
  }
  return table;
}();

// Both characters of every byte: one look-up and one store for each.
constexpr std::array<std::array<char, 2>, 256> kPairs = [] {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return pairs;
}();

}  // namespace

void append_hex(std::string& out, ByteSpan data) {
  const std::size_t start = out.size();
  out.resize(start + data.size() * 2);
  char* at = out.data() + start;
  for (const std::uint8_t byte : data) {
    std::memcpy(at, kPairs[byte].data(), 2);
    at += 2;
  }
}

std::string encode_hex(ByteSpan data) {
  std::string out;
  append_hex(out, data);
  return out;
}

bool decode_hex(std::string_view text, std::span<std::uint8_t> out) {
  if (text.size() != out.size() * 2) return false;
  std::uint8_t bad = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint8_t high = kNibbles[static_cast<std::uint8_t>(text[2 * i])];
    const std::uint8_t low = kNibbles[static_cast<std::uint8_t>(text[2 * i + 1])];
    bad |= static_cast<std::uint8_t>(high | low);  // a nibble never has its upper half set
    out[i] = static_cast<std::uint8_t>(static_cast<unsigned>(high) << 4 | (low & 15U));
  }
  return (bad & 0xf0U) == 0;
}

std::optional<Bytes> decode_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  Bytes out(text.size() / 2);
  if (!decode_hex(text, std::span<std::uint8_t>(out))) return std::nullopt;
  return out;
}

}  // namespace nostril
