#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct sockaddr;

namespace nostril::net {

/// Where a connection comes from. IPv4 is kept as IPv4-mapped IPv6, so one table serves both.
struct PeerAddress {
  std::array<std::uint8_t, 16> ip{};
  std::uint16_t port = 0;

  static PeerAddress from(const sockaddr& address);
  /// An IPv4 or IPv6 address and nothing else; its port is 0.
  [[nodiscard]] static std::optional<PeerAddress> parse(std::string_view ip);
  [[nodiscard]] bool is_v4() const;
  /// The address alone: "127.0.0.1" or "2001:db8::1".
  [[nodiscard]] std::string ip_string() const;
  auto operator<=>(const PeerAddress&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

/// The first `bits` of its 128, the others zero.
[[nodiscard]] PeerAddress with_prefix(const PeerAddress& peer, unsigned bits);

/// What one customer of a network provider has: an IPv4 address, or the /64 of an IPv6 one. For
/// limits by address.
[[nodiscard]] std::array<std::uint8_t, 16> peer_group(const PeerAddress& peer,
                                                      unsigned v6_prefix_bits = 64);

}  // namespace nostril::net
