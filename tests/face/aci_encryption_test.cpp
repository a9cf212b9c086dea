#include "face/aci_encryption.h"

#include "schnorr/sealed_box.h"
#include "tests/face/keys.h"

#include "face/field_encryption.h"

#include <vector>

namespace nostril::face {

namespace {

using nostril::test::RepeatableRng;

constexpr std::int64_t kNow = 1'750'000'000;
const std::string kNonce = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct Suite {
  std::string_view algorithm;
  std::string_view info;
};

constexpr std::array kSuites{Suite{kAciX25519, "aci.e2ee.v2.x25519"},
                             Suite{kAciSecp256k1, "aci.e2ee.v2.secp256k1"}};

struct Client {
  explicit Client(const Suite& suite_in) : suite(suite_in), node(test::aci_keys()), rng(9) {
    is_x25519 = suite.algorithm == kAciX25519;
    own = is_x25519 ? encode_hex(x25519.public_key()) : encode_hex(ecdsa.public_key());
    model_key = is_x25519 ? encode_hex(node.x25519().public_key())
                          : encode_hex(node.secp256k1().public_key());
  }

  [[nodiscard]] AciEncryptionHeaders headers() const {
    AciEncryptionHeaders out;
    out.version = "2";
    out.client_public_key = own;
    out.model_public_key = model_key;
    out.nonce = kNonce;
    out.timestamp = "1750000000";
    return out;
  }

  [[nodiscard]] std::string aad(std::string_view field, std::optional<std::string_view> id) const {
    return field_aad({suite.algorithm, "demo-model", field, kNonce, kNow, id});
  }

  std::string seal(std::string_view field, std::string_view text) {
    const std::string bound = aad(field, std::nullopt);
    const auto sealed = is_x25519
                            ? seal_box({BoxCipher::AesGcm, suite.info}, node.x25519().public_key(),
                                       as_bytes(bound), as_bytes(text), rng)
                            : seal_ecdsa_box(suite.info, node.secp256k1().public_key(),
                                             as_bytes(bound), as_bytes(text), rng);
    return "\"" + encode_hex(*sealed) + "\"";
  }

  [[nodiscard]] std::string open(std::string_view field, std::string_view id,
                                 std::string_view hex) const {
    const Bytes sealed = nostril::test::unhex(hex);
    const std::string bound = aad(field, id);
    const auto text =
        is_x25519 ? open_box({BoxCipher::AesGcm, suite.info}, x25519, as_bytes(bound), sealed)
                  : open_ecdsa_box(suite.info, ecdsa, as_bytes(bound), sealed);
    return text ? std::string(as_text(*text)) : "(does not open)";
  }

