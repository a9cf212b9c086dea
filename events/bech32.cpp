#include "events/bech32.h"

#include "base/check.h"
#include "schnorr/secret.h"

#include <array>
#include <utility>

namespace nostril {

namespace {

constexpr std::string_view kCharset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
constexpr std::size_t kChecksumCharacters = 6;

constexpr std::uint8_t kNotInCharset = 0xff;

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = kNotInCharset;
  for (std::size_t i = 0; i < kCharset.size(); ++i) {
    table[static_cast<std::uint8_t>(kCharset[i])] = static_cast<std::uint8_t>(i);
  }
  return table;
}();

std::uint8_t value_of(char c) {
  return kValues[static_cast<std::uint8_t>(c)];
}

/// The BCH code of BIP-173, fed with one 5-bit value at a time.
class Checksum {
 public:
  explicit Checksum(std::string_view prefix) {
    for (const char c : prefix) add(static_cast<std::uint8_t>(c) >> 5);
    add(0);
    for (const char c : prefix) add(static_cast<std::uint8_t>(c) & 31U);
  }

  void add(std::uint32_t value) {
    constexpr std::array<std::uint32_t, 5> kGenerator = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa,
                                                         0x3d4233dd, 0x2a1462b3};
    const std::uint32_t top = state_ >> 25;
    state_ = (state_ & 0x1ffffff) << 5 ^ value;
    for (std::size_t i = 0; i < kGenerator.size(); ++i) {
      if ((top >> i & 1U) != 0) state_ ^= kGenerator[i];
    }
  }

  [[nodiscard]] std::uint32_t state() const { return state_; }

 private:
  std::uint32_t state_ = 1;
};

bool is_prefix_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/// Groups of 5 bits to bytes. False when what is left over is not zero padding of under 5 bits.
bool to_bytes(ByteSpan groups, Bytes& out) {
  out.reserve(groups.size() * 5 / 8);  // exact: a secret is never moved by growth
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const std::uint8_t group : groups) {
    bits = (bits << 5 | group) & 0xfff;
    count += 5;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<std::uint8_t>(bits >> count));
    }
  }
  return count < 5 && (bits & ((1U << count) - 1)) == 0;
}

}  // namespace

Result<Bech32Groups, Bech32Error> decode_bech32_groups(std::string_view code,
                                                       std::size_t characters_max) {
  if (code.size() > characters_max) return failure(Bech32Error::BadForm);
  const std::size_t separator = code.rfind('1');
  if (separator == std::string_view::npos || separator == 0 ||
      code.size() - separator - 1 < kChecksumCharacters) {
    return failure(Bech32Error::BadForm);
  }
  const std::string_view prefix = code.substr(0, separator);
  for (const char c : prefix) {
    if (!is_prefix_character(c)) return failure(Bech32Error::BadForm);
  }
  Checksum checksum(prefix);
  const std::string_view characters = code.substr(separator + 1);
  Bech32Groups out{std::string(prefix), {}};
  out.groups.reserve(characters.size());  // exact: a secret is never moved by growth
  for (const char c : characters) {
    if (value_of(c) == kNotInCharset) {
      wipe(out.groups);
      return failure(Bech32Error::BadForm);
    }
    checksum.add(value_of(c));
    out.groups.push_back(value_of(c));
  }
  if (checksum.state() != 1) {
    wipe(out.groups);
    return failure(Bech32Error::BadChecksum);
  }
  out.groups.resize(out.groups.size() - kChecksumCharacters);
  return out;
}

Result<Bech32, Bech32Error> decode_bech32(std::string_view code) {
  auto groups = decode_bech32_groups(code, kBech32CharactersMax);
  if (!groups) return failure(groups.error());
  Bech32 out{std::move(groups->prefix), {}};
  const bool padded = to_bytes(groups->groups, out.data);
  wipe(groups->groups);
  if (!padded) {
    wipe(out.data);
    return failure(Bech32Error::BadPadding);
  }
  return out;
}

std::string encode_bech32(std::string_view prefix, ByteSpan data) {
  for (const char c : prefix) CHECK(is_prefix_character(c));
  std::string out;
  // Once and enough: the text may be a secret key, and growth would leave copies behind.
  out.reserve(prefix.size() + 1 + (data.size() * 8 + 4) / 5 + kChecksumCharacters);
  out += prefix;
  out += '1';
  Checksum checksum(prefix);
  const auto put = [&](std::uint32_t value) {
    checksum.add(value);
    out += kCharset[value];
  };
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const std::uint8_t byte : data) {
    bits = (bits << 8 | byte) & 0xfff;
    count += 8;
    while (count >= 5) {
      count -= 5;
      put(bits >> count & 31U);
    }
  }
  if (count > 0) put(bits << (5 - count) & 31U);

  for (std::size_t i = 0; i < kChecksumCharacters; ++i) checksum.add(0);
  const std::uint32_t sum = checksum.state() ^ 1U;
  for (std::size_t i = 0; i < kChecksumCharacters; ++i) {
    out += kCharset[sum >> (5 * (kChecksumCharacters - 1 - i)) & 31U];
  }
  return out;
}

}  // namespace nostril
