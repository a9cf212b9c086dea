#include "face/field_encryption.h"

#include "base/rng.h"
#include "tests/face/keys.h"

#include "face/sse_rewriter.h"

#include <vector>

namespace nostril::face {

namespace {

using nostril::test::RepeatableRng;

/// A client of the protocol: keys of its own, and the node's public keys.
struct Client {
  explicit Client(std::uint64_t seed) : rng(seed) {}

  [[nodiscard]] FieldEncryptionHeaders headers(SigningAlgorithm algorithm, bool v2) {
    key_text = algorithm == SigningAlgorithm::Ecdsa
                   ? encode_hex(ByteSpan(ecdsa.public_key().bytes).subspan(1))
                   : encode_hex(ed25519.public_key());
    FieldEncryptionHeaders out;
    out.signing_algo = to_string(algorithm);
    out.client_public_key = key_text;
    if (v2) out.encryption_version = "2";
    return out;
  }

  std::string seal(SigningAlgorithm algorithm, BoxCipher cipher, std::string_view text) {
    const LegacySigner node = test::signer();
    const auto sealed =
        algorithm == SigningAlgorithm::Ecdsa
            ? seal_ecdsa_box("ecdsa_encryption", node.ecdsa().public_key(), {}, as_bytes(text), rng)
            : seal_box({cipher, "ed25519_encryption"}, *to_x25519(node.ed25519().public_key()), {},
                       as_bytes(text), rng);
    return encode_hex(*sealed);
  }

  [[nodiscard]] std::string open(SigningAlgorithm algorithm, BoxCipher cipher,
                                 std::string_view hex) const {
    const Bytes sealed = nostril::test::unhex(hex);
    const auto text =
        algorithm == SigningAlgorithm::Ecdsa
            ? open_ecdsa_box("ecdsa_encryption", ecdsa, {}, sealed)
            : open_box({cipher, "ed25519_encryption"}, ed25519.to_x25519(), {}, sealed);
    return text ? std::string(as_text(*text)) : "(does not open)";
  }

  EcdsaKey ecdsa = *EcdsaKey::from_secret(test::secret_of("client ecdsa"));
  Ed25519Key ed25519 = Ed25519Key::from_seed(test::secret_of("client ed25519"));
  RepeatableRng rng;
  std::string key_text;
};

struct Mode {
  SigningAlgorithm algorithm;
  bool v2;
  BoxCipher cipher;
};

const std::vector<Mode>& modes() {
  static const std::vector<Mode> kModes{
      {SigningAlgorithm::Ecdsa, false, BoxCipher::AesGcm},
      {SigningAlgorithm::Ecdsa, true, BoxCipher::AesGcm},
      {SigningAlgorithm::Ed25519, false, BoxCipher::NaclXChaCha},
      {SigningAlgorithm::Ed25519, false, BoxCipher::NaclXSalsa},
      {SigningAlgorithm::Ed25519, false, BoxCipher::BareXChaCha},
      {SigningAlgorithm::Ed25519, true, BoxCipher::XChaCha},
  };
  return kModes;
}

TEST(FieldEncryption, OpensARequestAndAnswersInItsCipher) {
  const LegacySigner node = test::signer();
  for (const Mode& mode : modes()) {
    Client client(1);
    auto exchange = FieldEncryption::from_headers(client.headers(mode.algorithm, mode.v2), node);
    ASSERT_TRUE(exchange && *exchange);
    const std::string body =
        R"({"model":"m","messages":[{"role":"user","content":")" +
        client.seal(mode.algorithm, mode.cipher, "Grüße \"x\"") +
        R"("},{"role":"user","content":")" +
        client.seal(mode.algorithm, mode.cipher, R"([{"type":"text","text":"hi"}])") +
        R"("},{"role":"assistant","content":""}],"temperature":0.10,"stream":false})";
    const auto plain = (*exchange)->decrypt_request(Endpoint::Chat, body, node);
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(*plain, R"({"model":"m","messages":[{"role":"user","content":"Grüße \"x\""},)"
                      R"({"role":"user","content":[{"type":"text","text":"hi"}]},)"
                      R"({"role":"assistant","content":""}],"temperature":0.10,"stream":false})");
    const auto sealed = (*exchange)->encrypt_response(
        Endpoint::Chat,
        R"({"id":"c","choices":[{"message":{"content":"hello","reasoning":null,"tool_calls":[]}}]})",
        client.rng);
    ASSERT_TRUE(sealed);
    EXPECT_EQ(sealed->find("hello"), std::string::npos);
    const Json answer = test::parsed(*sealed);
    const Json& message = *answer.find("choices")->items()[0].find("message");
    EXPECT_EQ(client.open(mode.algorithm, mode.cipher, *message.find_string("content")), "hello");
    EXPECT_TRUE(message.find("reasoning")->is_null());
  }
}

