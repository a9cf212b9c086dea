#include "node/https_face.h"

#include "attestation/report_form.h"
#include "attestation/tdx_quote.h"
#include "base/hex.h"
#include "base/json.h"
#include "events/event.h"
#include "net/http_client.h"
#include "net/sse.h"
#include "schnorr/hash.h"
#include "schnorr/sealed_box.h"
#include "tests/node/https_world.h"
#include "tests/support/shared_data.h"
#include "tests/support/world.h"

#include "face/attestation_report.h"
#include "face/legacy_signature.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril {
namespace {

using test::EngineAnswer;
using test::Reply;

/// The content of an answer, each part opened.
std::string text_of(const std::string& body, bool stream,
                    const std::function<std::string(std::string_view)>& open) {
  std::string out;
  const auto add = [&](std::string_view json, const char* member) {
    const auto object = Json::parse(json);
    if (!object || object->find("choices") == nullptr) return;
    for (const Json& choice : object->find("choices")->items()) {
      const Json* part = choice.find(member);
      const auto content = part == nullptr ? std::nullopt : part->find_string("content");
      if (content && !content->empty()) out += open(*content);
    }
  };
  if (!stream) {
    add(body, "message");
    return out;
  }
  net::SseParser parser;
  std::vector<net::SseEvent> events;
  EXPECT_TRUE(parser.feed(body, events));
  for (const net::SseEvent& event : events) add(event.data, "delta");
  return out;
}

class HttpsFaceTest : public test::HttpsWorld {
 protected:
  /// One production exchange through the server, byte for byte, and its signatures.
  void reproduce(const Json& vector, const std::string& id, bool with_model) {
    const std::string request(*vector.find_string("request_body"));
    const std::string response(*vector.find_string("response_body"));
    const auto expected = face::parse_signed_text(*vector.find_string("text"));
    ASSERT_TRUE(expected);
    const std::string model(*Json::parse(request)->find_string("model"));
    start();
    world_->engine.set_models(R"({"object":"list","data":[{"id":")" + model + R"("}]})");
    EngineAnswer answer;
    for (std::size_t at = 0; at < response.size(); at += 100) {
      answer.pieces.push_back(response.substr(at, 100));  // cut anywhere
    }
    world_->engine.set_answer(answer);
    ASSERT_TRUE(serving());
    const auto reply =
        get("POST", "/v1/chat/completions", request, {{"Content-Type", "application/json"}});
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->body, response);
    for (const char* algorithm : {"ecdsa", "ed25519"}) {
      const std::string parts = with_model ? "" : "&parts=2";
      const auto signature =
          get("GET", "/v1/signature/" + id + "?signing_algo=" + algorithm + parts);
      ASSERT_EQ(signature->status, 200) << signature->body;
      const auto signed_text = face::verify_chat_signature(signature->body);
      ASSERT_TRUE(signed_text);
      EXPECT_EQ(face::to_text(*signed_text), *vector.find_string("text"));
    }
    const auto made = records();
    ASSERT_EQ(made.size(), 1U);
    EXPECT_EQ(made[0].status, RecordStatus::Ok);
    EXPECT_EQ(made[0].request_hash, expected->request);
    EXPECT_EQ(made[0].response_hash, expected->response);
  }
};

constexpr const char* kVectors = "vectors/inference/legacy_signature_vectors.json";

TEST_F(HttpsFaceTest, ReproducesTheExchangeOfNearInProduction) {
  REQUIRE_SHARED(kVectors);
  const auto vectors = Json::parse(test::read_file(test::shared_path(kVectors)));
  ASSERT_TRUE(vectors);
  reproduce(*vectors->find("production_near"), "afa7975eaf844b1888776cf41548e230", true);
}

TEST_F(HttpsFaceTest, ReproducesTheExchangeOfPhalaOf2024) {
  REQUIRE_SHARED(kVectors);
  const auto vectors = Json::parse(test::read_file(test::shared_path(kVectors)));
  ASSERT_TRUE(vectors);
  reproduce(*vectors->find("production_phala_2024"), "chat-7ee2a39468ce48d7b2284783f21782b0",
            false);
}

TEST_F(HttpsFaceTest, AnswersWholeOnceItsRecordIsStored) {
  start();
  const EngineAnswer answer = test::plain_answer("forty-two", {.input = 7, .output = 3});
  world_->engine.set_answer(answer);
  ASSERT_TRUE(serving());
  const auto reply = get("POST", "/v1/chat/completions", test::chat("six by seven?", false));
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, answer.body());
  EXPECT_EQ(reply->headers.find("Content-Type"), answer.content_type);
  const auto made = records();
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].usage.input, 7U);
  EXPECT_EQ(made[0].usage.output, 3U);
  EXPECT_EQ(made[0].response_hash, sha256(reply->body));
}

