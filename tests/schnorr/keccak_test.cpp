#include "schnorr/keccak.h"

#include "base/hex.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril {
namespace {

std::string keccak_hex(std::string_view text) {
  return encode_hex(keccak256(as_bytes(text)));
}

// Values of the Keccak team's reference and of Ethereum's documents.
TEST(Keccak256, GivesTheKnownDigests) {
  EXPECT_EQ(keccak_hex(""), "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
  EXPECT_EQ(keccak_hex("abc"), "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
  EXPECT_EQ(keccak_hex("testing"),
            "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02");
}

TEST(Keccak256, PadsEveryLengthAroundABlock) {
  // One byte more or less must change everything; the block is 136 bytes.
  std::string previous;
  for (const std::size_t size : {134U, 135U, 136U, 137U, 271U, 272U, 273U}) {
    const std::string digest = keccak_hex(std::string(size, 'a'));
    EXPECT_NE(digest, previous) << size;
    previous = digest;
  }
  EXPECT_EQ(keccak_hex(std::string(136, 'a')),
            "a6c4d403279fe3e0af03729caada8374b5ca54d8065329a3ebcaeb4b60aa386e");
}

// The key of the Ethereum yellow paper's first private key, 1: its address is well known.
TEST(Keccak256, MakesAnEthereumAddress) {
  const auto key = decode_hex(
      "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
      "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8");
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(encode_hex(keccak256(*key)).substr(24), "7e5f4552091a69125d5dfcb7b8c2659029395bdf");
}

}  // namespace
}  // namespace nostril
