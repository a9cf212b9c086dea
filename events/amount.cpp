#include "events/amount.h"

#include <algorithm>

namespace nostril {

std::string to_decimal(Uint128 value) {
  std::string text;
  do {
    text.push_back(static_cast<char>('0' + static_cast<int>(value % 10)));
    value /= 10;
  } while (value != 0);
  std::reverse(text.begin(), text.end());
  return text;
}

std::optional<Uint128> parse_decimal(std::string_view text, Uint128 max) {
  if (text.empty() || text.size() > 39) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  Uint128 value = 0;
  for (const char character : text) {
    if (character < '0' || character > '9') return std::nullopt;
    const auto digit = static_cast<Uint128>(character - '0');
    if (value > (max - std::min(max, digit)) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  if (value > max) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_decimal_u64(std::string_view text, std::uint64_t max) {
  const auto value = parse_decimal(text, max);
  if (!value) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

std::optional<Amount> Amount::parse(std::string_view text) {
  const auto value = parse_decimal(text, kMax);
  if (!value) return std::nullopt;
  return Amount(*value);
}

}  // namespace nostril