/// The text has as many parts as the public verifiers can cut it into, by how they ask.
TEST_F(HttpsFaceTest, SignsInTheFormThatItsVerifiersRead) {
  start();
  for (const std::string model : {"test-model", "org/model:8b"}) {
    world_->engine.set_models(R"({"object":"list","data":[{"id":")" + model + R"("}]})");
    world_->stop_node();
    world_->start_node();
    client_.reset();
    world_->engine.set_answer(test::plain_answer("yes", {.input = 1, .output = 1}));
    ASSERT_TRUE(world_->until([&] {
      const auto offered = world_->agent->offered();
      return !offered.empty() && offered.front().model == model;
    }));
    const auto reply =
        get("POST", "/v1/chat/completions", R"({"model":")" + model + R"(","messages":[]})");
    ASSERT_EQ(reply->status, 200) << reply->body;
    const std::string id(*Json::parse(reply->body)->find_string("id"));
    const auto parts = [&](const std::string& query) {
      const auto json = Json::parse(get("GET", "/v1/signature/" + id + query)->body);
      const std::string text(json ? json->find_string("text").value_or("") : "");
      return std::ranges::count(text, ':') + 1;
    };
    const bool plain = model.find(':') == std::string::npos;
    EXPECT_EQ(parts(""), plain ? 3 : 2);
    EXPECT_EQ(parts("?model=x&signing_algo=ecdsa"), plain ? 3 : 2) << "NEAR AI";
    EXPECT_EQ(parts("?model=x"), 2) << "Phala";
    EXPECT_EQ(parts("?model=x&parts=3"), plain ? 3 : 4);
    EXPECT_EQ(parts("?parts=2"), 2);
  }
}

TEST_F(HttpsFaceTest, SignaturesOutliveTheProcess) {
  start();
  world_->engine.set_answer(test::plain_answer("kept", {.input = 1, .output = 1}));
  ASSERT_TRUE(serving());
  const auto reply = get("POST", "/v1/chat/completions", test::chat("?", false));
  const std::string id(*Json::parse(reply->body)->find_string("id"));
  const auto before = get("GET", "/v1/signature/" + id);
  ASSERT_EQ(before->status, 200) << before->body;
  client_.reset();
  world_->stop_node();
  world_->start_node();
  const auto after = get("GET", "/v1/signature/" + id);
  EXPECT_EQ(after->body, before->body);
}

