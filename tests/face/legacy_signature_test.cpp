#include "face/legacy_signature.h"

#include "tests/face/keys.h"

#include "face/api_error.h"

#include <utility>
#include <vector>

namespace nostril::face {

namespace {

using nostril::test::load_json;
using nostril::test::text_of;

constexpr const char* kShared = "vectors/inference/legacy_signature_vectors.json";

SignedText example() {
  return {"org/model:v1", sha256("request"), sha256("response")};
}

TEST(SignedText, KeepsColonsOfTheModel) {
  const SignedText text = example();
  EXPECT_EQ(parse_signed_text(to_text(text)), text);
  const SignedText two{std::nullopt, text.request, text.response};
  EXPECT_EQ(to_text(two).size(), 129U);
  EXPECT_EQ(parse_signed_text(to_text(two)), two);
}

TEST(SignedText, RefusesOtherForms) {
  const std::string two = to_text({std::nullopt, sha256("a"), sha256("b")});
  for (const std::string& text : {std::string(), ":" + two, two.substr(1), two + "0", "x" + two,
                                  two.substr(0, 64) + "_" + two.substr(65), "M" + two.substr(1)}) {
    EXPECT_FALSE(parse_signed_text(text)) << text;
  }
}

TEST(LegacySignature, VerifiesWhatItSigns) {
  const LegacySigner signer = test::signer();
  for (const SigningAlgorithm algorithm : {SigningAlgorithm::Ecdsa, SigningAlgorithm::Ed25519}) {
    const ChatSignature signature = signer.sign(example(), algorithm);
    const auto verified = verify_chat_signature(to_json(signature));
    ASSERT_TRUE(verified) << to_string(verified.error());
    EXPECT_EQ(*verified, example());
  }
}

TEST(LegacySignature, HasTheMembersThatClientsRead) {
  const LegacySigner signer = test::signer();
  const Json json = test::parsed(to_json(signer.sign(example(), SigningAlgorithm::Ecdsa)));
  EXPECT_EQ(json.members().size(), 4U);
  EXPECT_EQ(text_of(json, "text"), to_text(example()));
  EXPECT_EQ(text_of(json, "signing_address"), "0x924f4be2a24d92c9327a2098037660d1435d3f33");
  EXPECT_EQ(text_of(json, "signing_algo"), "ecdsa");
  EXPECT_EQ(text_of(json, "signature").size(), 132U);
}

TEST(LegacySignature, RefusesEachWrongMember) {
  const LegacySigner signer = test::signer();
  const ChatSignature good = signer.sign(example(), SigningAlgorithm::Ed25519);
  ChatSignature bad = good;
  bad.text[0] = 'x';
  EXPECT_EQ(verify_chat_signature(to_json(bad)).error(), SignatureError::BadSignature);
  bad = good;
  bad.text = "nothing";
  EXPECT_EQ(verify_chat_signature(to_json(bad)).error(), SignatureError::BadText);
  bad = good;
  bad.signature[5] = bad.signature[5] == '0' ? '1' : '0';
  EXPECT_EQ(verify_chat_signature(to_json(bad)).error(), SignatureError::BadSignature);
  bad = good;
  bad.algorithm = SigningAlgorithm::Ecdsa;
  EXPECT_EQ(verify_chat_signature(to_json(bad)).error(), SignatureError::BadSignature);
  bad = good;
  bad.signing_address = signer.address(SigningAlgorithm::Ecdsa);
  EXPECT_EQ(verify_chat_signature(to_json(bad)).error(), SignatureError::BadSignature);
  EXPECT_EQ(verify_chat_signature("{}").error(), SignatureError::BadField);
  EXPECT_EQ(verify_chat_signature("{").error(), SignatureError::NotJson);
  EXPECT_EQ(verify_chat_signature(std::string(kChatSignatureBytesMax + 1, ' ')).error(),
            SignatureError::NotJson);
}

TEST(LegacySignature, GivesTheSharedFixedVectors) {
  REQUIRE_SHARED(kShared);
  const Json fixed = *load_json(kShared).find("fixed");
  const LegacySigner signer(*EcdsaKey::from_secret(test::secret_filled(0x11)),
                            Ed25519Key::from_seed(test::secret_filled(7)));
  EXPECT_EQ(signer.address(SigningAlgorithm::Ecdsa), text_of(fixed, "eth_address"));
  EXPECT_EQ(signer.public_key(SigningAlgorithm::Ecdsa), text_of(fixed, "public_key_64"));
  EXPECT_EQ(signer.address(SigningAlgorithm::Ed25519), text_of(fixed, "ed25519_pub"));
  const SignedText text{"demo-model", sha256(text_of(fixed, "request_body")),
                        sha256(text_of(fixed, "response_body"))};
  EXPECT_EQ(to_text(text), text_of(fixed, "text"));
  EXPECT_EQ(signer.sign(text, SigningAlgorithm::Ecdsa).signature,
            text_of(fixed, "signature_ecdsa"));
  EXPECT_EQ(signer.sign(text, SigningAlgorithm::Ed25519).signature,
            text_of(fixed, "signature_ed25519"));
}

TEST(LegacySignature, VerifiesAnswersOfProduction) {
  REQUIRE_SHARED(kShared);
  const Json vectors = load_json(kShared);
  for (const auto& [name, address] :
       {std::pair("production_near", "signing_address"), {"production_phala_2024", "recovered"}}) {
    const Json& given = *vectors.find(name);
    ChatSignature signature;
    signature.text = text_of(given, "text");
    signature.signature = text_of(given, "signature");
    signature.signing_address = text_of(given, address);
    const auto text = verify_chat_signature(to_json(signature));
    ASSERT_TRUE(text) << name;
    EXPECT_EQ(text->request, sha256(text_of(given, "request_body"))) << name;
    EXPECT_EQ(text->response, sha256(text_of(given, "response_body"))) << name;
  }
}

TEST(ApiError, HasOpenAisForm) {
  EXPECT_EQ(error_json({404, "not_found", "Chat id not found or expired"}),
            R"({"error":{"message":"Chat id not found or expired","type":"not_found",)"
            R"("param":null,"code":null}})");
}

}  // namespace

}  // namespace nostril::face
