#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace nostril {

/// The value of a contiguous enumeration, from 0 on, whose name `text` is.
template <typename Enum, std::size_t N>
std::optional<Enum> enum_of(const std::array<std::string_view, N>& names, std::string_view text) {
  for (std::size_t index = 0; index < N; ++index) {
    if (names[index] == text) return static_cast<Enum>(index);
  }
  return std::nullopt;
}

}  // namespace nostril
