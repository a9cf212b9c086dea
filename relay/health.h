#pragma once

#include "relay/config.h"

#include <optional>
#include <string>

namespace nostril::relay {

/// Asks the relay that runs by this configuration on this machine for its NIP-11 document, as a
/// client would: over TLS when it has a certificate, which must then be the one in the file, in
/// date, and of `url`'s name. Nothing: it answers; else what is wrong, one line. Takes 5 seconds at
/// most. Throws ConfigError when the configuration means nothing.
[[nodiscard]] std::optional<std::string> health_problem(const RelayConfig& config);

}  // namespace nostril::relay
