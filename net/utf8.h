#pragma once

#include <string_view>

namespace nostril::net {

/// Well-formed UTF-8 by Unicode table 3-7: no surrogates, no overlong forms, nothing past U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace nostril::net
