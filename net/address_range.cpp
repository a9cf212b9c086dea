#include "net/address_range.h"

#include <algorithm>
#include <charconv>

namespace nostril::net {

namespace {

constexpr unsigned kBits = 128;
constexpr unsigned kMappedBits = 96;  // before an IPv4 address

bool starts_alike(const PeerAddress& a, const PeerAddress& b, unsigned bits) {
  const std::size_t whole = bits / 8;
  if (!std::equal(a.ip.begin(), a.ip.begin() + whole, b.ip.begin())) return false;
  const unsigned rest = bits % 8;
  if (rest == 0) return true;
  return ((a.ip[whole] ^ b.ip[whole]) >> (8 - rest)) == 0;
}

std::optional<unsigned> parse_bits(std::string_view text, unsigned max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return value;
}

}  // namespace

std::optional<AddressRange> AddressRange::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto first = PeerAddress::parse(text.substr(0, slash));
  if (!first) return std::nullopt;
  const unsigned before = first->is_v4() ? kMappedBits : 0;
  if (slash == std::string_view::npos) return AddressRange(*first, kBits);
  const auto bits = parse_bits(text.substr(slash + 1), kBits - before);
  if (!bits) return std::nullopt;
  const PeerAddress lowest = with_prefix(*first, before + *bits);
  if (lowest.ip != first->ip) return std::nullopt;
  return AddressRange(*first, before + *bits);
}

bool AddressRange::contains(const PeerAddress& peer) const {
  return peer.is_v4() == first_.is_v4() && starts_alike(peer, first_, bits_);
}

bool AddressRanges::contain(const PeerAddress& peer) const {
  return std::ranges::any_of(ranges_,
                             [&](const AddressRange& range) { return range.contains(peer); });
}

}  // namespace nostril::net
