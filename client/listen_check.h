#pragma once

#include "base/finding.h"

#include <string>
#include <string_view>

namespace nostril::client {

/// Whether `address` ("127.0.0.1:8443") can be listened at. `check`: the finding's name; `own`: the
/// program that may hold it, as the kernel cuts its name.
[[nodiscard]] Finding check_listen_address(std::string_view check, const std::string& address,
                                           std::string_view own = "nostril-node");

}  // namespace nostril::client
