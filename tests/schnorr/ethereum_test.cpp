// Hashes and signatures as Ethereum uses them, against vectors outside the checkout
// (tests/README.md).
#include "schnorr/ecdsa_key.h"
#include "schnorr/keccak.h"
#include "tests/schnorr/vectors.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace nostril {
namespace {

using test::load_json;
using test::text_of;
using test::unhex;

Bytes without_0x(const Json& object, std::string_view key) {
  return unhex(std::string_view(text_of(object, key)).substr(2));
}

EcdsaKey key_of(const Json& object) {
  const Bytes bytes = without_0x(object, "private_key");
  CHECK(bytes.size() == 32);
  return *EcdsaKey::from_secret(SecretBytes<32>(std::span<const std::uint8_t, 32>(bytes)));
}

TEST(EthereumVectors, Keccak256) {
  REQUIRE_SHARED("vectors/eth/keccak256.json");
  const Json vectors = load_json("vectors/eth/keccak256.json");
  EXPECT_GT(vectors.items().size(), 40U);
  for (const Json& entry : vectors.items()) {
    EXPECT_EQ(encode_hex(keccak256(unhex(text_of(entry, "msg")))), text_of(entry, "keccak256"));
  }
}

TEST(EthereumVectors, PersonalSignatures) {
  REQUIRE_SHARED("vectors/eth/eip191_personal_sign.json");
  const Json file = load_json("vectors/eth/eip191_personal_sign.json");
  for (const Json& entry : file.find("vectors")->items()) {
    const EcdsaKey key = key_of(entry);
    const std::string message = text_of(entry, "message");
    EXPECT_EQ(encode_hex(key.address()), encode_hex(without_0x(entry, "address")));
    EXPECT_EQ(encode_hex(eip191_digest(message)), encode_hex(without_0x(entry, "digest")));
    const EthereumSignature signature = key.sign_personal(message);
    EXPECT_EQ(encode_hex(signature), encode_hex(without_0x(entry, "signature")));
    EXPECT_EQ(recover_personal(message, signature), key.address());
  }
}

TEST(EthereumVectors, SignatureOfADigest) {
  REQUIRE_SHARED("vectors/eth/eip712_mail_example.json");
  const Json entry = load_json("vectors/eth/eip712_mail_example.json");
  const EcdsaKey key = key_of(entry);
  const auto digest = test::fixed<Digest>(std::string_view(text_of(entry, "digest")).substr(2));
  const EthereumSignature signature = key.sign_digest(digest);
  EXPECT_EQ(encode_hex(signature), encode_hex(without_0x(*entry.find("signature"), "serialized")));
  EXPECT_EQ(recover_digest(digest, signature), key.address());
  Digest other = digest;
  other.bytes[0] ^= 1;
  EXPECT_NE(recover_digest(other, signature), key.address());
}

TEST(EthereumVectors, RecoveryAsThePrecompile) {
  REQUIRE_SHARED("vectors/eth/ecrecover_precompile.json");
  const Json vectors = load_json("vectors/eth/ecrecover_precompile.json");
  for (const Json& entry : vectors.items()) {
    Bytes input = unhex(text_of(entry, "Input"));
    ASSERT_GE(input.size(), 128U);
    input.resize(128);  // the precompile reads no further
    // v is a whole word there: what has more bits than ours is nobody's.
    EthereumSignature signature;
    std::ranges::copy(ByteSpan(input).subspan(64), signature.bytes.begin());
    const auto high = ByteSpan(input).subspan(32, 31);
    const bool fits = std::ranges::all_of(high, [](std::uint8_t byte) { return byte == 0; });
    signature.bytes.back() = fits ? input[63] : 0;
    const auto digest = Digest::from(ByteSpan(input).first(32));
    const auto recovered = recover_digest(*digest, signature);
    const std::string expected = text_of(entry, "Expected");
    // The precompile also takes a high s; ours, as transactions, does not (EIP-2).
    const bool is_high = input[96] >= 0x80;
    ASSERT_EQ(recovered.has_value(), !expected.empty() && !is_high) << text_of(entry, "Name");
    if (recovered) {
      EXPECT_EQ(encode_hex(*recovered), expected.substr(24));
    }
  }
}

TEST(EcdsaKeyOfAKeypair, HasTheAddressThatItsPublicKeyTells) {
  SystemRng rng;
  for (int i = 0; i < 16; ++i) {  // about half of them have an odd y
    const Keypair pair = Keypair::generate(rng);
    const auto point = lift_x(pair.public_key().span());
    ASSERT_TRUE(point.has_value());
    EXPECT_EQ(EcdsaKey::of(pair).address(), ethereum_address(*point));
  }
}

TEST(LiftX, GivesTheEvenPointOrNone) {
  // The generator's x; its y is even.
  const auto x =
      test::fixed<Digest>("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
  const auto point = lift_x(x.span());
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(encode_hex(ByteSpan(point->bytes).last(32)),
            "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8");
  Digest none;
  EXPECT_FALSE(lift_x(none.span()).has_value());
  none.bytes.back() = 5;  // 5^3 + 7 is no square
  EXPECT_FALSE(lift_x(none.span()).has_value());
  none.bytes.fill(0xff);
  EXPECT_FALSE(lift_x(none.span()).has_value());
}

}  // namespace
}  // namespace nostril
