#pragma once

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

}  // namespace nostril::face