TEST_F(HttpsFaceTest, OldSignaturesAreErasedThoughNobodyAsksAnythingAnyMore) {
  start([](node::NodeConfig& config) { config.https.signature_days = 1; });
  world_->engine.set_answer(test::plain_answer("kept", {.input = 1, .output = 1}));
  ASSERT_TRUE(serving());
  const auto reply = get("POST", "/v1/chat/completions", test::chat("?", false));
  const std::string id(*Json::parse(reply->body)->find_string("id"));
  const auto rows = [this](client::JournalTable table) {
    std::size_t out = 0;
    world_->node_journal->scan(table, {}, [&out](ByteSpan, ByteSpan) { return ++out != 0; });
    return out;
  };
  constexpr std::int64_t kDayS = 86'400;
  world_->clock.set_date(world_->clock.unix_s() + kDayS - 60);
  test::run_for(world_->loop, 1'200);  // a sweep
  EXPECT_EQ(get("GET", "/v1/signature/" + id)->status, 200);
  EXPECT_EQ(rows(client::JournalTable::Exchanges), 1U);
  world_->clock.set_date(world_->clock.unix_s() + 120);
  EXPECT_EQ(get("GET", "/v1/signature/" + id)->status, 404) << "before it is erased, too";
  EXPECT_TRUE(world_->until([&] {
    return rows(client::JournalTable::Exchanges) == 0 &&
           rows(client::JournalTable::ExchangeNames) == 0;
  }));
}

TEST_F(HttpsFaceTest, StopsTheEngineForAClientThatWentAway) {
  start();
  EngineAnswer answer =
      test::stream_answer(std::vector<std::string>(1000, "word "), {.output = 1000});
  answer.piece_ms = 5;
  world_->engine.set_answer(answer);
  ASSERT_TRUE(serving());
  const auto reply = send("POST", "/v1/chat/completions", test::chat("go on", true));
  ASSERT_TRUE(world_->until([&] { return !reply->body.empty(); }));
  client_->cancel(last_call_);
  EXPECT_TRUE(world_->until([&] { return world_->engine.aborted() == 1; }));
  ASSERT_TRUE(world_->until([&] { return records().size() == 1; }));
  EXPECT_EQ(records()[0].status, RecordStatus::ClientLost);
  EXPECT_LT(records()[0].usage.output, 900U);
  EXPECT_EQ(world_->https->server().running(), 0U);
}

TEST_F(HttpsFaceTest, SaysInTheStreamThatTheEngineBrokeOff) {
  start();
  EngineAnswer answer = test::stream_answer({"a", "b", "c"}, {.output = 3});
  answer.pieces.resize(2);
  answer.end = EngineAnswer::End::Cut;
  world_->engine.set_answer(answer);
  ASSERT_TRUE(serving());
  const auto reply = get("POST", "/v1/chat/completions", test::chat("?", true));
  EXPECT_EQ(reply->status, 200);
  EXPECT_TRUE(reply->body.starts_with(answer.body()));
  EXPECT_NE(reply->body.find("\n\ndata: {\"error\":{"), std::string::npos) << reply->body;
  ASSERT_EQ(records().size(), 1U);
  EXPECT_EQ(records()[0].status, RecordStatus::EngineDied);
  EXPECT_EQ(records()[0].response_hash, sha256(reply->body));
}

TEST_F(HttpsFaceTest, PassesTheEnginesOwnRefusal) {
  start();
  const EngineAnswer answer = test::refusal(422, "too many tools");
  world_->engine.set_answer(answer);
  ASSERT_TRUE(serving());
  const auto reply = get("POST", "/v1/chat/completions", test::chat("?", true));
  EXPECT_EQ(reply->status, 422);
  EXPECT_EQ(reply->body, answer.body());
  ASSERT_EQ(records().size(), 1U);
  EXPECT_EQ(records()[0].status, RecordStatus::Error);
}

TEST_F(HttpsFaceTest, RefusesInOpenAisShape) {
  start([](node::NodeConfig& config) { config.https.body_bytes_max = 2048; });
  ASSERT_TRUE(serving());

  struct Case {
    const char* method;
    const char* target;
    std::string body;
    int status;
    const char* type;
  };

  const std::vector<Case> cases{
      {"POST", "/v1/chat/completions", "", 400, "bad_request"},
      {"POST", "/v1/chat/completions", "[]", 400, "bad_request"},
      {"POST", "/v1/chat/completions", "{\"model\":7}", 400, "bad_request"},
      {"POST", "/v1/chat/completions", "{\"model\":\"other\"}", 404, "not_found"},
      {"POST", "/v1/chat/completions", std::string(4096, ' '), 413, "payload_too_large"},
      {"GET", "/v1/chat/completions", "", 405, "method_not_allowed"},
      {"POST", "/v1/models", "{}", 405, "method_not_allowed"},
      {"GET", "/v1/models/other", "", 404, "not_found"},
      {"GET", "/v1/models/%zz", "", 404, "not_found"},
      {"GET", "/v1/signature/", "", 404, "not_found"},
      {"GET", "/v1/signature/nobody", "", 404, "not_found"},
      {"GET", "/v1/signature/x?signing_algo=rsa", "", 400, "bad_request"},
      {"GET", "/v1/attestation/report?nonce=12", "", 400, "bad_request"},
      {"GET", "/v1/attestation/report?signing_algo=rsa", "", 400, "bad_request"},
      {"GET", "/v1/attestation/report?version=3", "", 400, "bad_request"},
      {"GET", "/v1/attestation/report?signing_address=0x00", "", 404, "not_found"},
      {"GET", "/v1/attestation/report?model=other", "", 404, "not_found"},
      {"GET", "/v1/proxy/attestation/report?model=other", "", 404, "not_found"},
      {"POST", "/v1/audio/speech", "{\"model\":\"test-model\"}", 404, "not_found"},
      {"POST", "/metrics", "{}", 404, "not_found"},
      {"GET", "/../identity.nsec", "", 404, "not_found"},
  };
  for (const Case& one : cases) {
    const auto reply = get(one.method, one.target, one.body);
    EXPECT_EQ(reply->status, one.status) << one.method << " " << one.target << " " << reply->body;
    EXPECT_EQ(reply->error_type(), one.type) << one.target << " " << reply->body;
  }
  EXPECT_EQ(world_->engine.asked(), 0U);
  EXPECT_TRUE(records().empty());
}

TEST_F(HttpsFaceTest, NeverAnswersInTheClearWhereEncryptionWasAskedFor) {
  start();
  world_->engine.set_answer(test::plain_answer("secret", {.input = 1, .output = 1}));
  ASSERT_TRUE(serving());
  const std::string body = test::chat("in the clear", false);
  const std::string key(64, 'a');
  const std::vector<net::HttpHeaders> asked{
      {{"X-Signing-Algo", "ecdsa"}},
      {{"X-Client-Pub-Key", key}},
      {{"X-Signing-Algo", "ed25519"}, {"X-Client-Pub-Key", key}},
      {{"X-Signing-Algo", "ecdsa"}, {"X-Signing-Algo", "ecdsa"}, {"X-Client-Pub-Key", key}},
      {{"X-E2EE-Version", "2"}},
      {{"X-E2EE-Version", "9"}, {"X-Signing-Algo", "ecdsa"}, {"X-Client-Pub-Key", key}},
      {{"Ehbp-Encapsulated-Key", key}},
  };
  for (const net::HttpHeaders& headers : asked) {
    const auto reply = get("POST", "/v1/chat/completions", body, headers);
    EXPECT_GE(reply->status, 400);
    EXPECT_EQ(reply->body.find("secret"), std::string::npos);
  }
  EXPECT_EQ(world_->engine.asked(), 0U);
}

TEST_F(HttpsFaceTest, TellsWhoComesTooEarlyWhenToCome) {
  start([](node::NodeConfig& config) {
    config.limits.running_start = config.limits.running_max = 1;
    config.limits.waiting_max = 1;
  });
  EngineAnswer answer = test::stream_answer({"a"}, {.output = 1});
  answer.end = EngineAnswer::End::Hang;
  world_->engine.set_answer(answer);
  ASSERT_TRUE(serving());
  const auto running = send("POST", "/v1/chat/completions", test::chat("1", true));
  ASSERT_TRUE(world_->until([&] { return world_->engine.asked() == 1; }));
  const auto waiting = send("POST", "/v1/chat/completions", test::chat("2", true));
  test::run_for(world_->loop, 50);
  const auto late = get("POST", "/v1/chat/completions", test::chat("3", true));
  EXPECT_EQ(late->status, 429);
  EXPECT_EQ(late->error_type(), "rate_limited");
  const auto after = late->headers.find("Retry-After");
  ASSERT_TRUE(after);
  EXPECT_GE(std::stoi(std::string(*after)), 1);
  EXPECT_FALSE(running->result);
  EXPECT_FALSE(waiting->result);
}

TEST_F(HttpsFaceTest, ReportsOverTheAskersNonceAndItsOwnKeys) {
  start();
  ASSERT_TRUE(serving());
  const std::string nonce(64, '7');
  for (const char* algorithm : {"ecdsa", "ed25519"}) {
    const auto reply = get("GET", std::string("/v1/attestation/report?signing_algo=") + algorithm +
                                      "&include_tls_fingerprint=true&nonce=" + nonce);
    ASSERT_EQ(reply->status, 200) << reply->body;
    const auto json = Json::parse(reply->body);
    ASSERT_TRUE(json);
    EXPECT_EQ(json->find_string("request_nonce"), nonce);
    EXPECT_EQ(json->find_string("model_name"), test::kTestModel);
    EXPECT_EQ(json->find_string("tls_cert_fingerprint"),
              encode_hex(world_->https->direct_path().tls_spki));
    ASSERT_NE(json->find("model_attestations"), nullptr);
    ASSERT_NE(json->find("all_attestations"), nullptr);
    ASSERT_NE(json->find("gateway_attestation"), nullptr);
    const auto report = attestation::parse_near_report(*json);
    EXPECT_TRUE(report.has_value());
    const auto quote = attestation::parse_tdx_quote(*decode_hex(*json->find_string("intel_quote")));
    ASSERT_TRUE(quote);
    const Bytes address = *decode_hex(
        std::string(*json->find_string("signing_address")).substr(algorithm[1] == 'c' ? 2 : 0));
    const Digest half = Sha256()
                            .update(ByteSpan(address))
                            .update(world_->https->direct_path().tls_spki.span())
                            .finish();
    const std::string data = encode_hex(ByteSpan(quote->td.report_data));
    EXPECT_EQ(data, encode_hex(half) + nonce);
  }
}

// A verifier of Phala's that reaches an engine's proxy by its own name asks like this, and refuses
// a report without the TLS key.
TEST_F(HttpsFaceTest, ReportsInPhalasFormToWhoNamesItsVersion) {
  start();
  ASSERT_TRUE(serving());
  const std::string nonce(64, '7');
  const auto reply =
      get("GET", "/v1/attestation/report?signing_algo=ecdsa&version=2&nonce=" + nonce);
  ASSERT_EQ(reply->status, 200) << reply->body;
  const auto json = Json::parse(reply->body);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->find_string("request_nonce"), nonce);
  EXPECT_EQ(json->find_string("quote"), json->find_string("intel_quote"));
  EXPECT_EQ(json->find("gateway_attestation"), nullptr);
  EXPECT_TRUE(json->find_string("vm_config"));
  const auto log = Json::parse(json->find_string("event_log").value_or(""));
  EXPECT_TRUE(log && log->is_array());
  const Digest spki = world_->https->direct_path().tls_spki;
  EXPECT_EQ(json->find_string("tls_cert_fingerprint"), encode_hex(spki));
  const Bytes address = *decode_hex(std::string(*json->find_string("signing_address")).substr(2));
  const Digest half = Sha256().update(ByteSpan(address)).update(spki.span()).finish();
  const auto quote = attestation::parse_tdx_quote(*decode_hex(*json->find_string("intel_quote")));
  ASSERT_TRUE(quote);
  EXPECT_EQ(encode_hex(ByteSpan(quote->td.report_data)), encode_hex(half) + nonce);
  // One form that is kept for those without a nonce is not given to askers of the other.
  EXPECT_EQ(Json::parse(get("GET", "/v1/attestation/report?version=1")->body)
                ->find("gateway_attestation"),
            nullptr);
  EXPECT_NE(Json::parse(get("GET", "/v1/attestation/report")->body)->find("gateway_attestation"),
            nullptr);
}

