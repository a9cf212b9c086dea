#pragma once

#include <string_view>

namespace nostril::net {

/// Whether a host of a URL or of a socket is this machine itself: 127.0.0.0/8, ::1, or the name
/// localhost. Other names that begin like an address are names.
[[nodiscard]] bool is_loopback(std::string_view host);

}  // namespace nostril::net
