#include "base/percent.h"

#include <gtest/gtest.h>

namespace nostril {
namespace {

TEST(PercentDecode, TakesTwoHexDigitsOnly) {
  EXPECT_EQ(percent_decode("Qwen%2FQwen3"), "Qwen/Qwen3");
  EXPECT_EQ(percent_decode("a%2Bb%0a"), "a+b\n");
  EXPECT_EQ(percent_decode("a%00b").value().size(), 3U);
  EXPECT_EQ(percent_decode(""), "");
  for (const char* text : {"%", "%2", "a%", "%zz", "%+1", "%-1", "% 1", "%0x"}) {
    EXPECT_FALSE(percent_decode(text)) << text;
  }
}

TEST(PercentEncode, KeepsTheUnreservedOfRfc3986AndIsUndoneByDecode) {
  EXPECT_EQ(percent_encode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(percent_encode("/ +%\xff"), "%2F%20%2B%25%FF");
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  EXPECT_EQ(percent_decode(percent_encode(every)), every);
}

}  // namespace
}  // namespace nostril