TEST_F(HttpsFaceTest, TheStatementOnTheRelayNamesTheTlsKey) {
  start([](node::NodeConfig& config) { config.https.url = "https://node.example:8443"; });
  ASSERT_TRUE(world_->wait_for_offer());
  EXPECT_EQ(world_->offer()->offer().url, "https://node.example:8443");
  const auto evidence = world_->user->offers.evidence_of(world_->offer()->offer());
  ASSERT_TRUE(evidence);
  EXPECT_EQ(evidence->statement.tls_spki, world_->https->direct_path().tls_spki);
}

/// A client of the field encryption with keys of its own.
struct FieldClient {
  [[nodiscard]] std::string key(bool ecdsa_mode) const {
    return ecdsa_mode ? encode_hex(ByteSpan(ecdsa.public_key().bytes).subspan(1))
                      : encode_hex(ed25519.public_key());
  }

  std::string seal(bool ecdsa_mode, BoxCipher cipher, const std::string& node_key,
                   std::string_view text, std::string_view aad = {}) {
    const auto sealed =
        ecdsa_mode ? seal_ecdsa_box("ecdsa_encryption", *from_hex<EcdsaPublicKey>("04" + node_key),
                                    as_bytes(aad), as_bytes(text), rng)
                   : seal_box({cipher, "ed25519_encryption"},
                              *to_x25519(*from_hex<Ed25519PublicKey>(node_key)), as_bytes(aad),
                              as_bytes(text), rng);
    return encode_hex(*sealed);
  }

