// Who may use the HTTPS face and how it is paid, ACI and its encryption, through a node's server.
#include "base/base64.h"
#include "base/hex.h"
#include "client/api_keys.h"
#include "events/nip98.h"
#include "schnorr/hash.h"
#include "schnorr/sealed_box.h"
#include "tests/node/https_world.h"
#include "tests/support/inference_fixtures.h"

#include "face/aci.h"
#include "face/aci_encryption.h"

#include <utility>

namespace nostril {

namespace {

using test::key_of;
using test::Reply;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kUrl = "https://node.example";

class HttpsAccess : public test::HttpsWorld {
 protected:
  std::shared_ptr<Reply> ask(const std::string& body, const net::HttpHeaders& headers = {}) {
    return get("POST", kChat, body, headers);
  }

  net::HttpHeaders signed_by(const std::string& who, const std::string& body,
                             net::HttpHeaders headers = {}) {
    const EventDraft draft{world_->clock.unix_s(),
                           kNip98Kind,
                           {{"u", std::string(kUrl) + kChat},
                            {"method", "POST"},
                            {"payload", encode_hex(sha256(body))}},
                           std::to_string(++nonce_)};
    const std::string json = to_json(sign_event(draft, key_of(who), world_->rng));
    headers.add("Authorization", "Nostr " + encode_base64(as_bytes(json)));
    return headers;
  }

