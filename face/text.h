#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nostril::face {

/// ASCII letters in lowercase, all else as it is.
inline std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

inline std::string_view without_0x(std::string_view text) {
  return text.starts_with("0x") ? text.substr(2) : text;
}

/// Two bytes, the larger half first.
inline void append_u16(std::string& out, std::uint16_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value & 0xff);
}

}  // namespace nostril::face