  [[nodiscard]] std::string open(bool ecdsa_mode, BoxCipher cipher, std::string_view hex,
                                 std::string_view aad = {}) const {
    const auto sealed = decode_hex(hex);
    if (!sealed) return "(no hex)";
    const auto text = ecdsa_mode ? open_ecdsa_box("ecdsa_encryption", ecdsa, as_bytes(aad), *sealed)
                                 : open_box({cipher, "ed25519_encryption"}, ed25519.to_x25519(),
                                            as_bytes(aad), *sealed);
    return text ? std::string(as_text(*text)) : "(does not open)";
  }

  SystemRng rng;
  EcdsaKey ecdsa = EcdsaKey::generate(rng);
  Ed25519Key ed25519 = Ed25519Key::generate(rng);
};

struct FieldMode {
  bool ecdsa;
  const char* version;
  BoxCipher cipher;
};

TEST_F(HttpsFaceTest, OpensAndSealsFieldsInEveryMode) {
  start();
  ASSERT_TRUE(serving());
  FieldClient user;
  const std::vector<FieldMode> modes{
      {true, "1", BoxCipher::AesGcm},       {true, "2", BoxCipher::AesGcm},
      {false, "1", BoxCipher::NaclXChaCha}, {false, "1", BoxCipher::NaclXSalsa},
      {false, "1", BoxCipher::AesGcm},      {false, "2", BoxCipher::XChaCha}};
  for (const FieldMode& mode : modes) {
    const std::string algorithm = mode.ecdsa ? "ecdsa" : "ed25519";
    const auto report = get("GET", "/v1/attestation/report?signing_algo=" + algorithm);
    const std::string node_key(*Json::parse(report->body)->find_string("signing_public_key"));
    const net::HttpHeaders headers{{"X-Signing-Algo", algorithm},
                                   {"X-Client-Pub-Key", user.key(mode.ecdsa)},
                                   {"X-Model-Pub-Key", node_key},
                                   {"X-Encryption-Version", mode.version}};
    for (const bool stream : {false, true}) {
      world_->engine.set_answer(stream ? test::stream_answer({"ze", "bra"}, {.output = 2})
                                       : test::plain_answer("zebra", {.output = 2}));
      const std::string sealed = user.seal(mode.ecdsa, mode.cipher, node_key, "a secret prompt");
      const auto reply = get("POST", "/v1/chat/completions", test::chat(sealed, stream), headers);
      ASSERT_EQ(reply->status, 200) << reply->body;
      EXPECT_NE(world_->engine.last_body().find("a secret prompt"), std::string::npos);
      EXPECT_EQ(reply->body.find("ze"), std::string::npos) << reply->body;
      EXPECT_EQ(reply->headers.find("X-E2EE-Applied"), "true");
      EXPECT_EQ(reply->headers.find("X-E2EE-Algo"), algorithm);
      EXPECT_EQ(
          text_of(reply->body, stream,
                  [&](std::string_view hex) { return user.open(mode.ecdsa, mode.cipher, hex); }),
          "zebra")
          << algorithm << mode.version;
    }
    // Plaintext where a ciphertext has to stand is no request.
    EXPECT_EQ(get("POST", "/v1/chat/completions", test::chat("plain", false), headers)->status,
              400);
    // What an engine says of a refusal may repeat the prompt.
    world_->engine.set_answer(test::refusal(422, "a secret prompt is too long"));
    const std::string sealed = user.seal(mode.ecdsa, mode.cipher, node_key, "a secret prompt");
    const auto refused = get("POST", "/v1/chat/completions", test::chat(sealed, false), headers);
    EXPECT_EQ(refused->status, 422);
    EXPECT_EQ(refused->body.find("secret"), std::string::npos);
  }
}

