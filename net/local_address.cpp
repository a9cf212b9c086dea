#include "net/local_address.h"

#include "base/check.h"

#include <sys/socket.h>

namespace nostril::net {

PeerAddress local_address(const UniqueFd& socket) {
  sockaddr_storage bound{};
  socklen_t bytes = sizeof bound;
  CHECK(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &bytes) == 0);
  return PeerAddress::from(reinterpret_cast<const sockaddr&>(bound));
}

std::vector<HostPort> local_addresses(const std::vector<UniqueFd>& sockets) {
  std::vector<HostPort> out;
  for (const UniqueFd& socket : sockets) {
    const PeerAddress address = local_address(socket);
    out.push_back({address.ip_string(), address.port});
  }
  return out;
}

}  // namespace nostril::net
