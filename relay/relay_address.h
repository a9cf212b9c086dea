#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace nostril::relay {

/// What tells one relay from another: host, port unless it is the scheme's own, and path without a
/// slash at its end. Not whether it is ws:// or wss://: behind a proxy it is both.
///
/// A relay without a name (`url`) that only this machine reaches has the address of its port: every
/// loopback name (net/loopback.h) with that port is it. What makes this safe: a challenge is one
/// connection's, and what a client signs carries the name by which the client reached the relay. A
/// login made for evil.example says so and is refused here, and one made for localhost is refused
/// wherever else it is passed on. Who can bring about a login that names localhost and this port is
/// a program of this machine, or what it was asked to sign for. A proxy makes all of it untrue, and
/// so does a cluster, whose relays must agree about requests to vanish: with either there is no
/// address without `url` (RelayConfig::address()).
class RelayAddress {
 public:
  /// Of a ws:// or wss:// URL.
  [[nodiscard]] static std::optional<RelayAddress> of(std::string_view url);
  /// Of any loopback name with that port.
  [[nodiscard]] static RelayAddress on_loopback(std::uint16_t port);

  /// What a store keeps, and gives back.
  [[nodiscard]] const std::string& text() const { return text_; }

  [[nodiscard]] static RelayAddress from_text(std::string text) {
    return RelayAddress(std::move(text));
  }

  [[nodiscard]] bool is_on_loopback() const;

  /// Whether a ws:// or wss:// URL is this relay's.
  [[nodiscard]] bool is_named_by(std::string_view url) const;
  /// Whether its host and port are. NIP-42 lets a relay compare them alone: which scheme and path
  /// stand before a proxy, it can't know.
  [[nodiscard]] bool has_host_of(std::string_view url) const;

  bool operator==(const RelayAddress&) const = default;

 private:
  explicit RelayAddress(std::string text) : text_(std::move(text)) {}

  std::string text_;
};

}  // namespace nostril::relay