TEST(FieldEncryption, EncryptsEachDeltaOfAStream) {
  const LegacySigner node = test::signer();
  Client client(2);
  const auto exchange =
      FieldEncryption::from_headers(client.headers(SigningAlgorithm::Ed25519, true), node);
  ASSERT_TRUE(exchange && *exchange);
  SseRewriter stream([&](std::string_view data) -> std::optional<std::string> {
    auto sealed = (*exchange)->encrypt_response(Endpoint::Chat, data, client.rng);
    if (!sealed) return std::nullopt;
    return *std::move(sealed);
  });
  std::string out;
  for (const char* part :
       {": keep-alive\n\nda", "ta: {\"choices\":[{\"delta\":{\"content\":\"to\"}}]}\r\n\r",
        "\ndata:{\"choices\":[{\"delta\":{\"reasoning_content\":\"ken\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n"}) {
    ASSERT_TRUE(stream.feed(part, out));
  }
  ASSERT_TRUE(stream.finish(out));
  EXPECT_EQ(out.find("ken\""), std::string::npos);
  EXPECT_TRUE(out.starts_with(": keep-alive\n\ndata: {\"choices\":[{\"delta\":{\"content\":\""));
  EXPECT_TRUE(out.ends_with(
      "\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n"));
  const std::size_t at = out.find("reasoning_content\":\"") + 20;
  EXPECT_EQ(client.open(SigningAlgorithm::Ed25519, BoxCipher::XChaCha,
                        out.substr(at, out.find('"', at) - at)),
            "ken");
}

TEST(FieldEncryption, KnowsTheFieldsOfEveryEndpoint) {
  const LegacySigner node = test::signer();
  Client client(3);
  const auto mode = Mode{SigningAlgorithm::Ed25519, true, BoxCipher::XChaCha};
  const auto sealed = [&](std::string_view text) {
    return "\"" + client.seal(mode.algorithm, mode.cipher, text) + "\"";
  };

  struct Case {
    Endpoint endpoint;
    std::string request;
    std::string plain;
    std::string response;
  };

  const std::vector<Case> cases{
      {Endpoint::Completions, R"({"prompt":[)" + sealed("a") + "," + sealed("b") + "]}",
       R"({"prompt":["a","b"]})", R"({"choices":[{"text":"SECRET"}]})"},
      {Endpoint::Embeddings, R"({"input":[)" + sealed("a") + ",[1,2]]}", R"({"input":["a",[1,2]]})",
       R"({"data":[{"index":0,"embedding":["SECRET",0.5]}]})"},
      {Endpoint::Images, R"({"prompt":)" + sealed("a") + "}", R"({"prompt":"a"})",
       R"({"data":[{"b64_json":"SECRET","revised_prompt":"SECRET"}]})"},
      {Endpoint::Transcriptions, R"({"prompt":)" + sealed("a") + "}", R"({"prompt":"a"})",
       R"({"text":"SECRET"})"},
      {Endpoint::Rerank,
       R"({"query":)" + sealed("q") + R"(,"documents":[)" + sealed("d") + R"(,{"text":)" +
           sealed("e") + "}]}",
       R"({"query":"q","documents":["d",{"text":"e"}]})",
       R"({"results":[{"document":{"text":"SECRET"}}]})"},
      {Endpoint::Score, R"({"text_1":)" + sealed("a") + R"(,"text_2":)" + sealed("b") + "}",
       R"({"text_1":"a","text_2":"b"})", R"({"score":["SECRET"]})"},
  };
  for (const Case& item : cases) {
    auto exchange = FieldEncryption::from_headers(client.headers(mode.algorithm, mode.v2), node);
    ASSERT_TRUE(exchange && *exchange);
    const auto plain = (*exchange)->decrypt_request(item.endpoint, item.request, node);
    ASSERT_TRUE(plain) << item.request;
    EXPECT_EQ(*plain, item.plain);
    const auto answer = (*exchange)->encrypt_response(item.endpoint, item.response, client.rng);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->find("SECRET"), std::string::npos) << *answer;
  }
}

TEST(FieldEncryption, TakesToolsOnlyWhenAsked) {
  const LegacySigner node = test::signer();
  Client client(4);
  FieldEncryptionHeaders headers = client.headers(SigningAlgorithm::Ecdsa, false);
  const std::string response =
      R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"SECRET"}}]}}]})";
  const std::string tool = R"({"messages":[],"tools":[{"function":{"name":")" +
                           client.seal(SigningAlgorithm::Ecdsa, {}, "f") + R"(","parameters":")" +
                           client.seal(SigningAlgorithm::Ecdsa, {}, R"({"type":"object"})") +
                           R"("}}],"tool_choice":"auto"})";
  auto some = FieldEncryption::from_headers(headers, node);
  headers.encrypt_all_fields = "true";
  auto all = FieldEncryption::from_headers(headers, node);
  ASSERT_TRUE(some && *some && all && *all);
  EXPECT_NE((*some)->encrypt_response(Endpoint::Chat, response, client.rng)->find("SECRET"),
            std::string::npos);
  EXPECT_EQ((*all)->encrypt_response(Endpoint::Chat, response, client.rng)->find("SECRET"),
            std::string::npos);
  EXPECT_EQ((*all)->decrypt_request(Endpoint::Chat, tool, node),
            R"({"messages":[],"tools":[{"function":{"name":"f","parameters":{"type":"object"}}}],)"
            R"("tool_choice":"auto"})");
}

