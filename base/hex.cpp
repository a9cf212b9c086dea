#include "base/hex.h"

#include <array>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace nostril {

namespace {

constexpr std::uint8_t kNotHex = 0xff;

constexpr std::array<std::uint8_t, 256> kNibbles = [] {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = kNotHex;
  for (std::uint8_t i = 0; i < 10; ++i) table[static_cast<std::size_t>('0' + i)] = i;
  for (std::uint8_t i = 0; i < 6; ++i) {
    table[static_cast<std::size_t>('a' + i)] = static_cast<std::uint8_t>(10 + i);
  }
  return table;
}();

// Both characters of every byte: one look-up and one store for each.
constexpr std::array<std::array<char, 2>, 256> kPairs = [] {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return pairs;
}();

}  // namespace

char* write_hex(char* out, ByteSpan data) {
  const std::uint8_t* at = data.data();
  std::size_t left = data.size();
#ifdef __SSE2__
  // 16 bytes at a time: '0' + nibble, and 39 more from 10 on.
  const __m128i low_half = _mm_set1_epi8(0x0f);
  const auto digits = [](__m128i nibbles) {
    const __m128i letters = _mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9));
    return _mm_add_epi8(_mm_add_epi8(nibbles, _mm_set1_epi8('0')),
                        _mm_and_si128(letters, _mm_set1_epi8('a' - '0' - 10)));
  };
  for (; left >= 16; left -= 16, at += 16, out += 32) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i high = digits(_mm_and_si128(_mm_srli_epi16(bytes, 4), low_half));
    const __m128i low = digits(_mm_and_si128(bytes, low_half));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_unpacklo_epi8(high, low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16), _mm_unpackhi_epi8(high, low));
  }
#endif
  for (; left > 0; --left, out += 2) std::memcpy(out, kPairs[*at++].data(), 2);
  return out;
}

void append_hex(std::string& out, ByteSpan data) {
  const std::size_t start = out.size();
  out.resize(start + data.size() * 2);
  write_hex(out.data() + start, data);
}

std::string encode_hex(ByteSpan data) {
  std::string out;
  append_hex(out, data);
  return out;
}

bool decode_hex(std::string_view text, std::span<std::uint8_t> out) {
  if (text.size() != out.size() * 2) return false;
  std::size_t i = 0;
#ifdef __SSE2__
  // Eight bytes at a time. Differences are of unsigned bytes, so what lies below '0' or 'a' is as
  // far away as what lies above '9' or 'f'.
  const auto at_most = [](__m128i value, char most) {
    const __m128i limit = _mm_set1_epi8(most);
    return _mm_cmpeq_epi8(_mm_max_epu8(value, limit), limit);
  };
  __m128i all_good = _mm_set1_epi8(-1);
  for (; out.size() - i >= 8; i += 8) {
    const __m128i chars = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + 2 * i));
    const __m128i digit = _mm_sub_epi8(chars, _mm_set1_epi8('0'));
    const __m128i letter = _mm_sub_epi8(chars, _mm_set1_epi8('a'));
    const __m128i is_digit = at_most(digit, 9);
    const __m128i is_letter = at_most(letter, 5);
    all_good = _mm_and_si128(all_good, _mm_or_si128(is_digit, is_letter));
    const __m128i ten_more = _mm_add_epi8(letter, _mm_set1_epi8(10));
    const __m128i nibbles =
        _mm_or_si128(_mm_and_si128(is_digit, digit), _mm_and_si128(is_letter, ten_more));
    // A pair lies as one number, its first character in the lower half.
    const __m128i high = _mm_slli_epi16(_mm_and_si128(nibbles, _mm_set1_epi16(0x000f)), 4);
    const __m128i pairs = _mm_or_si128(high, _mm_srli_epi16(nibbles, 8));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out.data() + i), _mm_packus_epi16(pairs, pairs));
  }
  if (_mm_movemask_epi8(all_good) != 0xffff) return false;
#endif
  std::uint8_t bad = 0;
  for (; i < out.size(); ++i) {
    const std::uint8_t high = kNibbles[static_cast<std::uint8_t>(text[2 * i])];
    const std::uint8_t low = kNibbles[static_cast<std::uint8_t>(text[2 * i + 1])];
    bad |= static_cast<std::uint8_t>(high | low);  // a nibble never has its upper half set
    out[i] = static_cast<std::uint8_t>(static_cast<unsigned>(high) << 4 | (low & 15U));
  }
  return (bad & 0xf0U) == 0;
}

std::optional<Bytes> decode_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  Bytes out(text.size() / 2);
  if (!decode_hex(text, std::span<std::uint8_t>(out))) return std::nullopt;
  return out;
}

}  // namespace nostril