  Suite suite;
  AciKeys node;
  RepeatableRng rng;
  X25519Key x25519 = X25519Key::from_secret(test::secret_of("client x25519"));
  EcdsaKey ecdsa = *EcdsaKey::from_secret(test::secret_of("client ecdsa"));
  bool is_x25519 = true;
  std::string own;
  std::string model_key;
};

TEST(AciEncryption, AssociatedDataIsThatOfTheVectors) {
  constexpr const char* kShared = "vectors/inference/e2ee-v2-test-vectors.md";
  REQUIRE_SHARED(kShared);
  const std::string text = nostril::test::read_file(nostril::test::shared_path(kShared));
  const Client client(kSuites[0]);
  EXPECT_NE(text.find("\n" + client.aad("messages.0.content", std::nullopt) + "\n"),
            std::string::npos);
  EXPECT_NE(text.find("\n" + client.aad("choices.0.message.content", "chatcmpl-123") + "\n"),
            std::string::npos);
  EXPECT_NE(text.find(client.model_key), std::string::npos);
}

TEST(AciEncryption, OpensARequestAndSealsTheAnswer) {
  for (const Suite& suite : kSuites) {
    Client client(suite);
    auto exchange = AciEncryption::from_headers(client.headers(), client.node, kNow + 300);
    ASSERT_TRUE(exchange && *exchange);
    EXPECT_EQ((*exchange)->algorithm(), suite.algorithm);
    const std::string body =
        R"({"model":"demo-model","messages":[{"content":)" +
        client.seal("messages.0.content", "hi") +
        R"(},{"content":[{"type":"image_url","image_url":{"url":)" +
        client.seal("messages.1.content.0.image_url.url", "data:x") + R"(}}]},{"content":)" +
        client.seal("messages.2.content", R"([{"type":"text","text":"a"}])") + "}]}";
    const auto plain = (*exchange)->decrypt_request(Endpoint::Chat, body, client.node);
    ASSERT_TRUE(plain) << plain.error().type;
    EXPECT_EQ(*plain, R"({"model":"demo-model","messages":[{"content":"hi"},)"
                      R"({"content":[{"type":"image_url","image_url":{"url":"data:x"}}]},)"
                      R"({"content":[{"type":"text","text":"a"}]}]})");
    const auto sealed = (*exchange)->encrypt_response(
        Endpoint::Chat, R"({"id":"c1","choices":[{"index":4,"delta":{"content":"yes"}}]})",
        client.rng);
    ASSERT_TRUE(sealed);
    const Json answer = test::parsed(*sealed);
    const std::string hex(
        *answer.find("choices")->items()[0].find("delta")->find_string("content"));
    EXPECT_EQ(client.open("choices.4.delta.content", "c1", hex), "yes");
    EXPECT_EQ(client.open("choices.0.delta.content", "c1", hex), "(does not open)");
    EXPECT_EQ(client.open("choices.4.delta.content", "c2", hex), "(does not open)");
  }
}

TEST(AciEncryption, SealsEmbeddingsAsJson) {
  Client client(kSuites[0]);
  auto exchange = AciEncryption::from_headers(client.headers(), client.node, kNow);
  ASSERT_TRUE(exchange && *exchange);
  const std::string body =
      R"({"model":"demo-model","input":[[1,2],)" + client.seal("input.1", "text") + "]}";
  EXPECT_EQ((*exchange)->decrypt_request(Endpoint::Embeddings, body, client.node),
            R"({"model":"demo-model","input":[[1,2],"text"]})");
  const auto sealed = (*exchange)->encrypt_response(
      Endpoint::Embeddings, R"({"data":[{"index":0,"embedding":[0.5,-1e-3]}]})", client.rng);
  ASSERT_TRUE(sealed);
  const Json answer = test::parsed(*sealed);
  EXPECT_EQ(client.open("data.0.embedding", "",
                        *answer.find("data")->items()[0].find_string("embedding")),
            "[0.5,-1e-3]");
}

TEST(AciEncryption, RefusesMovedPlainAndForeignFields) {
  for (const Suite& suite : kSuites) {
    Client client(suite);
    const std::string field = client.seal("messages.0.content", "hi");
    const std::vector<std::pair<std::string, std::string_view>> cases{
        {R"({"model":"demo-model","messages":[{"content":""},{"content":)" + field + "}]}",
         "e2ee_decryption_failed"},
        {R"({"model":"Demo-model","messages":[{"content":)" + field + "}]}",
         "e2ee_decryption_failed"},
        {R"({"model":"demo-model","messages":[{"content":)" + field + R"(},{"content":"plain"}]})",
         "e2ee_decryption_failed"},
        {R"({"model":"demo-model","messages":[{"content":""}]})", "e2ee_decryption_failed"},
        {R"({"model":"demo-model","messages":[]})", "e2ee_decryption_failed"},
        {R"({"messages":[{"content":)" + field + "}]}", "e2ee_invalid_payload_model"},
        {R"({"model":7,"messages":[{"content":)" + field + "}]}", "e2ee_invalid_payload_model"},
        {"not json", "e2ee_decryption_failed"},
    };
    for (const auto& [body, type] : cases) {
      auto exchange = AciEncryption::from_headers(client.headers(), client.node, kNow);
      ASSERT_TRUE(exchange && *exchange);
      const auto read = (*exchange)->decrypt_request(Endpoint::Chat, body, client.node);
      ASSERT_FALSE(read) << body;
      EXPECT_EQ(read.error().type, type) << body;
    }
    auto exchange = AciEncryption::from_headers(client.headers(), client.node, kNow);
    EXPECT_EQ((*exchange)->decrypt_request(Endpoint::Images, "{}", client.node).error().type,
              "e2ee_unsupported_endpoint");
  }
}

TEST(AciEncryption, NamesWhatIsWrongWithTheHeaders) {
  const Client client(kSuites[0]);
  const Client other(kSuites[1]);
  const auto type = [&](const AciEncryptionHeaders& headers, std::int64_t now = kNow) {
    const auto read = AciEncryption::from_headers(headers, client.node, now);
    return read ? (*read ? "taken" : "not asked") : read.error().type;
  };
  const AciEncryptionHeaders good = client.headers();
  EXPECT_EQ(type(good), "taken");
  EXPECT_EQ(type({}), "not asked");
  EXPECT_EQ(type(good, kNow + 301), "e2ee_invalid_timestamp");
  EXPECT_EQ(type(good, kNow - 301), "e2ee_invalid_timestamp");
  AciEncryptionHeaders bad = good;
  bad.client_public_key.reset();
  EXPECT_EQ(type(bad), "e2ee_header_missing");
  bad = good;
  bad.version = "3";
  EXPECT_EQ(type(bad), "e2ee_invalid_version");
  bad = good;
  bad.signing_algo = "ecdsa";
  EXPECT_EQ(type(bad), "not asked") << "but of Phala's encryption";
  bad = good;
  bad.nonce = "00";
  EXPECT_EQ(type(bad), "e2ee_invalid_nonce");
  for (const char* time : {"", "-1", "1750000000.0", "1750000000 ", "99999999999999999999"}) {
    bad = good;
    bad.timestamp = time;
    EXPECT_EQ(type(bad), "e2ee_invalid_timestamp") << time;
  }
  bad = good;
  bad.model_public_key = client.own;
  EXPECT_EQ(type(bad), "e2ee_model_key_mismatch");
  bad = good;
  bad.client_public_key = other.own;
  EXPECT_EQ(type(bad), "e2ee_invalid_public_key");
  bad = good;
  const std::string marked = "0x" + client.own;
  bad.client_public_key = marked;
  EXPECT_EQ(type(bad), "taken");
  bad = other.headers();
  const std::string unmarked = other.model_key.substr(2);
  bad.model_public_key = unmarked;
  EXPECT_EQ(type(bad), "taken");
}

TEST(AciReplays, AdmitsEachRequestOnce) {
  const Client client(kSuites[0]);
  AciEncryptionHeaders upper = client.headers();
  std::string nonce = kNonce;
  for (char& c : nonce) c = static_cast<char>(std::toupper(c));
  upper.nonce = nonce;
  const auto first = AciEncryption::from_headers(client.headers(), client.node, kNow);
  const auto again = AciEncryption::from_headers(upper, client.node, kNow);
  EXPECT_EQ((*first)->replay_id(), (*again)->replay_id());
  AciReplays replays(2);
  EXPECT_TRUE(replays.admit((*first)->replay_id(), kNow, kNow));
  EXPECT_FALSE(replays.admit((*again)->replay_id(), kNow, kNow + 300));
  EXPECT_TRUE(replays.admit(sha256("b"), kNow, kNow));
  EXPECT_FALSE(replays.admit(sha256("c"), kNow, kNow));             // full
  EXPECT_FALSE(replays.admit(sha256("d"), kNow, kNow + 301));       // late
  EXPECT_TRUE(replays.admit(sha256("c"), kNow + 301, kNow + 301));  // the old ones have left
}

TEST(AciReplays, TakesNothingOfBeforeItsStart) {
  AciReplays replays(2, kNow);
  EXPECT_FALSE(replays.admit(sha256("a"), kNow - 1, kNow));
  EXPECT_TRUE(replays.admit(sha256("a"), kNow, kNow));
  EXPECT_FALSE(replays.admit(sha256("a"), kNow, kNow + 1));
}

TEST(AciReplays, TakesNothingAgainWhenTheClockIsSetBack) {
  AciReplays replays;
  ASSERT_TRUE(replays.admit(sha256("a"), kNow, kNow));
  ASSERT_TRUE(replays.admit(sha256("b"), kNow + 3600, kNow + 3600));
  EXPECT_FALSE(replays.admit(sha256("a"), kNow, kNow));
}

}  // namespace

}  // namespace nostril::face
