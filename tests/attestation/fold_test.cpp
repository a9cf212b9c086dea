// Folding: what is found in a text, and that a text has one folding.
#include "attestation/fold.h"

#include "base/base64.h"
#include "base/hex.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace nostril::attestation {
namespace {

constexpr std::size_t kBytesMax = 1U << 20U;

Bytes folded(std::string_view text) {
  return fold(as_bytes(text));
}

/// The text as one literal.
Bytes literal(std::string_view text) {
  Bytes out = {static_cast<std::uint8_t>(text.size())};
  out.insert(out.end(), text.begin(), text.end());
  return out;
}

std::string lines(ByteSpan bytes) {
  std::string unbroken = encode_base64(bytes);
  std::string out;
  for (std::size_t at = 0; at < unbroken.size(); at += 64) out += unbroken.substr(at, 64) + "\n";
  return out;
}

Bytes counted(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(7 * i + 3);
  return out;
}

TEST(Fold, WritesHexAsBytes) {
  EXPECT_EQ(folded(""), Bytes());
  EXPECT_EQ(folded("sha256:00112233445566ff,"),
            (Bytes{7, 's',  'h',  'a',  '2',  '5',  '6',  ':',  1, 8,
                   0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0xff, 1, ','}));
  EXPECT_EQ(folded("00112233445566ff7"),
            (Bytes{0, 1, 8, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0xff, 1, '7'}))
      << "an odd digit stays";
}

TEST(Fold, LeavesShortAndUppercaseHex) {
  for (const std::string_view text : {"00112233445566f", "00112233445566FF", "0011223 3445566ff"}) {
    EXPECT_EQ(folded(text), literal(text)) << text;
  }
}

TEST(Fold, WritesLinesOfBase64AsBytes) {
  for (const std::size_t size : {48U, 49U, 50U, 51U, 96U, 97U, 1000U}) {
    const Bytes bytes = counted(size);
    const Bytes out = folded("-----BEGIN X-----\n" + lines(bytes) + "-----END X-----\n");
    EXPECT_LT(out.size(), 2 * 18 + 5 + size) << size;
    EXPECT_EQ(unfold(out, kBytesMax).value(), [&] {
      const std::string text = "-----BEGIN X-----\n" + lines(bytes) + "-----END X-----\n";
      return Bytes(text.begin(), text.end());
    }()) << size;
  }
}

TEST(Fold, LeavesBase64OfAnotherForm) {
  const std::string line = lines(counted(48));
  std::string spare = lines(counted(49));
  ASSERT_TRUE(spare.ends_with("==\n"));
  for (const std::string& text : {line.substr(0, 64), " " + line, "x" + line, lines(counted(45)),
                                  line.substr(0, 64) + "\r\n"}) {
    EXPECT_EQ(folded(text), literal(text)) << text;
  }
  // What follows a full line and is no end of it stays as it is.
  spare[spare.size() - 4] = 'B';
  const Bytes out = folded(spare);
  EXPECT_EQ(out[1], 2) << "the full line";
  EXPECT_EQ(unfold(out, kBytesMax).value(), Bytes(spare.begin(), spare.end()));
  EXPECT_EQ(out.back(), '\n');
}

TEST(Unfold, RefusesEveryOtherFoldingOfATextThatHasOne) {
  const std::string hex = "00112233445566ff";
  EXPECT_TRUE(unfold(folded(hex), kBytesMax));
  EXPECT_FALSE(unfold(literal(hex), kBytesMax)) << "hex as it is";
  EXPECT_FALSE(unfold(Bytes{1, 'x', 1, 1, 0xab}, kBytesMax)) << "short hex folded";
  EXPECT_FALSE(unfold(Bytes{0, 1, 0}, kBytesMax)) << "an empty run";
  EXPECT_FALSE(unfold(Bytes{0}, kBytesMax)) << "an empty literal at the end";
  EXPECT_FALSE(unfold(Bytes{1, 'x', 1, 'y'}, kBytesMax)) << "two literals, or no run";
  EXPECT_FALSE(unfold(Bytes{0x81, 0, 'x'}, kBytesMax)) << "a length of two bytes";
  EXPECT_FALSE(unfold(Bytes{2, 'x'}, kBytesMax)) << "a literal that is not there";
  EXPECT_FALSE(unfold(Bytes{0x80, 0x80, 0x80, 0x80, 0}, kBytesMax)) << "a length without end";
  Bytes other_kind = folded(hex);
  for (const unsigned kind : {0U, 2U, 3U, 255U}) {
    other_kind[1] = static_cast<std::uint8_t>(kind);
    EXPECT_FALSE(unfold(other_kind, kBytesMax)) << kind;
  }
}

TEST(Unfold, StaysWithinItsBound) {
  const std::string text = "x" + std::string(1000, 'a') + "y";
  EXPECT_TRUE(unfold(folded(text), text.size()));
  EXPECT_FALSE(unfold(folded(text), text.size() - 1));
  EXPECT_FALSE(unfold(folded(text), 0));
}

/// Text with hex, lines and noise of every length, in any order.
TEST(Unfold, ReadsBackEveryText) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (std::size_t parts = random() % 6; parts > 0; --parts) {
      const Bytes bytes = counted(random() % 120);
      switch (random() % 4) {
        case 0:
          text += encode_hex(bytes);
          break;
        case 1:
          text += lines(bytes);
          break;
        case 2:
          text += "\n";
          break;
        default:
          text += as_text(ByteSpan(bytes));
      }
    }
    const Bytes wanted(text.begin(), text.end());
    ASSERT_EQ(unfold(folded(text), text.size()).value(), wanted);
  }
}

}  // namespace
}  // namespace nostril::attestation