TEST(FieldEncryption, RefusesPlaintextAndBrokenFields) {
  const LegacySigner node = test::signer();
  for (const Mode& mode : modes()) {
    Client client(5);
    auto exchange = FieldEncryption::from_headers(client.headers(mode.algorithm, mode.v2), node);
    ASSERT_TRUE(exchange && *exchange);
    std::string good = client.seal(mode.algorithm, mode.cipher, "text");
    const std::string not_utf8 = client.seal(mode.algorithm, mode.cipher, "\xff");
    std::string changed = good;
    changed.back() = changed.back() == '0' ? '1' : '0';
    for (const std::string& field : {std::string("plain text"), std::string("abcd"), good.substr(2),
                                     good.substr(1), changed, good + "00", not_utf8}) {
      const auto read = (*exchange)->decrypt_request(
          Endpoint::Chat, R"({"messages":[{"content":")" + field + R"("}]})", node);
      ASSERT_FALSE(read) << field;
      EXPECT_EQ(read.error().message, "Decryption failed");
    }
    EXPECT_FALSE((*exchange)->decrypt_request(Endpoint::Chat, "[]", node));
    EXPECT_FALSE((*exchange)->encrypt_response(Endpoint::Chat, "plain", client.rng));
  }
}

TEST(FieldEncryption, RefusesHalfAndWrongHeaders) {
  const LegacySigner node = test::signer();
  Client client(6);
  const auto status = [&](const FieldEncryptionHeaders& headers) {
    const auto read = FieldEncryption::from_headers(headers, node);
    return read ? (*read ? 200 : 204) : read.error().status;
  };
  const FieldEncryptionHeaders good = client.headers(SigningAlgorithm::Ed25519, false);
  EXPECT_EQ(status(good), 200);
  EXPECT_EQ(status({}), 204);
  FieldEncryptionHeaders bad = good;
  bad.client_public_key.reset();
  EXPECT_EQ(status(bad), 400);
  bad = good;
  bad.signing_algo.reset();
  EXPECT_EQ(status(bad), 400);
  bad = good;
  bad.signing_algo = "rsa";
  EXPECT_EQ(status(bad), 400);
  for (const char* version : {"", "0", "3", "02", "2 "}) {
    bad = good;
    bad.encryption_version = version;
    EXPECT_EQ(status(bad), 400) << version;
  }
  bad = good;
  bad.signing_algo = "ecdsa";  // the key is of the other curve
  EXPECT_EQ(status(bad), 400);
  bad = good;
  bad.encrypt_all_fields = "maybe";
  EXPECT_EQ(status(bad), 400);
  bad = good;
  const std::string other = encode_hex(client.ed25519.public_key());
  bad.model_public_key = other;
  EXPECT_EQ(status(bad), 400);
  const std::string ours = node.public_key(SigningAlgorithm::Ed25519);
  bad.model_public_key = ours;
  EXPECT_EQ(status(bad), 200);
}

TEST(SseRewriter, StopsAtLinesThatWouldPassUnchanged) {
  const auto upper = [](std::string_view) { return std::optional<std::string>("X"); };
  for (const char* text : {"plain text\n", "data {}\n", "data: a\rsecret\n", " data: a\n"}) {
    SseRewriter rewriter(upper);
    std::string out;
    EXPECT_EQ(rewriter.feed(text, out).error(), SseError::BadLine) << text;
    EXPECT_EQ(out, "");
  }
  SseRewriter refusing([](std::string_view) { return std::optional<std::string>(); });
  std::string out;
  EXPECT_EQ(refusing.feed("data: a\n", out).error(), SseError::Unchanged);
  SseRewriter bounded(upper, 8);
  EXPECT_TRUE(bounded.feed("data: ab", out));
  EXPECT_EQ(bounded.feed("c", out).error(), SseError::LineTooLong);
}

TEST(SseRewriter, GivesTheSameForEverySplit) {
  const std::string text = "event: a\ndata: 1\r\n\r\n: c\ndata:2\n\ndata: [DONE]\n\ndata: 3";
  const auto change = [](std::string_view data) {
    return std::optional<std::string>("<" + std::string(data) + ">");
  };
  const std::string expected =
      "event: a\ndata: <1>\r\n\r\n: c\ndata: <2>\n\ndata: [DONE]\n\ndata: <3>";
  for (std::size_t split = 0; split <= text.size(); ++split) {
    SseRewriter rewriter(change);
    std::string out;
    ASSERT_TRUE(rewriter.feed(std::string_view(text).substr(0, split), out));
    ASSERT_TRUE(rewriter.feed(std::string_view(text).substr(split), out));
    ASSERT_TRUE(rewriter.finish(out));
    EXPECT_EQ(out, expected);
  }
}

}  // namespace

}  // namespace nostril::face
