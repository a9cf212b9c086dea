#include "face/field_encryption.h"

#include "base/rng.h"
#include "tests/face/keys.h"

#include "face/sse_rewriter.h"

#include <vector>

namespace nostril::face {

namespace {

using nostril::test::RepeatableRng;
using nostril::test::text_of;

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

  std::string seal(SigningAlgorithm algorithm, BoxCipher cipher, std::string_view text,
                   std::string_view aad = {}) {
    const LegacySigner node = test::signer();
    const auto sealed =
        algorithm == SigningAlgorithm::Ecdsa
            ? seal_ecdsa_box("ecdsa_encryption", node.ecdsa().public_key(), as_bytes(aad),
                             as_bytes(text), rng)
            : seal_box({cipher, "ed25519_encryption"}, *to_x25519(node.ed25519().public_key()),
                       as_bytes(aad), as_bytes(text), rng);
    return encode_hex(*sealed);
  }

  [[nodiscard]] std::string open(SigningAlgorithm algorithm, BoxCipher cipher, std::string_view hex,
                                 std::string_view aad = {}) const {
    const Bytes sealed = nostril::test::unhex(hex);
    const auto text =
        algorithm == SigningAlgorithm::Ecdsa
            ? open_ecdsa_box("ecdsa_encryption", ecdsa, as_bytes(aad), sealed)
            : open_box({cipher, "ed25519_encryption"}, ed25519.to_x25519(), as_bytes(aad), sealed);
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
      {SigningAlgorithm::Ed25519, false, BoxCipher::AesGcm},
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

/// Phala's version 2: one exchange of a client that says so.
struct BoundExchange {
  explicit BoundExchange(SigningAlgorithm with) : algorithm(with), name(to_string(with)) {}

  [[nodiscard]] FieldEncryptionHeaders headers() {
    FieldEncryptionHeaders out = client.headers(algorithm, false);
    node_key = node.public_key(algorithm);
    out.model_public_key = node_key;
    out.e2ee_nonce = kNonce;
    out.e2ee_timestamp = "1750000000";
    return out;
  }

  [[nodiscard]] FieldEncryption begin() { return **FieldEncryption::from_headers(headers(), node); }

  [[nodiscard]] std::string seal(std::string_view text, const std::string& place) {
    return client.seal(algorithm, BoxCipher::AesGcm, text,
                       "v2|req|algo=" + name + "|model=m/1|" + place + kEnd);
  }

  [[nodiscard]] std::string open(std::string_view hex, const std::string& place) {
    return client.open(algorithm, BoxCipher::AesGcm, hex,
                       "v2|resp|algo=" + name + "|model=m/2|id=chat-1|" + place + kEnd);
  }

  static constexpr std::string_view kNonce = "n1750000000abcd1234";
  inline static const std::string kEnd = "|n=n1750000000abcd1234|ts=1750000000";

  SigningAlgorithm algorithm;
  std::string name;
  Client client{7};
  LegacySigner node = test::signer();
  std::string node_key;
};

TEST(BoundFieldEncryption, BindsEachFieldToItsPlaceModelNonceAndTime) {
  for (const SigningAlgorithm algorithm : {SigningAlgorithm::Ecdsa, SigningAlgorithm::Ed25519}) {
    BoundExchange bound(algorithm);
    FieldEncryption exchange = bound.begin();
    EXPECT_EQ(exchange.e2ee_version(), "2");
    const std::string first = bound.seal("one", "m=0|c=-");
    const std::string part = bound.seal("two", "m=1|c=1");
    const auto request = [](const std::string& a, const std::string& b) {
      return R"({"model":"m/1","messages":[{"content":")" + a +
             R"("},{"content":[{"type":"image_url","image_url":{"url":"data:"}},)"
             R"({"type":"text","text":")" +
             b + R"("}]}]})";
    };
    EXPECT_EQ(exchange.decrypt_request(Endpoint::Chat, request(first, part), bound.node).value(),
              request("one", "two"));
    // At another's place, of another model, under another nonce or time: none opens.
    EXPECT_FALSE(exchange.decrypt_request(Endpoint::Chat, request(part, part), bound.node));
    EXPECT_FALSE(exchange.decrypt_request(Endpoint::Chat, request("one", part), bound.node));
    std::string other_model = request(first, part);
    other_model.replace(other_model.find("m/1"), 3, "m/2");
    EXPECT_FALSE(exchange.decrypt_request(Endpoint::Chat, other_model, bound.node));
    for (auto member :
         {&FieldEncryptionHeaders::e2ee_nonce, &FieldEncryptionHeaders::e2ee_timestamp}) {
      FieldEncryptionHeaders headers = bound.headers();
      headers.*member = "1750000000000001";
      if (member == &FieldEncryptionHeaders::e2ee_timestamp) headers.*member = "1750000001";
      auto moved = FieldEncryption::from_headers(headers, bound.node);
      ASSERT_TRUE(moved && *moved);
      EXPECT_FALSE((*moved)->decrypt_request(Endpoint::Chat, request(first, part), bound.node));
    }

    // The index of a choice is its position, whatever it calls itself.
    const auto answer = exchange.encrypt_response(
        Endpoint::Chat,
        R"({"id":"chat-1","model":"m/2","choices":[{"index":3,"delta":{"content":"three",)"
        R"("reasoning_content":"why"}},{"index":4,"message":{"content":"four","refusal":null}}]})",
        bound.client.rng);
    ASSERT_TRUE(answer);
    const Json json = test::parsed(*answer);
    const auto& choices = json.find("choices")->items();
    const Json& delta = *choices[0].find("delta");
    EXPECT_EQ(bound.open(text_of(delta, "content"), "choice=0|field=content"), "three");
    EXPECT_EQ(bound.open(text_of(delta, "reasoning_content"), "choice=0|field=reasoning_content"),
              "why");
    EXPECT_EQ(bound.open(text_of(*choices[1].find("message"), "content"), "choice=1|field=content"),
              "four");
  }
}

