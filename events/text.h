#pragma once

#include <string_view>

namespace nostril {

/// True for UTF-8 without U+0000: what an event's content and tags may hold. Ask before signing
/// text that comes from elsewhere; readers refuse all other events.
[[nodiscard]] bool is_event_text(std::string_view text);

}  // namespace nostril