  int nonce_ = 0;
};

TEST_F(HttpsAccess, AKeyIsServedWithinItsBudgetAndRefusedBeyond) {
  std::filesystem::path file;
  start([&](node::NodeConfig& config) {
    config.access.mode = "keys";
    file = config.keys_file();
  });
  const client::ApiKey alice{
      "alice", client::api_key_hash("nk-a"), std::nullopt, {.tokens = 13'000}};
  ASSERT_TRUE(client::write_api_keys(file, std::vector{alice}));
  world_->engine.set_answer(test::plain_answer("yes", {.input = 3'000, .output = 4'000}));
  ASSERT_TRUE(serving());
  test::run_for(world_->loop, 1'100);
  const std::string body = test::chat("may I?", false);
  EXPECT_EQ(ask(body)->status, 401);
  EXPECT_EQ(ask(body, {{"Authorization", "Bearer nk-b"}})->status, 401);
  const net::HttpHeaders key = {{"Authorization", "Bearer nk-a"}};
  const auto served = ask(body, key);
  EXPECT_EQ(served->status, 200) << served->body;
  // What is left no longer covers what a request may come to at most.
  const auto refused = ask(body, key);
  EXPECT_EQ(refused->status, 402);
  EXPECT_EQ(refused->error_type(), "insufficient_quota");
  EXPECT_EQ(records().size(), 1U);
  // Its signature is its own.
  const std::string id(*Json::parse(served->body)->find_string("id"));
  EXPECT_EQ(get("GET", "/v1/signature/" + id, {}, key)->status, 200);
  EXPECT_EQ(get("GET", "/v1/signature/" + id)->status, 401);
}

TEST_F(HttpsAccess, ASignerPaysByReceiptsInHeaders) {
  start([](node::NodeConfig& config) {
    config.access = {"nostr", "", {kUrl}};
    config.offer.credit = 800;
  });
  world_->engine.set_answer(test::plain_answer("yes", {.input = 4'000, .output = 1'000}));
  ASSERT_TRUE(serving());
  // Past the seconds of which a start knows nothing.
  world_->clock.set_date(world_->clock.unix_s() + 2 * kNip98FutureSeconds);
  const std::string body = test::chat("may I?", false);
  const auto first = ask(body, signed_by("bob", body));
  ASSERT_EQ(first->status, 200) << first->body;
  EXPECT_EQ(first->headers.find("X-Total-Tokens-Used"), "5000");
  EXPECT_EQ(first->headers.find("X-Outstanding-Balance"), "800");
  // The credit is used up.
  const auto refused = ask(body, signed_by("bob", body));
  EXPECT_EQ(refused->status, 402) << refused->body;
  ASSERT_TRUE(refused->headers.find("X-Last-Signed-Query"));

  const auto json = decode_base64(*refused->headers.find("X-Last-Signed-Query"));
  auto event = parse_event(as_text(*json));
  ASSERT_TRUE(event);
  const auto record = parse_record(event->event());
  ASSERT_TRUE(record);
  settlement::PayerChannel payer({key_of("bob").public_key(), record->node, record->asset, {}},
                                 Amount::of(10'000));
  ASSERT_EQ(encode_hex(payer.id()), refused->headers.find("X-Query-Chain-ID"));
  auto offers = world_->agent->offered();
  ASSERT_EQ(offers.size(), 1U);
  settlement::ExpectedAnswer expected{record->request,
                                      record->request_hash,
                                      record->response_hash,
                                      record->offer,
                                      {{10'000, 10'000, 10'000}, 100'000}};
  const auto receipt =
      payer.pay(*record, expected, settlement::PriceTable::of(offers[0]), world_->clock.unix_s());
  ASSERT_TRUE(receipt && *receipt);
  const std::string paid = to_json(sign_event(**receipt, key_of("bob"), world_->rng));
  const auto second =
      ask(body, signed_by("bob", body, {{"X-Last-Signed-Query", encode_base64(as_bytes(paid))}}));
  EXPECT_EQ(second->status, 200) << second->body;
  EXPECT_EQ(second->headers.find("X-Outstanding-Balance"), "800");
}

TEST_F(HttpsAccess, AciKeysetIsInTheQuoteAndReceiptsAreSignedByIt) {
  start();
  world_->engine.set_answer(test::plain_answer("yes", {.input = 1, .output = 1}));
  ASSERT_TRUE(serving());
  const std::string nonce(64, 'a');
  const auto report = get("GET", "/v1/aci/attestation?nonce=" + nonce);
  ASSERT_EQ(report->status, 200) << report->body;
  EXPECT_EQ(get("GET", "/v1/aci/attestation?nonce=AA")->status, 400);
  const auto document = Json::parse(report->body);
  const std::string digest(*document->find_string("workload_keyset_digest"));
  const Json& attestation = *document->find("attestation");
  const std::string data(*attestation.find_string("report_data"));
  EXPECT_EQ(data, encode_hex(sha256(R"({"keyset_digest":")" + digest + R"(","nonce":")" + nonce +
                                    R"(","purpose":"aci.report_data.v1"})")));
  EXPECT_NE(attestation.find("evidence")->find_string("quote")->find(data), std::string::npos);
  const Json& signing =
      attestation.find("workload_keyset")->find("receipt_signing_keys")->items()[0];
  const auto key = from_hex<Ed25519PublicKey>(*signing.find_string("public_key"));
  ASSERT_TRUE(key);

  const auto reply = ask(test::chat("?", false));
  EXPECT_EQ(reply->headers.find("X-ACI-Version"), "aci/1");
  EXPECT_EQ(reply->headers.find("X-ACI-Keyset-Digest"), digest);
  const std::string id(*reply->headers.find("X-Receipt-Id"));
  const auto receipt = get("GET", "/v1/aci/receipts/" + id);
  ASSERT_EQ(receipt->status, 200) << receipt->body;
  EXPECT_TRUE(face::verify_receipt(receipt->body, *key));
  EXPECT_NE(receipt->body.find(encode_hex(sha256(reply->body))), std::string::npos);
  const std::string chat_id(*Json::parse(reply->body)->find_string("id"));
  EXPECT_EQ(get("GET", "/v1/aci/receipts/" + chat_id)->body, receipt->body);
  EXPECT_EQ(get("GET", "/v1/aci/receipts/none")->status, 404);

  // A refusal has one, too.
  const auto refused = ask("{}");
  EXPECT_EQ(refused->status, 400);
  test::run_for(world_->loop, 300);  // it is not waited for
  const auto of_refusal =
      get("GET", "/v1/aci/receipts/" + std::string(*refused->headers.find("X-Receipt-Id")));
  ASSERT_EQ(of_refusal->status, 200);
  EXPECT_TRUE(face::verify_receipt(of_refusal->body, *key));

  const std::string other =
      R"({"model":"test-model","messages":[],"provider":{"aci_session_ids":["x"]}})";
  EXPECT_EQ(ask(other)->status, 412);
}

TEST_F(HttpsAccess, AnAciRequestIsOpenedOnceAndItsAnswerIsSealed) {
  start();
  world_->engine.set_answer(test::plain_answer("a secret answer", {.input = 1, .output = 1}));
  ASSERT_TRUE(serving());
  const auto document = Json::parse(get("GET", "/v1/aci/attestation")->body);
  const Json& keyset = *document->find("attestation")->find("workload_keyset");
  std::string service;
  for (const Json& key : keyset.find("e2ee_public_keys")->items()) {
    if (key.find_string("algo") == face::kAciX25519) service = *key.find_string("public_key");
  }
  const X25519Key client = X25519Key::generate(world_->rng);
  const std::string nonce(64, '7');
  const std::int64_t now_s = world_->clock.unix_s();
  const auto aad = [&](std::string_view field, std::optional<std::string_view> id) {
    return face::field_aad({face::kAciX25519, "test-model", field, nonce, now_s, id});
  };
  const BoxSuite suite{BoxCipher::AesGcm, "aci.e2ee.v2.x25519"};
  const auto sealed = seal_box(suite, *from_hex<X25519PublicKey>(service),
                               as_bytes(aad("messages.0.content", std::nullopt)),
                               as_bytes("a secret question"), world_->rng);
  const std::string body = R"({"model":"test-model","messages":[{"role":"user","content":")" +
                           encode_hex(*sealed) + "\"}]}";
  const net::HttpHeaders headers = {{"X-E2EE-Version", "2"},
                                    {"X-Client-Pub-Key", encode_hex(client.public_key())},
                                    {"X-Model-Pub-Key", service},
                                    {"X-E2EE-Nonce", nonce},
                                    {"X-E2EE-Timestamp", std::to_string(now_s)}};
  const auto reply = ask(body, headers);
  ASSERT_EQ(reply->status, 200) << reply->body;
  EXPECT_EQ(reply->headers.find("X-E2EE-Applied"), "true");
  EXPECT_EQ(reply->body.find("secret"), std::string::npos);
  const auto answer = Json::parse(reply->body);
  const std::string id(*answer->find_string("id"));
  const auto content =
      decode_hex(*answer->find("choices")->items()[0].find("message")->find_string("content"));
  ASSERT_TRUE(content);
  const auto text =
      open_box(suite, client, as_bytes(aad("choices.0.message.content", id)), *content);
  ASSERT_TRUE(text);
  EXPECT_EQ(as_text(*text), "a secret answer");

  const auto again = ask(body, headers);
  EXPECT_EQ(again->status, 400);
  EXPECT_EQ(again->error_type(), "e2ee_replay_detected");
  // Half of the headers is no request for plaintext.
  EXPECT_EQ(ask(body, {{"X-E2EE-Nonce", nonce}})->error_type(), "e2ee_header_missing");
  EXPECT_EQ(records().size(), 1U);
}

TEST_F(HttpsAccess, AnEhbpRequestThatDoesNotOpenIsToldToFetchTheKeys) {
  start();
  ASSERT_TRUE(serving());
  const auto config = get("GET", "/.well-known/hpke-keys");
  EXPECT_EQ(config->headers.find("Content-Type"), "application/ohttp-keys");
  EXPECT_EQ(config->body.size(), 41U);
  const std::string enc = encode_hex(X25519Key::generate(world_->rng).public_key());
  const std::string frame = std::string("\0\0\0\x20", 4) + std::string(32, 'x');
  const auto stale = ask(frame, {{"Ehbp-Encapsulated-Key", enc}});
  EXPECT_EQ(stale->status, 422);
  EXPECT_EQ(stale->headers.find("Content-Type"), "application/problem+json");
  EXPECT_NE(stale->body.find("urn:ietf:params:ehbp:error:key-config"), std::string::npos);
  EXPECT_EQ(ask(test::chat("plain?", false), {{"Ehbp-Encapsulated-Key", enc}})->status, 413);
  EXPECT_EQ(ask(frame, {{"Ehbp-Encapsulated-Key", "00"}})->status, 400);
  EXPECT_TRUE(records().empty());
}

}  // namespace

}  // namespace nostril
