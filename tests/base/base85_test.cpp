#include "base/base85.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace nostril {
namespace {

TEST(EncodeBase85, GivesTheExampleOfZ85) {
  EXPECT_EQ(encode_base85({}), "");
  EXPECT_EQ(encode_base85(Bytes{0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b}), "HelloWorld");
  EXPECT_EQ(encode_base85(Bytes{0xff, 0xff, 0xff, 0xff}), "%nSc0");
}

TEST(EncodeBase85, WritesWhatIsOverAsShorterNumbers) {
  EXPECT_EQ(encode_base85(Bytes{0}), "00");
  EXPECT_EQ(encode_base85(Bytes{255}), "30");
  EXPECT_EQ(encode_base85(Bytes{255, 255}), "960");
}

TEST(DecodeBase85, ReadsBackWhatWasWritten) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (std::size_t size = 0; size < 200; ++size) {
    Bytes bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const std::string text = encode_base85(bytes);
    EXPECT_EQ(decode_base85(text), bytes);
    EXPECT_EQ(text.find_first_of("\"\\\n"), std::string::npos) << "JSON escapes nothing";
  }
}

TEST(DecodeBase85, RefusesNumbersThatTheirBytesCantHold) {
  EXPECT_TRUE(decode_base85("%nSc0"));
  EXPECT_FALSE(decode_base85("%nSc1")) << "2^32";
  EXPECT_TRUE(decode_base85("30"));
  EXPECT_FALSE(decode_base85("31")) << "256";
  EXPECT_FALSE(decode_base85("0")) << "no byte";
  EXPECT_FALSE(decode_base85("000000")) << "a group and no byte";
  EXPECT_FALSE(decode_base85("#####"));
}

TEST(DecodeBase85, RefusesEveryOtherCharacterInEveryPlace) {
  const std::string alphabet =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
  for (int c = 0; c < 256; ++c) {
    for (std::size_t at = 0; at < 7; ++at) {
      std::string text = "0000000";
      text[at] = static_cast<char>(c);
      const bool digit = alphabet.find(static_cast<char>(c)) != std::string::npos;
      if (!digit) {
        EXPECT_FALSE(decode_base85(text)) << c << " at " << at;
      } else if (at == 4 || at == 6) {
        EXPECT_TRUE(decode_base85(text)) << c << " at " << at;
      }
    }
  }
}

}  // namespace
}  // namespace nostril
