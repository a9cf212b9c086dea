#pragma once

#include "base/config.h"
#include "relay/config.h"

#include <string_view>

namespace nostril::relay {

/// Whether this key of the configuration takes a new value while the relay runs.
[[nodiscard]] bool may_change(std::string_view key);

/// `wanted` with the running value of all that can't change; what that comes to. Pure.
[[nodiscard]] Config::Change plan_reload(RelayConfig& wanted, RelayConfig running);

}  // namespace nostril::relay
