#pragma once

#include "base/file.h"
#include "net/peer_address.h"
#include "net/url.h"

#include <vector>

namespace nostril::net {

/// Where a TCP socket is bound.
[[nodiscard]] PeerAddress local_address(const UniqueFd& socket);

/// Where TCP sockets listen, one by one; of sockets that a process was started with nothing else
/// says it.
[[nodiscard]] std::vector<HostPort> local_addresses(const std::vector<UniqueFd>& sockets);

}  // namespace nostril::net
