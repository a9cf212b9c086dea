#pragma once

#include "relay/config.h"

#include <string>

namespace nostril::relay {

/// Of the settings that say which events a relay takes and shows, 16 hex characters. Relays of a
/// cluster whose digests differ store the same (what one has taken all apply) and still treat their
/// clients differently; with another `url` they also differ in which requests to vanish are theirs.
[[nodiscard]] std::string digest_of_rules(const RelayConfig& config);

}  // namespace nostril::relay
