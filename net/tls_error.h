#pragma once

#include <string>
#include <string_view>

namespace nostril::net {

/// The words of OpenSSL's oldest error on this thread, or `otherwise` when it has none. Its queue
/// is empty afterwards.
[[nodiscard]] std::string take_tls_error(std::string_view otherwise);

}  // namespace nostril::net
