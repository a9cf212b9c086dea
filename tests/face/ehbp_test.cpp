#include "face/ehbp.h"

#include "schnorr/aead.h"
#include "tests/face/keys.h"

namespace nostril::face {

namespace {

using nostril::test::bytes_of;
using nostril::test::load_json;
using nostril::test::RepeatableRng;
using nostril::test::text_of;

X25519Key node_key() {
  return X25519Key::from_secret(test::secret_of("hpke"));
}

std::string frame(const Bytes& sealed) {
  std::string out(3, '\0');
  CHECK(sealed.size() < 256);
  out += static_cast<char>(sealed.size());
  return out + std::string(as_text(sealed));
}

/// A client: its context and the value of its key header.
struct Client {
  Client() : ephemeral(X25519Key::from_secret(test::secret_of("ephemeral"))) {
    header = encode_hex(ephemeral.public_key());
    context = HpkeContext::send(node_key().public_key(), "ehbp request", ephemeral);
  }

  std::string seal(std::string_view text) {
    Bytes sealed;
    context->seal(sealed, {}, as_bytes(text));
    return frame(sealed);
  }

  X25519Key ephemeral;
  std::string header;
  std::optional<HpkeContext> context;
};

TEST(Ehbp, KeyConfigIsOneOfRfc9458) {
  const std::string config = ehbp_key_config(node_key().public_key());
  EXPECT_EQ(encode_hex(as_bytes(config)),
            "000020" + encode_hex(node_key().public_key()) + "000400010002");
  EXPECT_EQ(config.size(), 41U);
  EXPECT_EQ(
      ehbp_problem_json(),
      R"({"type":"urn:ietf:params:ehbp:error:key-config","title":"key configuration mismatch"})");
}

TEST(Ehbp, DecryptsARequestForEverySplit) {
  Client client;
  std::string body = client.seal("first ");
  body += std::string(4, '\0');
  body += client.seal("");
  body += client.seal("second");
  for (std::size_t split = 0; split <= body.size(); ++split) {
    auto request = EhbpRequest::begin(node_key(), client.header);
    ASSERT_TRUE(request);
    std::string text;
    ASSERT_TRUE(request->feed(std::string_view(body).substr(0, split), text));
    ASSERT_TRUE(request->feed(std::string_view(body).substr(split), text));
    ASSERT_TRUE(request->finish());
    EXPECT_EQ(text, "first second");
  }
}

TEST(Ehbp, AnswersUnderTheRequestsKey) {
  Client client;
  RepeatableRng rng(3);
  auto request = EhbpRequest::begin(node_key(), client.header);
  std::string text;
  ASSERT_TRUE(request->feed(client.seal("hi"), text));
  ASSERT_TRUE(request->finish());
  EhbpResponse answer = request->answer(rng);
  std::string body;
  answer.seal("one", body);
  answer.seal("", body);
  answer.seal("two", body);
  EXPECT_EQ(body.size(), 2 * (4 + 3 + kAeadTagBytes));
  const Bytes nonce = nostril::test::unhex(answer.nonce());
  ASSERT_EQ(nonce.size(), kResponseNonceBytes);
  GcmSequence frames = response_sequence(client.context->export_secret("ehbp response").expose(),
                                         client.ephemeral.public_key(), nonce);
  const ByteSpan bytes = as_bytes(body);
  EXPECT_EQ(as_text(*frames.open({}, bytes.subspan(4, 19))), "one");
  EXPECT_EQ(as_text(*frames.open({}, bytes.subspan(27, 19))), "two");
  std::string large;
  EhbpResponse second = request->answer(rng);
  second.seal(std::string((1U << 20) + 1, 'x'), large);
  EXPECT_EQ(large.size(), (1U << 20) + 1 + 2 * (4 + kAeadTagBytes));
}

TEST(Ehbp, NamesWhatIsWrongWithARequest) {
  const auto outcome = [](const std::string& header, const std::string& body) {
    auto request = EhbpRequest::begin(node_key(), header, 100);
    if (!request) return request.error();
    std::string text;
    auto fed = request->feed(body, text);
    if (fed) fed = request->finish();
    CHECK(!fed);
    return fed.error();
  };
  Client client;
  const std::string first = client.seal("first");
  std::string second = client.seal("second");
  EXPECT_EQ(outcome("", first), EhbpError::BadKeyHeader);
  EXPECT_EQ(outcome(client.header + "00", first), EhbpError::BadKeyHeader);
  EXPECT_EQ(outcome(std::string(64, 'A'), first), EhbpError::BadKeyHeader);
  EXPECT_EQ(outcome(std::string(64, '0'), first), EhbpError::BadKeyHeader);
  EXPECT_EQ(outcome(encode_hex(node_key().public_key()), first), EhbpError::KeyMismatch);
  EXPECT_EQ(outcome(client.header, second), EhbpError::KeyMismatch);
  EXPECT_EQ(outcome(client.header, ""), EhbpError::NoFrame);
  EXPECT_EQ(outcome(client.header, std::string(4, '\0')), EhbpError::NoFrame);
  EXPECT_EQ(outcome(client.header, first.substr(0, 3)), EhbpError::BadFrame);
  EXPECT_EQ(outcome(client.header, first + second.substr(0, second.size() - 1)),
            EhbpError::BadFrame);
  EXPECT_EQ(outcome(client.header, std::string("\0\0\0\x0f", 4)), EhbpError::BadFrame);
  EXPECT_EQ(outcome(client.header, std::string("\0\0\0\x65", 4)), EhbpError::FrameTooLarge);
  EXPECT_EQ(outcome(client.header, std::string(4, '\xff')), EhbpError::FrameTooLarge);
  second.back() = static_cast<char>(second.back() ^ 1);
  EXPECT_EQ(outcome(client.header, first + second), EhbpError::BadTag);
  EXPECT_EQ(http_status(EhbpError::KeyMismatch), 422);
  EXPECT_EQ(http_status(EhbpError::BadTag), 400);
}

constexpr const char* kShared = "vectors/inference/ehbp-test-vectors/";

GcmSequence sequence_of(const Json& given) {
  const Bytes nonce = bytes_of(given, "responseNonce");
  const Bytes exported = bytes_of(given, "exportedSecret");
  return response_sequence(exported, nostril::test::fixed_of<X25519PublicKey>(given, "requestEnc"),
                           nonce);
}

TEST(Ehbp, ResponseKeysAreThoseOfTheSharedVectors) {
  REQUIRE_SHARED(std::string(kShared) + "derive.json");
  const Json given = load_json(std::string(kShared) + "derive.json");
  const Bytes key = bytes_of(given, "derivedKey");
  const Bytes nonce = bytes_of(given, "derivedNonceBase");
  Bytes ours;
  sequence_of(given).seal(ours, {}, as_bytes("text"));
  Bytes theirs;
  aes_256_gcm_seal(theirs, AeadKey(key), GcmNonce(nonce), {}, as_bytes("text"));
  EXPECT_EQ(encode_hex(ours), encode_hex(theirs));
}

TEST(Ehbp, ResponseIsByteForByteThatOfTheSharedVectors) {
  REQUIRE_SHARED(std::string(kShared) + "response-decryption.json");
  const Json given = load_json(std::string(kShared) + "response-decryption.json");
  EhbpResponse answer(sequence_of(given), "");
  std::string body;
  answer.seal(as_text(bytes_of(given, "plaintext")), body);
  EXPECT_EQ(encode_hex(as_bytes(body)), text_of(given, "encryptedResponse"));
}

}  // namespace

}  // namespace nostril::face
