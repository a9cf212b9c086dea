#pragma once

#include "net/peer_address.h"

#include <optional>
#include <string_view>
#include <vector>

namespace nostril::net {

/// Addresses that share a prefix: "10.0.0.0/8", "2001:db8::/32", or one address. Immutable.
class AddressRange {
 public:
  /// Strict: no bit beyond the prefix, or it is not what its writer meant.
  [[nodiscard]] static std::optional<AddressRange> parse(std::string_view text);

  /// Its bits behind the prefix are zero, its port too.
  [[nodiscard]] const PeerAddress& first() const { return first_; }

  /// Of the prefix, in the IPv6 form, where IPv4 begins at bit 96.
  [[nodiscard]] unsigned bits() const { return bits_; }

  /// An IPv6 range holds no IPv4 address, "::/0" neither.
  [[nodiscard]] bool contains(const PeerAddress& peer) const;

 private:
  AddressRange(const PeerAddress& first, unsigned bits) : first_(first), bits_(bits) {}

  PeerAddress first_;
  unsigned bits_;  // of 128
};

/// Few: looked through one by one. Immutable.
class AddressRanges {
 public:
  AddressRanges() = default;

  explicit AddressRanges(std::vector<AddressRange> ranges) : ranges_(std::move(ranges)) {}

  [[nodiscard]] bool contain(const PeerAddress& peer) const;

  [[nodiscard]] bool empty() const { return ranges_.empty(); }

 private:
  std::vector<AddressRange> ranges_;
};

}  // namespace nostril::net
