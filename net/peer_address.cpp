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

std::optional<PeerAddress> PeerAddress::parse(std::string_view ip) {
  if (ip.empty() || ip.size() >= INET6_ADDRSTRLEN || ip.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  const std::string text(ip);
  PeerAddress out;
  std::array<std::uint8_t, 4> v4{};
  if (inet_pton(AF_INET, text.c_str(), v4.data()) == 1) {
    std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), out.ip.begin());
    std::copy(v4.begin(), v4.end(), out.ip.begin() + kMappedPrefix.size());
    return out;
  }
  if (inet_pton(AF_INET6, text.c_str(), out.ip.data()) == 1) return out;
  return std::nullopt;
}

PeerAddress with_prefix(const PeerAddress& peer, unsigned bits) {
  PeerAddress out = peer;
  for (std::size_t i = 0; i < out.ip.size(); ++i) {
    const unsigned begin = static_cast<unsigned>(i) * 8;
    const unsigned kept = bits <= begin ? 0 : std::min(bits - begin, 8U);
    out.ip[i] &= static_cast<std::uint8_t>(0xFF00U >> kept);
  }
  return out;
}

std::array<std::uint8_t, 16> peer_group(const PeerAddress& peer, unsigned v6_prefix_bits) {
  return peer.is_v4() ? peer.ip : with_prefix(peer, v6_prefix_bits).ip;
}

}  // namespace nostril::net
