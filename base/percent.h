#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nostril {

/// RFC 3986: every byte that is not unreserved as %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);

/// The bytes that %XX stands for; nothing when a percent sign is not followed by two hex digits.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

}  // namespace nostril
