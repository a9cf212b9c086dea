#include "net/peer_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace nostril::net {

namespace {
constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
}

PeerAddress PeerAddress::from(const sockaddr& address) {
  PeerAddress out;
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), out.ip.begin());
    std::memcpy(out.ip.data() + kMappedPrefix.size(), &v4.sin_addr, sizeof v4.sin_addr);
    out.port = ntohs(v4.sin_port);
  } else if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(out.ip.data(), &v6.sin6_addr, out.ip.size());
    out.port = ntohs(v6.sin6_port);
  }
  return out;
}

bool PeerAddress::is_v4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), ip.begin());
}

std::string PeerAddress::ip_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_v4()) {
    inet_ntop(AF_INET, ip.data() + kMappedPrefix.size(), text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, ip.data(), text.data(), text.size());
  }
  return text.data();
}

std::array<std::uint8_t, 16> peer_group(const PeerAddress& peer) {
  constexpr std::size_t kPrefixBytes = 8;
  std::array<std::uint8_t, 16> out = peer.ip;
  if (!peer.is_v4()) std::fill(out.begin() + kPrefixBytes, out.end(), std::uint8_t{0});
  return out;
}

}  // namespace nostril::net
