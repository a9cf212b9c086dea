#pragma once

#include "base/json.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::relay {

/// What a role of a relay's members looks like (NIP-43, kind 33534). It says something of a member
/// and allows nothing.
struct MemberRole {
  static constexpr std::size_t kIdBytesMax = 64;
  static constexpr std::int64_t kColorMax = 360;  ///< a hue

  std::string label;
  std::string description;
  std::optional<std::int64_t> color;
  std::optional<std::int64_t> order;

  bool operator==(const MemberRole&) const = default;

  /// 1 to kIdBytesMax bytes without control characters.
  [[nodiscard]] static bool is_id(std::string_view text);
  /// What to_text() wrote.
  [[nodiscard]] static std::optional<MemberRole> parse(std::string_view text);
  /// One line of JSON, as it is kept.
  [[nodiscard]] std::string to_text() const;
};

/// A hue or an order as clients send it: a number, or one in decimal digits; nothing for null.
/// False: it is neither.
[[nodiscard]] bool read_role_number(const Json& json, std::optional<std::int64_t>& out);

}  // namespace nostril::relay