// Phala's version 2: each field bound to its place, and a request taken once.
TEST_F(HttpsFaceTest, OpensAndSealsBoundFieldsOnce) {
  start();
  ASSERT_TRUE(serving());
  FieldClient user;
  for (const bool is_ecdsa : {true, false}) {
    const std::string algorithm = is_ecdsa ? "ecdsa" : "ed25519";
    const auto report = get("GET", "/v1/attestation/report?signing_algo=" + algorithm);
    const std::string node_key(*Json::parse(report->body)->find_string("signing_public_key"));
    const std::string time = std::to_string(world_->clock.unix_s());
    for (const bool stream : {false, true}) {
      const std::string nonce = stream ? "a-nonce-for-streams" : "a-nonce-for-one-answer";
      const std::string end = "|n=" + nonce + "|ts=" + time;
      const std::string of = "|algo=" + algorithm + "|model=" + std::string(test::kTestModel);
      const std::string sealed = user.seal(is_ecdsa, BoxCipher::AesGcm, node_key, "a secret prompt",
                                           "v2|req" + of + "|m=0|c=-" + end);
      net::HttpHeaders headers{{"X-Signing-Algo", algorithm},
                               {"X-Client-Pub-Key", user.key(is_ecdsa)},
                               {"X-Model-Pub-Key", node_key},
                               {"X-E2EE-Nonce", nonce},
                               {"X-E2EE-Timestamp", time}};
      if (stream) headers.add("X-E2EE-Version", "2");
      world_->engine.set_answer(stream ? test::stream_answer({"ze", "bra"}, {.output = 2})
                                       : test::plain_answer("zebra", {.output = 2}));
      const auto reply = get("POST", "/v1/chat/completions", test::chat(sealed, stream), headers);
      ASSERT_EQ(reply->status, 200) << reply->body;
      EXPECT_NE(world_->engine.last_body().find("a secret prompt"), std::string::npos);
      EXPECT_EQ(reply->body.find("ze"), std::string::npos) << reply->body;
      EXPECT_EQ(reply->headers.find("X-E2EE-Version"), "2");
      const std::string first = stream ? reply->body.substr(6, reply->body.find('\n') - 6) : "";
      const auto whole = Json::parse(stream ? first : reply->body);
      ASSERT_TRUE(whole);
      const std::string aad = "v2|resp|algo=" + algorithm +
                              "|model=" + std::string(whole->find_string("model").value_or("")) +
                              "|id=" + std::string(whole->find_string("id").value_or("")) +
                              "|choice=0|field=content" + end;
      EXPECT_EQ(text_of(reply->body, stream,
                        [&](std::string_view hex) {
                          return user.open(is_ecdsa, BoxCipher::AesGcm, hex, aad);
                        }),
                "zebra");
      const auto again = get("POST", "/v1/chat/completions", test::chat(sealed, stream), headers);
      EXPECT_EQ(again->status, 400);
      EXPECT_EQ(again->error_type(), "e2ee_replay_detected");
    }
    const auto late = get("POST", "/v1/chat/completions", test::chat("00", false),
                          {{"X-Signing-Algo", algorithm},
                           {"X-Client-Pub-Key", user.key(is_ecdsa)},
                           {"X-Model-Pub-Key", node_key},
                           {"X-E2EE-Nonce", "a-nonce-of-another-day"},
                           {"X-E2EE-Timestamp", "1"}});
    EXPECT_EQ(late->error_type(), "e2ee_invalid_timestamp");
  }
}

