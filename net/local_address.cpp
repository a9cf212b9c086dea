#include "net/local_address.h"

#include "base/check.h"
#include "net/peer_address.h"

#include <sys/socket.h>

namespace nostril::net {

std::vector<HostPort> local_addresses(const std::vector<UniqueFd>& sockets) {
  std::vector<HostPort> out;
  for (const UniqueFd& socket : sockets) {
    sockaddr_storage bound{};
    socklen_t bytes = sizeof bound;
    CHECK(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &bytes) == 0);
    const auto address = PeerAddress::from(reinterpret_cast<const sockaddr&>(bound));
    out.push_back({address.ip_string(), address.port});
  }
  return out;
}

}  // namespace nostril::net
