#include "face/ohttp.h"

#include "base/hex.h"
#include "tests/face/keys.h"

#include "face/binary_http.h"
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::face {
namespace {

using nostril::test::RepeatableRng;
using nostril::test::unhex;

std::string bytes(const std::string& hex) {
  return std::string(as_text(unhex(hex)));
}

X25519Key key_of(const std::string& hex) {
  return X25519Key::from_secret(SecretBytes<32>(std::span<const std::uint8_t, 32>(unhex(hex))));
}

/// Draws bytes that the test chose.
class FixedRng final : public Rng {
 public:
  explicit FixedRng(Bytes bytes) : bytes_(std::move(bytes)) {}

  void fill(std::span<std::uint8_t> out) override {
    ASSERT_EQ(out.size(), bytes_.size());
    std::ranges::copy(bytes_, out.begin());
  }

 private:
  Bytes bytes_;
};

/// RFC 9458, appendix A: the keys and all that crosses the wire.
TEST(Ohttp, AnswersTheExampleOfItsRfcByteForByte) {
  const X25519Key key = key_of("3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a");
  EXPECT_EQ(encode_hex(key.public_key()),
            "31e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e798155");
  FixedRng rng(unhex("c789e7151fcba46158ca84b04464910d"));
  auto opened = open_ohttp(
      key, OhttpForm::Whole,
      bytes("010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472637"
            "4e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525"),
      rng);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->message, bytes("00034745540568747470730b6578616d706c652e636f6d012f"));
  const auto request = parse_binary_request(opened->message);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->authority, "example.com");
  EXPECT_EQ(request->path, "/");
  EXPECT_EQ(encode_hex(as_bytes(opened->response.seal(bytes("0140c8")))),
            "c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd");
}

TEST(Ohttp, ItsConfigurationNamesTheKeyAndBothSuites) {
  const X25519Key key = key_of("3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a");
  EXPECT_EQ(encode_hex(as_bytes(ohttp_key_config(key.public_key()))),
            "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e798155"
            "00080001000100010002");
}

/// A client of either form and suite.
class Client {
 public:
  Client(const X25519PublicKey& node, HpkeAead aead, OhttpForm form, Rng& rng)
      : aead_(aead), chunked_(form == OhttpForm::Chunked), ephemeral_(X25519Key::generate(rng)) {
    head_ = bytes("0100200001") + bytes(aead == HpkeAead::Aes128Gcm ? "0001" : "0002");
    const std::string label = chunked_ ? "message/bhttp chunked request" : "message/bhttp request";
    context_ = HpkeContext::send(node, label + std::string(1, '\0') + head_, ephemeral_, aead);
  }

  std::string seal(const std::vector<std::string>& parts) {
    std::string out = head_ + std::string(as_text(ephemeral_.public_key().bytes));
    if (!chunked_) return out + sealed("", parts.front());
    for (const std::string& part : parts) {
      const std::string some = sealed("", part);
      append_quic_number(out, some.size());
      out += some;
    }
    append_quic_number(out, 0);
    return out + sealed("final", "");
  }

  GcmSequence answers(std::string_view nonce) {
    const std::string label =
        chunked_ ? "message/bhttp chunked response" : "message/bhttp response";
    return aead_ == HpkeAead::Aes128Gcm
               ? response_sequence(context_->export_short_secret(label).expose(),
                                   ephemeral_.public_key(), as_bytes(nonce), aead_)
               : response_sequence(context_->export_secret(label).expose(), ephemeral_.public_key(),
                                   as_bytes(nonce), aead_);
  }

 private:
  std::string sealed(std::string_view aad, std::string_view text) {
    Bytes out;
    context_->seal(out, as_bytes(aad), as_bytes(text));
    return std::string(as_text(out));
  }

  HpkeAead aead_;
  bool chunked_;
  X25519Key ephemeral_;
  std::string head_;
  std::optional<HpkeContext> context_;
};

class OhttpTest : public testing::TestWithParam<HpkeAead> {
 protected:
  std::size_t nonce_bytes() const { return hpke_key_bytes(GetParam()); }

  RepeatableRng rng_{5};
  X25519Key key_ = X25519Key::generate(rng_);
};

TEST_P(OhttpTest, OpensAndSealsWhole) {
  Client client(key_.public_key(), GetParam(), OhttpForm::Whole, rng_);
  auto opened = open_ohttp(key_, OhttpForm::Whole, client.seal({"asked"}), rng_);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->message, "asked");
  const std::string answer = opened->response.seal("answered");
  GcmSequence messages = client.answers(std::string_view(answer).substr(0, nonce_bytes()));
  const auto text = messages.open({}, as_bytes(answer).subspan(nonce_bytes()));
  ASSERT_TRUE(text);
  EXPECT_EQ(as_text(*text), "answered");
}

TEST_P(OhttpTest, OpensAndSealsInChunks) {
  Client client(key_.public_key(), GetParam(), OhttpForm::Chunked, rng_);
  auto opened = open_ohttp(key_, OhttpForm::Chunked, client.seal({"as", "ked"}), rng_);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->message, "asked");
  const std::string large(OhttpResponse::kChunkBytesMax + 1, 'x');
  std::string answer;
  opened->response.seal_part("one", answer);
  opened->response.seal_part("", answer);
  opened->response.seal_part(large, answer);
  opened->response.seal_end(answer);
  GcmSequence messages = client.answers(opened->response.nonce());
  std::string_view rest = answer;
  std::vector<std::string> texts;
  for (;;) {
    std::uint64_t size = 0;
    ASSERT_TRUE(take_quic_number(rest, size));
    const std::string_view sealed = size == 0 ? rest : rest.substr(0, size);
    const auto text = messages.open(size == 0 ? as_bytes("final") : ByteSpan{}, as_bytes(sealed));
    ASSERT_TRUE(text);
    if (size == 0) break;
    texts.emplace_back(as_text(*text));
    rest.remove_prefix(size);
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"one", large.substr(1), "x"}));
}

TEST_P(OhttpTest, RefusesEveryChangeAndEveryCut) {
  for (const OhttpForm form : {OhttpForm::Whole, OhttpForm::Chunked}) {
    Client client(key_.public_key(), GetParam(), form, rng_);
    const std::string good = client.seal({"asked"});
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string changed = good;
      changed[i] = static_cast<char>(changed[i] ^ 1);
      EXPECT_FALSE(open_ohttp(key_, form, changed, rng_)) << i;
      EXPECT_FALSE(open_ohttp(key_, form, std::string_view(good).substr(0, i), rng_)) << i;
    }
    EXPECT_FALSE(open_ohttp(key_, form, good + "x", rng_));
    const OhttpForm other = form == OhttpForm::Whole ? OhttpForm::Chunked : OhttpForm::Whole;
    EXPECT_FALSE(open_ohttp(key_, other, good, rng_));
    const X25519Key old = X25519Key::generate(rng_);
    EXPECT_EQ(open_ohttp(old, form, good, rng_).error(), OhttpError::UnknownKey);
  }
}

INSTANTIATE_TEST_SUITE_P(Suites, OhttpTest,
                         testing::Values(HpkeAead::Aes128Gcm, HpkeAead::Aes256Gcm));

}  // namespace
}  // namespace nostril::face
