#include "base/hex.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

namespace nostril {

namespace {

using Four = FixedBytes<struct FourTag, 4>;

Bytes every_byte() {
  Bytes bytes(256);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

TEST(EncodeHex, WritesLowercaseTwoCharactersAByte) {
  EXPECT_EQ(encode_hex(ByteSpan()), "");
  EXPECT_EQ(encode_hex(Four{{0x00, 0x0f, 0xa9, 0xff}}), "000fa9ff");
}

TEST(EncodeHex, AppendsBehindWhatIsThere) {
  std::string text = "0x";
  append_hex(text, Bytes{0xde, 0xad});
  EXPECT_EQ(text, "0xdead");
}

// Sixteen bytes at a time, and the rest: every size, at every place.
TEST(EncodeHex, WritesTheSameAtEverySizeAndPlace) {
  const Bytes bytes = every_byte();
  for (std::size_t from = 0; from < 17; ++from) {
    for (std::size_t size = 0; size + from <= bytes.size(); ++size) {
      const ByteSpan part = ByteSpan(bytes).subspan(from, size);
      std::string one_by_one;
      for (const std::uint8_t byte : part) one_by_one += fmt::format("{:02x}", byte);
      ASSERT_EQ(encode_hex(part), one_by_one) << from << " " << size;
    }
  }
}

TEST(DecodeHex, ReadsBackEveryByte) {
  EXPECT_EQ(decode_hex(encode_hex(ByteSpan(every_byte()))), every_byte());
  EXPECT_EQ(decode_hex(""), Bytes());
}

// Eight bytes at a time, and the rest: every size.
TEST(DecodeHex, ReadsBackEverySize) {
  const Bytes bytes = every_byte();
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_EQ(decode_hex(encode_hex(ByteSpan(part))), part) << size;
  }
}

// One wrong character, whichever and wherever it is, spoils all of it.
TEST(DecodeHex, RefusesOneWrongCharacterAnywhere) {
  const std::string good = encode_hex(ByteSpan(every_byte()).subspan(90, 21));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
      std::string text = good;
      text[at] = static_cast<char>(c);
      ASSERT_EQ(decode_hex(text).has_value(), digit) << at << " " << c;
    }
  }
}

TEST(DecodeHex, RefusesUppercase) {
  EXPECT_FALSE(decode_hex("AB"));
  EXPECT_FALSE(decode_hex("aB"));
  EXPECT_FALSE(decode_hex("Ab"));
}

TEST(DecodeHex, RefusesEveryOtherCharacterInBothPlaces) {
  for (int c = 0; c < 256; ++c) {
    const auto character = static_cast<char>(c);
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    EXPECT_EQ(decode_hex(std::string{character, '0'}).has_value(), digit) << c;
    EXPECT_EQ(decode_hex(std::string{'0', character}).has_value(), digit) << c;
  }
}

TEST(DecodeHex, RefusesOtherSizes) {
  EXPECT_FALSE(decode_hex("a"));
  EXPECT_FALSE(decode_hex("abc"));
  std::array<std::uint8_t, 2> out{};
  EXPECT_FALSE(decode_hex("aabb0", std::span<std::uint8_t>(out)));
  EXPECT_FALSE(decode_hex("aabbcc", std::span<std::uint8_t>(out)));
  EXPECT_FALSE(decode_hex("aab", std::span<std::uint8_t>(out)));
  EXPECT_FALSE(decode_hex("", std::span<std::uint8_t>(out)));
  EXPECT_TRUE(decode_hex("aabb", std::span<std::uint8_t>(out)));
  EXPECT_EQ(out[1], 0xbb);
}

TEST(FromHex, GivesTheTypeOrNothing) {
  EXPECT_EQ(from_hex<Four>("01020304"), (Four{{1, 2, 3, 4}}));
  EXPECT_FALSE(from_hex<Four>("010203"));
  EXPECT_FALSE(from_hex<Four>("0102030405"));
  EXPECT_FALSE(from_hex<Four>("0102030g"));
}

}  // namespace

}  // namespace nostril
