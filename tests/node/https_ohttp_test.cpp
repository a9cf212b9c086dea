// Oblivious requests through the HTTPS face, by a client that is composed from HPKE here.
#include "tests/node/https_world.h"
#include "tests/schnorr/vectors.h"

#include "face/binary_http.h"
#include "face/legacy_signature.h"
#include "face/ohttp.h"
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace nostril {
namespace {

using face::OhttpForm;
using test::EngineAnswer;
using test::Reply;

std::string text(std::string_view value) {
  std::string out;
  face::append_quic_number(out, value.size());
  return out.append(value);
}

/// One inner response, taken apart.
struct Inner {
  std::uint64_t framing = 0;
  std::uint64_t status = 0;
  std::string fields;  ///< as encoded
  std::string body;
};

std::string take(std::string_view& from) {
  std::uint64_t size = 0;
  EXPECT_TRUE(face::take_quic_number(from, size) && size <= from.size());
  std::string out(from.substr(0, size));
  from.remove_prefix(out.size());
  return out;
}

Inner read_response(std::string_view message) {
  Inner out;
  EXPECT_TRUE(face::take_quic_number(message, out.framing));
  EXPECT_TRUE(face::take_quic_number(message, out.status));
  if (out.framing == 1) {
    out.fields = take(message);
    out.body = take(message);
    return out;
  }
  EXPECT_EQ(out.framing, 3U);
  for (std::string name = take(message); !name.empty(); name = take(message)) {
    out.fields += name + ": " + take(message) + "\n";
  }
  for (std::string some = take(message); !some.empty(); some = take(message)) out.body += some;
  return out;
}

/// One exchange.
class Oblivious {
 public:
  Oblivious(std::string_view config, OhttpForm form, Rng& rng)
      : form_(form), ephemeral_(X25519Key::generate(rng)) {
    head_ = std::string(config.substr(0, 3));
    X25519PublicKey node;
    std::ranges::copy(as_bytes(config.substr(3, 32)), node.bytes.begin());
    head_ += config.substr(37, 4);  // the first suite
    std::string info = "message/bhttp ";
    info += form == OhttpForm::Chunked ? "chunked request" : "request";
    context_ = HpkeContext::send(node, info + std::string(1, '\0') + head_, ephemeral_,
                                 HpkeAead::Aes128Gcm);
  }

  std::string seal(std::string_view message) {
    std::string out = head_ + std::string(as_text(ephemeral_.public_key().bytes));
    if (form_ == OhttpForm::Whole) return out + sealed({}, message);
    const std::string some = sealed({}, message);
    return out + text(some) + std::string(1, '\0') + sealed("final", {});
  }

  /// Nothing when it is not whole.
  std::optional<Inner> open(std::string_view answer) {
    const std::string label =
        form_ == OhttpForm::Chunked ? "message/bhttp chunked response" : "message/bhttp response";
    GcmSequence messages =
        response_sequence(context_->export_short_secret(label).expose(), ephemeral_.public_key(),
                          as_bytes(answer.substr(0, 16)), HpkeAead::Aes128Gcm);
    answer.remove_prefix(16);
    std::string message;
    for (bool last = form_ == OhttpForm::Whole;;) {
      std::string_view some = answer;
      if (form_ == OhttpForm::Chunked) {
        std::uint64_t size = 0;
        if (!face::take_quic_number(answer, size) || size > answer.size()) return std::nullopt;
        last = size == 0;
        some = last ? answer : answer.substr(0, size);
        answer.remove_prefix(size);
      }
      const bool tagged = last && form_ == OhttpForm::Chunked;
      const auto opened =
          messages.open(tagged ? as_bytes(std::string_view("final")) : ByteSpan{}, as_bytes(some));
      if (!opened) return std::nullopt;
      message += as_text(*opened);
      if (last) return read_response(message);
      ++parts_;
    }
  }

  [[nodiscard]] std::size_t parts() const { return parts_; }

 private:
  std::string sealed(std::string_view aad, std::string_view plain) {
    Bytes out;
    context_->seal(out, as_bytes(aad), as_bytes(plain));
    return std::string(as_text(out));
  }

  OhttpForm form_;
  X25519Key ephemeral_;
  std::string head_;
  std::optional<HpkeContext> context_;
  std::size_t parts_ = 0;
};

std::string message(std::string_view method, std::string_view path, std::string_view body,
                    const face::BinaryFields& fields = {}) {
  std::string section;
  for (const auto& [name, value] : fields) section += text(name) + text(value);
  return std::string(1, '\0') + text(method) + text("https") + text("node") + text(path) +
         text(section) + text(body) + std::string(1, '\0');
}

class HttpsOhttp : public test::HttpsWorld {
 protected:
  void SetUp() override {
    start();
    ASSERT_TRUE(serving());
    const auto keys = get("GET", "/.well-known/ohttp-gateway");
    ASSERT_EQ(keys->status, 200);
    EXPECT_EQ(keys->headers.find("Content-Type"), "application/ohttp-keys");
    EXPECT_EQ(get("GET", "/v1/ohttp/config")->body, keys->body);
    config_ = keys->body;
    ASSERT_EQ(config_.size(), 45U);
  }

  std::shared_ptr<Reply> post(const std::string& sealed, OhttpForm form,
                              net::HttpHeaders headers = {}) {
    headers.add("Content-Type", std::string(face::request_type(form)));
    return get("POST", "/ohttp", sealed, headers);
  }

  /// The answer inside, of a reply that must be one.
  Inner ask(const std::string& inner, OhttpForm form = OhttpForm::Whole) {
    Oblivious client(config_, form, world_->rng);
    const auto reply = post(client.seal(inner), form);
    EXPECT_EQ(reply->status, 200) << reply->body;
    EXPECT_EQ(reply->headers.find("Content-Type"), face::response_type(form));
    auto out = client.open(reply->body);
    EXPECT_TRUE(out);
    parts_ = client.parts();
    return out.value_or(Inner{});
  }

  std::string config_;
  std::size_t parts_ = 0;
};

TEST_F(HttpsOhttp, AnswersWholeAndInChunks) {
  const EngineAnswer plain = test::plain_answer("forty-two", {.input = 7, .output = 3});
  EngineAnswer stream = test::stream_answer({"a", "b", "c"}, {.output = 3});
  stream.piece_ms = 5;
  for (const OhttpForm form : {OhttpForm::Whole, OhttpForm::Chunked}) {
    for (const bool streamed : {false, true}) {
      const EngineAnswer& answer = streamed ? stream : plain;
      world_->engine.set_answer(answer);
      const std::string body = test::chat("six by seven?", streamed);
      const Inner inner =
          ask(message("POST", "/v1/chat/completions", body, {{"content-type", "application/json"}}),
              form);
      EXPECT_EQ(inner.status, 200U);
      EXPECT_EQ(inner.body, answer.body());
      EXPECT_NE(inner.fields.find("content-type"), std::string::npos);
      bool recorded = false;
      for (const ResponseRecord& each : records()) {
        recorded = recorded ||
                   (each.request_hash == sha256(body) && each.response_hash == sha256(inner.body));
      }
      EXPECT_TRUE(recorded) << "of the inner bytes";
      EXPECT_EQ(parts_ > 4, streamed && form == OhttpForm::Chunked) << "as they come";
    }
  }
}

TEST_F(HttpsOhttp, ServesEveryPathButItsOwn) {
  const Inner models = ask(message("GET", "/v1/models", ""));
  EXPECT_EQ(models.status, 200U);
  EXPECT_NE(models.body.find(test::kTestModel), std::string::npos);
  const std::string nonce(64, '7');
  const Inner report = ask(message("GET", "/v1/attestation/report?nonce=" + nonce, ""));
  EXPECT_EQ(report.status, 200U);
  EXPECT_NE(report.body.find(nonce), std::string::npos);
  EXPECT_EQ(ask(message("GET", "/v1/none", "")).status, 404U);
  EXPECT_EQ(ask(message("GET", "/v1/none", ""), OhttpForm::Chunked).status, 404U);
  EXPECT_EQ(ask(message("GET", "/v1/chat/completions", "")).status, 405U);
  EXPECT_EQ(ask(message("POST", "/v1/chat/completions", "[]")).status, 400U);
  EXPECT_EQ(ask(message("POST", "/ohttp", "x")).status, 404U);
}

TEST_F(HttpsOhttp, TheReportNamesItsKeySigned) {
  const auto report = Json::parse(get("GET", "/v1/attestation/report")->body);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->find_string("ohttp_key_config"), encode_hex(as_bytes(config_)));
  const Json* signed_key = report->find("ohttp_attestation");
  ASSERT_NE(signed_key, nullptr);
  EXPECT_EQ(signed_key->find_string("key_config"), encode_hex(as_bytes(config_)));
  const auto key = from_hex<Ed25519PublicKey>(*signed_key->find_string("signing_key"));
  const auto signature = from_hex<Ed25519Signature>(*signed_key->find_string("signature"));
  ASSERT_TRUE(key && signature);
  EXPECT_TRUE(ed25519_verify(*key, as_bytes(config_), *signature));
  const auto bound = Json::parse(get("GET", "/v1/attestation/report?signing_algo=ed25519")->body);
  EXPECT_EQ(bound->find_string("signing_address"), encode_hex(*key));
}

TEST_F(HttpsOhttp, RefusesWhatDoesNotOpen) {
  Oblivious client(config_, OhttpForm::Whole, world_->rng);
  const std::string good = client.seal(message("GET", "/v1/models", ""));
  EXPECT_EQ(get("POST", "/ohttp", good)->status, 415);
  EXPECT_EQ(get("GET", "/ohttp")->status, 405);
  EXPECT_EQ(post("", OhttpForm::Whole)->status, 400);
  EXPECT_EQ(post(good, OhttpForm::Chunked)->status, 400);
  std::string stale = good;
  stale[8] = static_cast<char>(stale[8] ^ 1);
  const auto reply = post(stale, OhttpForm::Whole);
  EXPECT_EQ(reply->status, 400);
  EXPECT_EQ(reply->headers.find("Content-Type"), "application/problem+json");
  for (const std::string& bad :
       {std::string("x"), message("G T", "/", ""), message("GET", "v1/models", ""),
        message("GET", "/v1/mo dels", ""), message("GET", "/v1/models\r\nA: b", ""),
        message("GET", "/v1/models", "", {{"a b", "c"}}),
        message("GET", "/v1/models", "", {{"a", "b\r\nc: d"}}),
        message("GET", "/v1/models", "", {{":authority", "x"}})}) {
    Oblivious other(config_, OhttpForm::Whole, world_->rng);
    EXPECT_EQ(post(other.seal(bad), OhttpForm::Whole)->status, 400) << bad;
  }
}

TEST_F(HttpsOhttp, AStreamThatCannotEndWellIsNotWholeEither) {
  EngineAnswer endless =
      test::stream_answer(std::vector<std::string>(200, "word "), {.output = 200});
  endless.piece_ms = 5;
  world_->engine.set_answer(endless);
  Oblivious client(config_, OhttpForm::Chunked, world_->rng);
  const std::string sealed =
      client.seal(message("POST", "/v1/chat/completions", test::chat("go on", true)));
  const auto reply = send("POST", "/ohttp", sealed,
                          {{"Content-Type", std::string(face::request_type(OhttpForm::Chunked))}});
  ASSERT_TRUE(world_->until([&] { return reply->body.size() > 500; }));
  client_->cancel(last_call_);
  EXPECT_TRUE(world_->until([&] { return world_->engine.aborted() == 1; }));
  EXPECT_FALSE(client.open(reply->body));
  ASSERT_TRUE(world_->until([&] { return records().size() == 1; }));
  EXPECT_EQ(records()[0].status, RecordStatus::ClientLost);
}

}  // namespace
}  // namespace nostril
