#include "net/loopback.h"

#include "net/peer_address.h"

namespace nostril::net {

bool is_loopback(std::string_view host) {
  if (host == "localhost") return true;
  const auto address = PeerAddress::parse(host);
  if (!address) return false;
  if (address->is_v4()) return address->ip[12] == 127;
  PeerAddress one;
  one.ip.back() = 1;
  return *address == one;
}

}  // namespace nostril::net
