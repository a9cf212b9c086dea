#pragma once

#include "base/file.h"
#include "net/url.h"

#include <vector>

namespace nostril::net {

/// Where TCP sockets listen, one by one; of sockets that a process was started with nothing else
/// says it.
[[nodiscard]] std::vector<HostPort> local_addresses(const std::vector<UniqueFd>& sockets);

}  // namespace nostril::net