TEST_F(HttpsFaceTest, EncryptsThePromptOfAnUploadAndItsAnswer) {
  start([](node::NodeConfig& config) {
    config.engine.paths = {"/v1/audio/transcriptions", "/v1/audio/translations",
                           "/v1/images/edits"};
  });
  ASSERT_TRUE(serving());
  FieldClient user;
  const auto report = get("GET", "/v1/attestation/report");
  const std::string node_key(*Json::parse(report->body)->find_string("signing_public_key"));
  const net::HttpHeaders headers{{"X-Signing-Algo", "ecdsa"},
                                 {"X-Client-Pub-Key", user.key(true)},
                                 {"Content-Type", "multipart/form-data; boundary=x"}};
  const auto part = [](const std::string& name, const std::string& content) {
    return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + content +
           "\r\n";
  };
  const auto upload = [&](const std::string& parts) {
    return part("model", std::string(test::kTestModel)) + parts +
           part("file\"; filename=\"f", "RIFF\r\n--y\r\n") + "--x--\r\n";
  };
  const auto sealed = [&](const std::string& text) {
    return user.seal(true, BoxCipher::AesGcm, node_key, text);
  };
  const auto answer = [](const std::string& body) {
    EngineAnswer out;
    out.content_type = "application/json";
    out.pieces = {body};
    return out;
  };
  const auto opened = [&](std::string_view hex) { return user.open(true, BoxCipher::AesGcm, hex); };

  world_->engine.set_answer(
      answer(R"({"text":"Grüße","usage":{"input_tokens":14,"output_tokens":3}})"));
  const auto spoken = get("POST", "/v1/audio/transcriptions",
                          upload(part("prompt", sealed("names: Anna")) +
                                 part("response_format", "json") + part("stream", "false")),
                          headers);
  ASSERT_EQ(spoken->status, 200) << spoken->body;
  EXPECT_EQ(world_->engine.last_body(),
            upload(part("prompt", "names: Anna") + part("response_format", "json") +
                   part("stream", "false")));
  EXPECT_EQ(opened(*Json::parse(spoken->body)->find_string("text")), "Grüße");
  // Without a prompt the answer is sealed all the same.
  const auto silent = get("POST", "/v1/audio/transcriptions", upload(""), headers);
  EXPECT_EQ(silent->body.find("Gr"), std::string::npos);

  world_->engine.set_answer(answer(R"({"data":[{"b64_json":"iVBORw0KGgo="}]})"));
  const auto drawn =
      get("POST", "/v1/images/edits", upload(part("prompt", sealed("a hat"))), headers);
  ASSERT_EQ(drawn->status, 200) << drawn->body;
  EXPECT_NE(world_->engine.last_body().find(part("prompt", "a hat")), std::string::npos);
  EXPECT_EQ(opened(*Json::parse(drawn->body)->find("data")->items()[0].find_string("b64_json")),
            "iVBORw0KGgo=");

  const std::size_t asked = world_->engine.asked();
  for (const std::string& parts : {
           part("prompt", "plain"),
           part("prompt", sealed("a")) + part("prompt", sealed("b")),
           part("prompt\"; filename=\"p", sealed("a")),
           part("prompt", sealed("a\r\n--x\r\nContent-Disposition: form-data; "
                                 "name=\"stream\"\r\n\r\ntrue")),
           part("prompt", sealed("--x--")),
           part("prompt", sealed("\xC3")),
           part("stream", "true"),
           part("response_format", "verbose_json"),
           part("response_format", "text"),
           part("include[]", "logprobs"),
           part("timestamp_granularities[]", "word"),
       }) {
    EXPECT_EQ(get("POST", "/v1/audio/transcriptions", upload(parts), headers)->status, 400)
        << parts;
  }
  EXPECT_EQ(get("POST", "/v1/audio/transcriptions", "{}", headers)->status, 400);
  EXPECT_EQ(get("POST", "/v1/audio/translations", upload(""), headers)->status, 400)
      << "nobody defined its fields";
  EXPECT_EQ(world_->engine.asked(), asked);
}

