#pragma once

#include "base/result.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril {

__extension__ using Uint128 = unsigned __int128;

/// Decimal text without sign or leading zeros, as amounts and counters are written everywhere.
[[nodiscard]] std::string to_decimal(Uint128 value);
/// The inverse; nothing for any other spelling, or when the value is above `max`.
[[nodiscard]] std::optional<Uint128> parse_decimal(std::string_view text, Uint128 max);
[[nodiscard]] std::optional<std::uint64_t> parse_decimal_u64(std::string_view text,
                                                             std::uint64_t max = UINT64_MAX);

/// Base units of an asset, 0 to 2^96 - 1: what a channel slot on chain holds. Never a float.
class Amount {
 public:
  static constexpr Uint128 kMax = (Uint128{1} << 96) - 1;

  constexpr Amount() = default;

  [[nodiscard]] static constexpr std::optional<Amount> from(Uint128 value) {
    if (value > kMax) return std::nullopt;
    return Amount(value);
  }

  [[nodiscard]] static constexpr Amount of(std::uint64_t value) { return Amount(value); }

  [[nodiscard]] static std::optional<Amount> parse(std::string_view text);

  [[nodiscard]] constexpr Uint128 value() const { return value_; }

  [[nodiscard]] constexpr bool is_zero() const { return value_ == 0; }

  [[nodiscard]] std::string to_string() const { return to_decimal(value_); }

  constexpr bool operator==(const Amount& other) const { return value_ == other.value_; }

  constexpr std::strong_ordering operator<=>(const Amount& other) const {
    if (value_ == other.value_) return std::strong_ordering::equal;
    return value_ < other.value_ ? std::strong_ordering::less : std::strong_ordering::greater;
  }

 private:
  explicit constexpr Amount(Uint128 value) : value_(value) {}

  Uint128 value_ = 0;
};

}  // namespace nostril
