#include "base/base64.h"

#include <gtest/gtest.h>

#include <random>

namespace nostril {

namespace {

TEST(EncodeBase64, GivesRfc4648sExamples) {
  EXPECT_EQ(encode_base64({}), "");
  EXPECT_EQ(encode_base64(as_bytes("f")), "Zg==");
  EXPECT_EQ(encode_base64(as_bytes("fo")), "Zm8=");
  EXPECT_EQ(encode_base64(as_bytes("foo")), "Zm9v");
  EXPECT_EQ(encode_base64(as_bytes("foob")), "Zm9vYg==");
  EXPECT_EQ(encode_base64(as_bytes("fooba")), "Zm9vYmE=");
  EXPECT_EQ(encode_base64(as_bytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(encode_base64(Bytes{0xfb, 0xff, 0xbf}), "+/+/");
}

TEST(DecodeBase64, ReadsBackWhatWasWritten) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (std::size_t size = 0; size < 200; ++size) {
    Bytes bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
  }
}

TEST(DecodeBase64, HasOneTextForEveryValue) {
  EXPECT_TRUE(decode_base64("Zg=="));
  EXPECT_FALSE(decode_base64("Zh==")) << "spare bits";
  EXPECT_FALSE(decode_base64("Zm9=")) << "spare bits";
  EXPECT_FALSE(decode_base64("Zg")) << "no padding";
  EXPECT_FALSE(decode_base64("Zg=")) << "half a padding";
  EXPECT_FALSE(decode_base64("Zg===")) << "size";
  EXPECT_FALSE(decode_base64("Zg==\n")) << "line break";
  EXPECT_FALSE(decode_base64("Zg==Zg==")) << "padding inside";
  EXPECT_FALSE(decode_base64("Z=g=")) << "padding inside";
  EXPECT_FALSE(decode_base64("Z==="));
  EXPECT_FALSE(decode_base64("===="));
  EXPECT_FALSE(decode_base64("=AAA"));
}

TEST(DecodeBase64, RefusesEveryOtherCharacterInEveryPlace) {
  for (int c = 0; c < 256; ++c) {
    const auto character = static_cast<char>(c);
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '+' || c == '/';
    for (std::size_t at = 0; at < 8; ++at) {
      std::string text = "AAAAAAAA";
      text[at] = character;
      const bool padding = c == '=' && at == 7;
      EXPECT_EQ(decode_base64(text).has_value(), digit || padding) << c << " at " << at;
    }
  }
}

/// Slow twin: every short text over a small alphabet is either what encode writes or refused.
TEST(DecodeBase64, AcceptsExactlyTheImageOfEncode) {
  constexpr std::string_view kSome = "AQgw/+=z";
  for (std::size_t n = 0; n < kSome.size() * kSome.size() * kSome.size() * kSome.size(); ++n) {
    std::string text(4, ' ');
    std::size_t rest = n;
    for (char& c : text) {
      c = kSome[rest % kSome.size()];
      rest /= kSome.size();
    }
    if (const auto bytes = decode_base64(text)) {
      EXPECT_EQ(encode_base64(*bytes), text);
    }
  }
}

TEST(DecodeBase64Lines, TakesLinesOfSixtyFourCharactersOnly) {
  const std::string line(64, 'A');
  EXPECT_EQ(decode_base64_lines(""), Bytes{});
  EXPECT_EQ(decode_base64_lines(line + "\n"), Bytes(48));
  EXPECT_EQ(decode_base64_lines(line + "\nAA==\n"), Bytes(49));
  for (const std::string& text :
       {line, line + "\nAA==", line + "\n\n", "\n" + line + "\n", "AAAA\n" + line + "\n",
        line + "AAAA\n", line + "\r\n", line + "\n AA==\n", line + "\nAA=\n"}) {
    EXPECT_FALSE(decode_base64_lines(text)) << text;
  }
}

TEST(Base64Url, HasItsOwnDigitsAndNoPadding) {
  EXPECT_EQ(encode_base64url(Bytes{0xfb, 0xff, 0xbf}), "-_-_");
  EXPECT_EQ(encode_base64url(as_bytes("f")), "Zg");
  EXPECT_EQ(decode_base64url("-_-_"), (Bytes{0xfb, 0xff, 0xbf}));
  EXPECT_EQ(decode_base64url(""), Bytes{});
  for (std::size_t size = 0; size < 9; ++size) {
    const Bytes bytes(size, 0xfe);
    EXPECT_EQ(decode_base64url(encode_base64url(bytes)), bytes);
  }
  for (const char* text : {"+_-_", "-/-_", "Zg==", "Zg=", "A", "AAAAA", "Zh", "Zg\n", " Zg"}) {
    EXPECT_FALSE(decode_base64url(text)) << text;
  }
}

}  // namespace

}  // namespace nostril