TEST(BoundFieldEncryption, IsForChatOnly) {
  BoundExchange bound(SigningAlgorithm::Ecdsa);
  FieldEncryption exchange = bound.begin();
  const std::string prompt = bound.seal("text", "m=0|c=-");
  EXPECT_FALSE(exchange.decrypt_request(
      Endpoint::Completions, R"({"model":"m/1","prompt":")" + prompt + R"("})", bound.node));
  EXPECT_FALSE(exchange.decrypt_field(prompt, bound.node));
}

TEST(BoundFieldEncryption, TellsItsVersionByItsHeaders) {
  BoundExchange bound(SigningAlgorithm::Ed25519);
  const auto read = [&](const FieldEncryptionHeaders& headers) {
    const auto found = FieldEncryption::from_headers(headers, bound.node);
    return found ? std::string((*found)->e2ee_version()) : std::string(found.error().type);
  };
  const FieldEncryptionHeaders good = bound.headers();
  EXPECT_EQ(read(good), "2");
  FieldEncryptionHeaders headers = good;
  for (const char* version : {"", "1", "2"}) {
    headers.e2ee_version = version;
    EXPECT_EQ(read(headers), "2") << version;
  }
  headers.e2ee_version = "3";
  EXPECT_EQ(read(headers), "e2ee_invalid_version");
  headers = good;
  headers.e2ee_nonce.reset();
  EXPECT_EQ(read(headers), "e2ee_header_missing");
  headers = good;
  headers.e2ee_timestamp.reset();
  EXPECT_EQ(read(headers), "e2ee_header_missing");
  headers = good;
  headers.model_public_key.reset();
  EXPECT_EQ(read(headers), "e2ee_header_missing");
  headers = good;
  headers.e2ee_nonce.reset();
  headers.e2ee_timestamp.reset();
  EXPECT_EQ(read(headers), "1");
  headers.e2ee_version = "2";
  EXPECT_EQ(read(headers), "e2ee_header_missing");
  headers = good;
  headers.encryption_version = "2";
  EXPECT_EQ(read(headers), "e2ee_invalid_version");
  headers = good;
  headers.encrypt_all_fields = "true";
  EXPECT_EQ(read(headers), "e2ee_invalid_version");
  for (const auto& nonce : {std::string("short"), std::string(257, 'n'), std::string(20, ' ')}) {
    headers = good;
    headers.e2ee_nonce = nonce;
    EXPECT_EQ(read(headers), "e2ee_invalid_nonce") << nonce;
  }
  for (const char* time : {"", "-1", "1750000000.5", "99999999999999999999"}) {
    headers = good;
    headers.e2ee_timestamp = time;
    EXPECT_EQ(read(headers), "e2ee_invalid_timestamp") << time;
  }
}

TEST(BoundFieldEncryption, NamesARequestByAlgorithmNonceAndTime) {
  BoundExchange bound(SigningAlgorithm::Ed25519);
  const auto id_of = [&](const FieldEncryptionHeaders& headers) {
    return encode_hex((*FieldEncryption::from_headers(headers, bound.node))->once()->id);
  };
  const std::string id = id_of(bound.headers());
  FieldEncryptionHeaders headers = bound.headers();
  headers.e2ee_timestamp = "1750000001";
  EXPECT_NE(id_of(headers), id);
  headers = bound.headers();
  headers.e2ee_nonce = "n1750000000abcd1235";
  EXPECT_NE(id_of(headers), id);
  // Another key to answer to makes no other request of it.
  headers = bound.headers();
  const std::string other = encode_hex(Ed25519Key::from_seed(test::secret_of("x")).public_key());
  headers.client_public_key = other;
  EXPECT_EQ(id_of(headers), id);
  headers = bound.headers();
  headers.e2ee_nonce.reset();
  headers.e2ee_timestamp.reset();
  EXPECT_FALSE((*FieldEncryption::from_headers(headers, bound.node))->once());
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
