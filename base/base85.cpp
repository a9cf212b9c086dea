#include "base/base85.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace nostril {

namespace {

constexpr std::string_view kAlphabet =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
constexpr std::uint32_t kBase = 85;
constexpr std::size_t kGroupBytes = 4;
constexpr std::size_t kGroupDigits = 5;
constexpr std::uint8_t kNoDigit = 0xff;
static_assert(kAlphabet.size() == kBase);

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = kNoDigit;
  for (std::uint8_t i = 0; i < kBase; ++i) table[static_cast<std::uint8_t>(kAlphabet[i])] = i;
  return table;
}();

void append_group(std::string& out, ByteSpan bytes) {
  std::uint32_t number = 0;
  for (const std::uint8_t byte : bytes) number = number << 8U | byte;
  std::array<char, kGroupDigits> digits{};
  for (std::size_t i = bytes.size() + 1; i-- > 0; number /= kBase) {
    digits[i] = kAlphabet[number % kBase];
  }
  out.append(digits.data(), bytes.size() + 1);
}

/// False: no digit, or a number that so few bytes can't hold.
bool append_bytes(Bytes& out, std::string_view digits) {
  std::uint64_t number = 0;
  for (const char c : digits) {
    const std::uint8_t value = kValues[static_cast<std::uint8_t>(c)];
    if (value == kNoDigit) return false;
    number = number * kBase + value;
  }
  const std::size_t count = digits.size() - 1;
  if (number >> (8 * count) != 0) return false;
  for (std::size_t i = count; i-- > 0;) out.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
  return true;
}

}  // namespace

std::string encode_base85(ByteSpan data) {
  std::string out;
  out.reserve((data.size() + kGroupBytes - 1) / kGroupBytes * kGroupDigits);
  for (; !data.empty(); data = data.subspan(std::min(data.size(), kGroupBytes))) {
    append_group(out, data.first(std::min(data.size(), kGroupBytes)));
  }
  return out;
}

std::optional<Bytes> decode_base85(std::string_view text) {
  if (text.size() % kGroupDigits == 1) return std::nullopt;
  Bytes out;
  out.reserve(text.size() / kGroupDigits * kGroupBytes + kGroupBytes);
  for (; !text.empty(); text.remove_prefix(std::min(text.size(), kGroupDigits))) {
    if (!append_bytes(out, text.substr(0, kGroupDigits))) return std::nullopt;
  }
  return out;
}

}  // namespace nostril
