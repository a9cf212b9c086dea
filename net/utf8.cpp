#include "net/utf8.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nostril::net {

namespace {

constexpr std::uint64_t kHighBits = 0x8080808080808080U;

// Length of the well-formed sequence that starts with a byte above 0x7f, 0 when there is none.
std::size_t sequence_bytes(const unsigned char* p, std::size_t left) {
  const auto continues = [](unsigned char byte) { return (byte & 0xC0U) == 0x80U; };
  const unsigned char lead = p[0];
  if (lead >= 0xC2 && lead <= 0xDF) return left >= 2 && continues(p[1]) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (left < 3 || !continues(p[1]) || !continues(p[2])) return 0;
    const bool overlong = lead == 0xE0 && p[1] < 0xA0;
    const bool surrogate = lead == 0xED && p[1] > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (left < 4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3])) return 0;
    const bool overlong = lead == 0xF0 && p[1] < 0x90;
    const bool too_high = lead == 0xF4 && p[1] > 0x8F;
    return overlong || too_high ? 0 : 4;
  }
  return 0;
}

}  // namespace

bool is_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t left = text.size();
  while (left > 0) {
    // Mostly ASCII: eight bytes at a time.
    while (left >= sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, p, sizeof word);
      if ((word & kHighBits) != 0) break;
      p += sizeof word;
      left -= sizeof word;
    }
    if (left == 0) break;
    std::size_t used = 1;
    if (*p > 0x7F) {
      used = sequence_bytes(p, left);
      if (used == 0) return false;
    }
    p += used;
    left -= used;
  }
  return true;
}

}  // namespace nostril::net
