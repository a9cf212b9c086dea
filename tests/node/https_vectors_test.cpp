// Published vectors through the server, over TLS: its keys of the start are those of the vectors.
#include "schnorr/sealed_box.h"
#include "tests/node/https_world.h"
#include "tests/schnorr/vectors.h"
#include "tests/support/shared_data.h"

#include "face/aci.h"
#include "face/aci_encryption.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

namespace nostril {
namespace {

/// A face made with it has the service key of ACI's vectors, 32 times 0x03.
class Threes final : public Rng {
 public:
  void fill(std::span<std::uint8_t> out) override { std::ranges::fill(out, std::uint8_t{3}); }
};

constexpr const char* kE2ee = "vectors/inference/e2ee-v2-test-vectors.md";
constexpr const char* kNonce = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::int64_t kTimestamp = 1'750'000'000;

/// The line of the page that holds `part`.
std::string line_with(const std::string& page, std::string_view part) {
  const std::size_t at = page.find(part);
  if (at == std::string::npos) return {};
  const std::size_t start = page.rfind('\n', at) + 1;
  return page.substr(start, page.find('\n', at) - start);
}

class HttpsVectors : public test::HttpsWorld {
 protected:
  void start_with_keys_of_vectors() {
    start();
    world_->engine.set_models(R"({"object":"list","data":[{"id":"demo-model"}]})");
    ASSERT_TRUE(serving());
    const node::HttpsParts made = world_->agent->https_parts();
    world_->https.reset();
    world_->https = std::make_unique<node::HttpsFace>(
        node::HttpsParts{made.config, made.identity, made.loop, made.clock, threes_, made.source,
                         made.journal, made.books, made.background, made.models});
    world_->agent->set_direct_path(world_->https->direct_path());
  }

  Threes threes_;
};

TEST_F(HttpsVectors, FieldsAreSealedUnderTheAssociatedDataOfTheVectors) {
  REQUIRE_SHARED(kE2ee);
  const std::string page = test::read_file(test::shared_path(kE2ee));
  const std::string request_aad = line_with(page, R"("purpose":"aci.e2ee.request.v2")");
  const std::string response_aad = line_with(page, R"("purpose":"aci.e2ee.response.v2")");
  ASSERT_TRUE(request_aad.starts_with("{\"algo\"") && response_aad.starts_with("{\"algo\""));
  start_with_keys_of_vectors();
  const auto report = Json::parse(get("GET", "/v1/aci/attestation")->body);
  ASSERT_TRUE(report);
  std::string service;
  const Json& keyset = *report->find("attestation")->find("workload_keyset");
  for (const Json& key : keyset.find("e2ee_public_keys")->items()) {
    if (key.find_string("algo") == face::kAciX25519) service = *key.find_string("public_key");
  }
  ASSERT_NE(page.find(service), std::string::npos) << service;

  world_->clock.set_date(kTimestamp);
  world_->engine.set_script([](const net::HttpRequest&) {
    test::EngineAnswer out;
    out.content_type = "application/json";
    out.pieces = {
        R"({"id":"chatcmpl-123","model":"demo-model","choices":[{"index":0,"message":{"role":"assistant","content":"a secret answer"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}})"};
    return out;
  });
  const BoxSuite suite{BoxCipher::AesGcm, "aci.e2ee.v2.x25519"};
  const X25519Key client = X25519Key::generate(world_->rng);
  const auto sealed = seal_box(suite, *from_hex<X25519PublicKey>(service), as_bytes(request_aad),
                               as_bytes("a secret question"), world_->rng);
  const std::string body = R"({"model":"demo-model","messages":[{"role":"user","content":")" +
                           encode_hex(*sealed) + "\"}]}";
  const auto reply = get("POST", "/v1/chat/completions", body,
                         {{"X-E2EE-Version", "2"},
                          {"X-Client-Pub-Key", encode_hex(client.public_key())},
                          {"X-Model-Pub-Key", service},
                          {"X-E2EE-Nonce", kNonce},
                          {"X-E2EE-Timestamp", std::to_string(kTimestamp)}});
  ASSERT_EQ(reply->status, 200) << reply->body;
  EXPECT_NE(world_->engine.last_body().find("a secret question"), std::string::npos);
  const auto answer = Json::parse(reply->body);
  ASSERT_TRUE(answer);
  const auto content =
      decode_hex(*answer->find("choices")->items()[0].find("message")->find_string("content"));
  ASSERT_TRUE(content);
  const auto text = open_box(suite, client, as_bytes(response_aad), *content);
  ASSERT_TRUE(text);
  EXPECT_EQ(as_text(*text), "a secret answer");
}

}  // namespace
}  // namespace nostril