TEST_F(HttpsFaceTest, SignsTheWiresBytesOfAnEncryptedExchange) {
  start();
  ASSERT_TRUE(serving());
  FieldClient user;
  const auto report = get("GET", "/v1/attestation/report");
  const std::string node_key(*Json::parse(report->body)->find_string("signing_public_key"));
  const std::string body = test::chat(user.seal(true, BoxCipher::AesGcm, node_key, "hidden"), true);
  world_->engine.set_answer(test::stream_answer({"x"}, {.output = 1}));
  const auto reply = get("POST", "/v1/chat/completions", body,
                         {{"X-Signing-Algo", "ecdsa"}, {"X-Client-Pub-Key", user.key(true)}});
  const std::string first = reply->body.substr(6, reply->body.find("\n") - 6);
  const std::string id(*Json::parse(first)->find_string("id"));
  const auto signature = face::verify_chat_signature(get("GET", "/v1/signature/" + id)->body);
  ASSERT_TRUE(signature);
  EXPECT_EQ(signature->request, sha256(body));
  EXPECT_EQ(signature->response, sha256(reply->body));
}

TEST_F(HttpsFaceTest, LimitsReportsByAddress) {
  start([](node::NodeConfig& config) { config.https.reports_per_minute = 3; });
  ASSERT_TRUE(serving());
  const std::string target = "/v1/attestation/report?nonce=" + std::string(64, '1');
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get("GET", target)->status, 200);
  const auto late = get("GET", target);
  EXPECT_EQ(late->status, 429);
  EXPECT_TRUE(late->headers.find("Retry-After"));
}

/// A verifier that is a page of another origin.
TEST_F(HttpsFaceTest, MayBeReadByPages) {
  start();
  world_->engine.set_answer(test::stream_answer({"a"}, {.output = 1}));
  ASSERT_TRUE(serving());
  const auto asked = get("OPTIONS", "/v1/chat/completions", {},
                         {{"Origin", "https://verifier.example"},
                          {"Access-Control-Request-Method", "POST"},
                          {"Access-Control-Request-Headers", "authorization, content-type"}});
  EXPECT_EQ(asked->status, 204);
  EXPECT_EQ(asked->headers.find("Access-Control-Allow-Methods"), "GET, POST");
  EXPECT_EQ(asked->headers.find("Access-Control-Allow-Headers"), "Authorization, *");
  const auto report = get("GET", "/v1/attestation/report");
  const auto answer = get("POST", "/v1/chat/completions", test::chat("?", true));
  const auto refused = get("GET", "/v1/signature/none");
  for (const auto& reply : {asked, report, answer, refused}) {
    EXPECT_EQ(reply->headers.find("Access-Control-Allow-Origin"), "*");
    EXPECT_EQ(reply->headers.find("Access-Control-Expose-Headers"), "*") << reply->status;
    EXPECT_FALSE(reply->headers.find("Access-Control-Allow-Credentials"));
  }
}

TEST_F(HttpsFaceTest, ListsWhatIsOffered) {
  start();
  ASSERT_TRUE(serving());
  const auto json = Json::parse(get("GET", "/v1/models")->body);
  ASSERT_TRUE(json);
  ASSERT_EQ(json->find("data")->items().size(), 1U);
  EXPECT_EQ(json->find("data")->items()[0].find_string("id"), test::kTestModel);
  EXPECT_EQ(get("GET", "/v1/models/test%2Dmodel")->status, 200);
}

}  // namespace
}  // namespace nostril
