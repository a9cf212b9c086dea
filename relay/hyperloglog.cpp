#include "relay/hyperloglog.h"

#include "base/hex.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <string_view>

namespace nostril::relay {

namespace {

constexpr std::size_t kOffsetMin = 8;

// The key of an address, "kind:pubkey:d"; of any kind, as what is counted need not exist here.
std::optional<PublicKey> key_of_address(std::string_view text) {
  const std::size_t kind_end = text.find(':');
  if (kind_end == 0 || kind_end == std::string_view::npos) return std::nullopt;
  const std::size_t key_end = text.find(':', kind_end + 1);
  if (key_end == std::string_view::npos) return std::nullopt;
  std::uint32_t kind = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + kind_end, kind);
  if (error != std::errc() || end != text.data() + kind_end) return std::nullopt;
  return from_hex<PublicKey>(text.substr(kind_end + 1, key_end - kind_end - 1));
}

Digest bytes_of(std::string_view value) {
  if (const auto id = from_hex<Digest>(value)) return *id;
  if (const auto key = key_of_address(value)) return Digest{key->bytes};
  return sha256(as_bytes(value));
}

}  // namespace

std::optional<HyperLogLog> HyperLogLog::of(const std::vector<Filter>& filters) {
  if (filters.size() != 1 || filters[0].tags.empty()) return std::nullopt;
  const auto& values = filters[0].tags[0].values;
  if (values.size() != 1) return std::nullopt;
  // The hexadecimal digit at position 32 is the upper half of byte 16.
  return HyperLogLog((bytes_of(values[0]).bytes[16] >> 4U) + kOffsetMin);
}

void HyperLogLog::add(const PublicKey& author) {
  unsigned zeros = 0;
  for (std::size_t at = offset_ + 1; at < author.bytes.size(); ++at) {
    zeros += static_cast<unsigned>(std::countl_zero(author.bytes[at]));
    if (author.bytes[at] != 0) break;
  }
  std::uint8_t& seen = registers_[author.bytes[offset_]];
  seen = std::max(seen, static_cast<std::uint8_t>(zeros + 1));
}

}  // namespace nostril::relay
