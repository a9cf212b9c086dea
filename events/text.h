#pragma once

#include <cstddef>
#include <string_view>

namespace nostril {

/// True for UTF-8 without U+0000: what an event's content and tags may hold. Ask before signing
/// text that comes from elsewhere; readers refuse all other events.
[[nodiscard]] bool is_event_text(std::string_view text);

/// Unicode characters (code points) of UTF-8: what NIP-01 and NIP-11 count.
[[nodiscard]] std::size_t char_count(std::string_view text);

}  // namespace nostril
