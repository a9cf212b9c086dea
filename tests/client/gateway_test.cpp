// The gateway over real HTTP on loopback, with a node behind a relay on the same loop.
#include "client/gateway/gateway.h"

#include "base/hex.h"
#include "base/json.h"
#include "net/http_client.h"
#include "schnorr/hash.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <fstream>

namespace nostril::client {
namespace {

using test::chat;
using test::EngineAnswer;
using test::World;

struct Reply {
  int status = 0;
  net::HttpHeaders headers;
  std::string body;
  bool ended = false;
  net::HttpCallResult result;
  net::CallId id = net::CallId::None;
};

class GatewayTest : public ::testing::Test {
 protected:
  explicit GatewayTest(bool trust_test_root = true,
                       const std::function<void(node::NodeConfig&)>& configure = {})
      : world_(configure), http_(world_.loop) {
    const auto root = world_.folder.path() / "root.der";
    const auto der = test::simulator_root();
    std::ofstream(root, std::ios::binary)
        .write(reinterpret_cast<const char*>(der.data()), static_cast<std::streamsize>(der.size()));
    ClientSettings settings;
    settings.home = world_.folder.path() / "home";
    settings.relays = {world_.relay.url()};
    if (trust_test_root) settings.test_roots = {root.string()};
    home_ = std::make_unique<ClientHome>(settings, world_.loop, world_.clock, world_.rng);
    start_gateway();
  }

  void start_gateway() {
    GatewaySettings settings;
    settings.keys_file = keys_file();
    gateway_ = std::make_unique<Gateway>(*home_, world_.loop, world_.clock, world_.rng, settings);
  }

  [[nodiscard]] std::filesystem::path keys_file() const {
    return world_.folder.path() / "keys.toml";
  }

  /// From now on this key is asked for.
  void give_key(const std::string& key, const ApiBudget& budget) {
    ASSERT_TRUE(
        write_api_keys(keys_file(), std::vector{ApiKey{"alice", api_key_hash(key), {}, budget}}));
    gateway_.reset();
    start_gateway();
  }

  std::shared_ptr<Reply> post_to(const std::string& path, const std::string& body,
                                 const net::HttpHeaders& headers = {}) {
    return finish(send("POST", path, body, headers));
  }

  void wait_for_offer() {
    ASSERT_TRUE(world_.until([&] { return !home_->offers().usable().empty(); }));
  }

  std::shared_ptr<Reply> send(const std::string& method, const std::string& path,
                              const std::string& body = {}, const net::HttpHeaders& headers = {}) {
    const auto reply = std::make_shared<Reply>();
    net::HttpCall call;
    call.method = method;
    call.url = "http://127.0.0.1:" + std::to_string(gateway_->port()) + path;
    call.body = body;
    call.headers = headers;
    net::HttpCallbacks callbacks;
    callbacks.on_status = [reply](int status, const net::HttpHeaders& got) {
      reply->status = status;
      reply->headers = got;
    };
    callbacks.on_data = [reply](std::string_view bytes) {
      reply->body += bytes;
      return true;
    };
    callbacks.on_done = [reply](const net::HttpCallResult& result) {
      reply->result = result;
      reply->ended = true;
    };
    reply->id = http_.start(std::move(call), std::move(callbacks));
    return reply;
  }

  std::shared_ptr<Reply> finish(const std::shared_ptr<Reply>& reply) {
    EXPECT_TRUE(world_.until([&] { return reply->ended; }));
    return reply;
  }

  std::shared_ptr<Reply> post(const std::string& body, const net::HttpHeaders& headers = {}) {
    return finish(send("POST", "/v1/chat/completions", body, headers));
  }

  static std::string error_type(const Reply& reply) {
    const auto body = Json::parse(reply.body);
    const Json* error = body ? body->find("error") : nullptr;
    if (error == nullptr || !error->find_string("message")) return "no error object";
    return std::string(error->find_string("type").value_or(""));
  }

  World world_;
  net::HttpClient http_;
  std::unique_ptr<ClientHome> home_;
  std::unique_ptr<Gateway> gateway_;
};

TEST_F(GatewayTest, StreamsTheEnginesBytesWithTheRecordAsACommentBeforeDone) {
  const EngineAnswer scripted = test::stream_answer({"a", "data: [DONE]", "b"}, {10, 0, 3});
  world_.engine.set_answer(scripted);
  wait_for_offer();
  const auto reply = post(chat("x", true));
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->headers.find("Content-Type"), "text/event-stream");
  const std::string mark = ": nostril-record ";
  const std::size_t at = reply->body.find(mark);
  ASSERT_NE(at, std::string::npos) << reply->body;
  const std::size_t line_end = reply->body.find("\n\n", at);
  const std::string comment = reply->body.substr(at, line_end + 2 - at);
  std::string engine_said = reply->body.substr(0, at) + reply->body.substr(at + comment.size());
  const std::size_t member = engine_said.find(",\"nostril\":{");
  ASSERT_NE(member, std::string::npos);
  engine_said.erase(member, engine_said.find("}}\n\n", member) + 1 - member);
  EXPECT_EQ(engine_said, scripted.body());
  EXPECT_EQ(reply->body.substr(at + comment.size()), "data: [DONE]\n\n");
  const auto line = Json::parse(comment.substr(mark.size(), comment.size() - mark.size() - 2));
  ASSERT_TRUE(line);
  EXPECT_EQ(line->find_string("status"), "ok");
  EXPECT_EQ(line->find_boolean("simulated"), true);
  EXPECT_NE(line->find("receipt"), nullptr);
}

TEST_F(GatewayTest, AnswersWhatIsNoStreamWithTheEnginesBytes) {
  const EngineAnswer scripted = test::plain_answer("hello", {10, 0, 3});
  world_.engine.set_answer(scripted);
  wait_for_offer();
  const auto reply = post(chat("x", false));
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, scripted.body());
  EXPECT_EQ(reply->headers.find("X-Nostril-Record").value_or("").size(), 64U);
  EXPECT_EQ(reply->headers.find("X-Nostril-Cost"), "3 msat");
  EXPECT_NE(reply->headers.find("X-Nostril-Verification").value_or("").find("simulated"),
            std::string_view::npos);
}

TEST_F(GatewayTest, TellsItsPageOfNodesVerdictsAndSpending) {
  world_.engine.set_answer(test::plain_answer("hello", {10, 0, 3}));
  wait_for_offer();
  ASSERT_EQ(post(chat("x", false))->status, 200);
  const auto get = [this](const std::string& path) {
    const auto reply = send("GET", path);
    finish(reply);
    EXPECT_EQ(reply->headers.find("Cache-Control"), "no-store") << path;
    return Json::parse(reply->body).value_or(Json());
  };
  const Json nodes = get("/nostril/v1/nodes");
  ASSERT_NE(nodes.find("offers"), nullptr);
  ASSERT_EQ(nodes.find("offers")->items().size(), 1U);
  const Json& offer = nodes.find("offers")->items()[0];
  EXPECT_EQ(offer.find_boolean("accepted"), true);
  EXPECT_EQ(offer.find_boolean("simulated"), true);
  EXPECT_EQ(offer.find("history")->items().size(), 1U);
  ASSERT_EQ(offer.find("answers")->items().size(), 1U);
  EXPECT_EQ(offer.find("answers")->items()[0].find_string("status"), "ok");

  const std::string id(offer.find_string("offer").value_or(""));
  const Json judged = get("/nostril/v1/verdict?offer=" + id);
  ASSERT_NE(judged.find("verdict"), nullptr);
  EXPECT_EQ(judged.find("verdict")->find_boolean("simulated"), true);
  EXPECT_GT(judged.find("verdict")->find("checks")->items().size(), 20U);
  EXPECT_EQ(get("/nostril/v1/verdict?offer=" + std::string(64, '0')).find("verdict"), nullptr);

  const Json spending = get("/nostril/v1/spending");
  ASSERT_EQ(spending.find("days")->items().size(), 1U);
  EXPECT_EQ(spending.find("days")->items()[0].find_string("cost"), "3");
  EXPECT_EQ(spending.find("days")->items()[0].find_integer("output"), 3);
  ASSERT_EQ(spending.find("channels")->items().size(), 1U);
  EXPECT_EQ(spending.find("channels")->items()[0].find_string("receipted"), "3");
}

TEST_F(GatewayTest, CountsWhatItDidForPrometheus) {
  wait_for_offer();
  const auto metrics = [&] {
    const auto reply = finish(send("GET", "/metrics"));
    EXPECT_EQ(reply->status, 200);
    return reply->body;
  };
  const auto has = [](const std::string& text, const std::string& line) {
    EXPECT_NE(text.find("\nnostril_gateway_" + line + "\n"), std::string::npos) << line << "\n"
                                                                                << text;
  };
  has(metrics(), "asked_total 0");
  world_.engine.set_answer(test::stream_answer({"one ", "two"}, {11, 4, 2}));
  const auto good = post(chat("a prompt that is nobody's business", true));
  EXPECT_EQ(good->status, 200);
  world_.engine.set_answer(test::refusal(400, "too long"));
  EXPECT_EQ(post(chat("x", false))->status, 400);
  const std::string text = metrics();
  has(text, R"(requests_total{path="/v1/chat/completions",outcome="error"} 1)");
  has(text, R"(requests_total{path="/v1/chat/completions",outcome="verified"} 1)");
  has(text, "requests_running 0");
  has(text, "streams_open 0");
  has(text, R"(tokens_total{model="test-model",kind="cached"} 4)");
  has(text, R"(tokens_total{model="test-model",kind="output"} 2)");
  has(text, "asked_total 2");
  has(text, "retries_total 0");
  has(text, "repeats_total 0");
  has(text, "offers_verified 1");
  has(text, "relays_connected 1");
  EXPECT_NE(text.find("spent_total{model=\"test-model\",asset="), std::string::npos);
  EXPECT_EQ(text.find("business"), std::string::npos);
}

TEST_F(GatewayTest, RefusesThePagesDataToForeignPages) {
  for (const std::string path : {"/", "/nostril/v1/nodes", "/nostril/v1/spending"}) {
    const auto reply = send("GET", path, {}, {{"Origin", "https://evil.example"}});
    finish(reply);
    EXPECT_EQ(reply->status, 403) << path;
  }
}

TEST_F(GatewayTest, PassesTheEnginesRefusal) {
  const EngineAnswer scripted = test::refusal(400, "context");
  world_.engine.set_answer(scripted);
  wait_for_offer();
  for (const bool stream : {true, false}) {
    const auto reply = post(chat("x", stream));
    EXPECT_EQ(reply->status, 400);
    EXPECT_EQ(reply->body, scripted.body());
  }
}

TEST_F(GatewayTest, ABrokenOffAnswerIsAnErrorInEitherForm) {
  EngineAnswer scripted = test::stream_answer({"a", "b"}, {10, 0, 2});
  scripted.pieces.resize(2);
  scripted.pieces.back().resize(20);  // in the middle of a line
  scripted.end = EngineAnswer::End::Cut;
  world_.engine.set_answer(scripted);
  wait_for_offer();
  const auto streamed = post(chat("x", true));
  EXPECT_EQ(streamed->status, 200);
  EXPECT_EQ(streamed->body.find("[DONE]"), std::string::npos);
  EXPECT_NE(streamed->body.find("\n\ndata: {\"error\":"), std::string::npos) << streamed->body;
  EngineAnswer half = test::plain_answer("hello", {10, 0, 2});
  half.pieces[0].resize(30);
  half.end = EngineAnswer::End::Cut;
  world_.engine.set_answer(half);
  const auto plain = post(chat("x", false));
  EXPECT_EQ(plain->status, 502) << plain->body;
  EXPECT_NE(error_type(*plain), "no error object");
}

TEST_F(GatewayTest, AnApplicationThatGoesAwayStopsTheEngine) {
  EngineAnswer slow = test::stream_answer(std::vector<std::string>(20'000, "x"), {1, 0, 1});
  slow.piece_ms = 1;
  world_.engine.set_answer(slow);
  wait_for_offer();
  const auto reply = send("POST", "/v1/chat/completions", chat("x", true));
  ASSERT_TRUE(world_.until([&] { return reply->body.size() > 500; }));
  http_.cancel(reply->id);
  EXPECT_TRUE(world_.until([&] { return world_.engine.aborted() == 1; }));
}

TEST_F(GatewayTest, RefusesForeignHostsAndOrigins) {
  wait_for_offer();
  const std::string port = ":" + std::to_string(gateway_->port());
  for (const std::string host :
       {"evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::2]"}) {
    const auto reply = post(chat("x", false), {{"Host", host + port}});
    EXPECT_EQ(reply->status, 403) << host;
    EXPECT_EQ(error_type(*reply), "forbidden");
  }
  for (const std::string origin : {"https://evil.example", "null", "http://127.0.0.1.evil.example",
                                   "http://localhost@evil.example", "file://"}) {
    EXPECT_EQ(post(chat("x", false), {{"Origin", origin}})->status, 403) << origin;
  }
  for (const std::string origin : {"http://localhost:3000", "http://127.0.0.1", "http://[::1]:9"}) {
    EXPECT_EQ(post(chat("x", false), {{"Origin", origin}})->status, 200) << origin;
  }
  EXPECT_EQ(post(chat("x", false), {{"Host", "localhost" + port}})->status, 200);
}

TEST_F(GatewayTest, SaysWhatItServes) {
  wait_for_offer();
  const auto models = finish(send("GET", "/v1/models"));
  EXPECT_EQ(models->status, 200);
  const auto list = Json::parse(models->body);
  ASSERT_TRUE(list);
  ASSERT_EQ(list->find("data")->items().size(), 1U);
  EXPECT_EQ(list->find("data")->items()[0].find_string("id"), "test-model");
  EXPECT_EQ(finish(send("GET", "/v1/models/test-model"))->status, 200);
  EXPECT_EQ(finish(send("GET", "/v1/models/none"))->status, 404);
  EXPECT_EQ(finish(send("GET", "/health"))->status, 200);
}

TEST_F(GatewayTest, SaysWhichEvidenceItAcceptedAndTellsPagesOfThisMachineOnly) {
  wait_for_offer();
  const auto reply = finish(send("GET", "/nostril/v1/offers"));
  EXPECT_EQ(reply->status, 200);
  EXPECT_FALSE(reply->headers.find("Access-Control-Allow-Origin"));
  const auto json = Json::parse(reply->body);
  ASSERT_TRUE(json);
  ASSERT_EQ(json->find("offers")->items().size(), 1U);
  const Json& stated = json->find("offers")->items()[0];
  const auto verified = home_->offers().usable().front();
  EXPECT_EQ(stated.find_string("offer"), encode_hex(verified->offer().id));
  EXPECT_EQ(stated.find_string("statement"), encode_hex(verified->offer().attestation));
  EXPECT_EQ(stated.find_string("evidence"),
            encode_hex(home_->offers().evidence_digest_of(verified->offer()).value()));
  EXPECT_EQ(stated.find_boolean("accepted"), true);
  EXPECT_EQ(stated.find_boolean("simulated"), true);
  EXPECT_EQ(stated.find_string("level"), "declared");
  EXPECT_GT(stated.find_integer("holds_until").value_or(0), world_.clock.unix_s());

  const std::string page = "http://localhost:1234";
  const auto own = finish(send("GET", "/nostril/v1/offers", {}, {{"Origin", page}}));
  EXPECT_EQ(own->headers.find("Access-Control-Allow-Origin"), page);
  const auto foreign =
      finish(send("GET", "/nostril/v1/offers", {}, {{"Origin", "https://evil.example"}}));
  EXPECT_EQ(foreign->status, 403);
  EXPECT_FALSE(foreign->headers.find("Access-Control-Allow-Origin"));
}

TEST_F(GatewayTest, RefusesInTheShapeOfAnOpenAiError) {
  wait_for_offer();
  const auto no_model = post("{}");
  EXPECT_EQ(no_model->status, 400);
  EXPECT_EQ(error_type(*no_model), "invalid_request_error");
  EXPECT_EQ(post("nonsense")->status, 400);
  EXPECT_EQ(post("[]")->status, 400);
  EXPECT_EQ(finish(send("GET", "/v1/chat/completions"))->status, 405);
  EXPECT_EQ(finish(send("GET", "/elsewhere"))->status, 404);
  EXPECT_EQ(error_type(*post_to("/v1/rerank", "{}")), "not_found");
}

TEST_F(GatewayTest, WithoutANodeItIsUnavailable) {
  wait_for_offer();
  world_.engine.go_away();
  ASSERT_TRUE(world_.until([&] { return home_->offers().usable().empty(); }));
  const auto reply = post(chat("x", false));
  EXPECT_EQ(reply->status, 503);
  EXPECT_EQ(error_type(*reply), "node_unavailable");
  EXPECT_EQ(reply->headers.find("Retry-After"), "1");
  EXPECT_EQ(finish(send("GET", "/health"))->status, 503);
}

// Final, so not a status that SDKs repeat by themselves.
TEST_F(GatewayTest, AModelThatNobodyOffersIsNotFound) {
  wait_for_offer();
  const auto reply = post(R"({"model":"none","messages":[]})");
  EXPECT_EQ(reply->status, 404);
  EXPECT_EQ(error_type(*reply), "model_not_found");
}

TEST_F(GatewayTest, StopsWithRequestsUnderWay) {
  EngineAnswer silent;
  silent.silent = true;
  world_.engine.set_answer(silent);
  wait_for_offer();
  const auto running = send("POST", "/v1/chat/completions", chat("x", true));
  const auto waiting = send("POST", "/v1/chat/completions", R"({"model":"none"})");
  ASSERT_TRUE(world_.until([&] { return world_.engine.running() == 1; }));
  gateway_->stop();
  test::run_for(world_.loop, 100);
  gateway_.reset();
  EXPECT_TRUE(world_.until([&] { return world_.engine.aborted() == 1; }));
  EXPECT_TRUE(world_.until([&] { return running->ended && waiting->ended; }));
}

TEST_F(GatewayTest, SpeaksAnthropic) {
  world_.engine.set_answer(test::stream_answer({"Hel", "lo"}, {10, 0, 3}));
  wait_for_offer();
  const std::string body =
      R"("model":"test-model","max_tokens":9,"messages":[{"role":"user","content":"x"}]})";
  const auto streamed = post_to("/v1/messages", R"({"stream":true,)" + body);
  EXPECT_EQ(streamed->status, 200);
  EXPECT_EQ(streamed->headers.find("Content-Type"), "text/event-stream");
  EXPECT_NE(streamed->body.find(R"("text":"Hel")"), std::string::npos) << streamed->body;
  EXPECT_NE(streamed->body.find("\n\n: nostril-record {"), std::string::npos);
  EXPECT_TRUE(
      streamed->body.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
  EXPECT_NE(world_.engine.last_body().find(R"("max_tokens":9)"), std::string::npos);

  world_.engine.set_answer(test::plain_answer("Hello", {10, 0, 3}));
  const auto plain = post_to("/v1/messages", "{" + body);
  const auto message = Json::parse(plain->body);
  ASSERT_TRUE(message) << plain->body;
  EXPECT_EQ(message->find("content")->items()[0].find_string("text"), "Hello");
  EXPECT_EQ(plain->headers.find("X-Nostril-Record").value_or("").size(), 64U);

  world_.engine.set_answer(test::refusal(400, "too long"));
  const auto refused = post_to("/v1/messages", "{" + body);
  EXPECT_EQ(refused->status, 400);
  EXPECT_EQ(refused->body,
            R"({"type":"error","error":{"type":"invalid_request_error","message":"too long"}})");
  const auto counted = post_to("/v1/messages/count_tokens", "{" + body);
  const auto count = Json::parse(counted->body);
  ASSERT_TRUE(count);
  EXPECT_GT(count->find_integer("input_tokens").value_or(0), 0);
}

TEST_F(GatewayTest, SpeaksOllama) {
  world_.engine.set_answer(test::stream_answer({"Hel", "lo"}, {10, 0, 3}));
  wait_for_offer();
  const std::string body = R"({"model":"test-model","messages":[{"role":"user","content":"x"}]})";
  const auto streamed = post_to("/api/chat", body);
  EXPECT_EQ(streamed->headers.find("Content-Type"), "application/x-ndjson");
  EXPECT_NE(streamed->body.find(R"("done":true)"), std::string::npos) << streamed->body;
  EXPECT_TRUE(streamed->body.ends_with("}\n"));
  const auto tags = Json::parse(finish(send("GET", "/api/tags"))->body);
  ASSERT_TRUE(tags);
  EXPECT_EQ(tags->find("models")->items()[0].find_string("name"), "test-model");
  EXPECT_EQ(post_to("/api/show", R"({"model":"test-model"})")->status, 200);
  const auto unknown = post_to("/api/show", R"({"model":"none"})");
  EXPECT_EQ(unknown->status, 404);
  EXPECT_EQ(unknown->body, R"({"error":"no verified node offers this model"})");
}

TEST_F(GatewayTest, SpeaksResponses) {
  world_.engine.set_answer(test::stream_answer({"Hel", "lo"}, {10, 0, 3}));
  wait_for_offer();
  const auto streamed =
      post_to("/v1/responses", R"({"model":"test-model","input":"x","stream":true})");
  EXPECT_NE(streamed->body.find("event: response.output_text.delta"), std::string::npos);
  const std::size_t last = streamed->body.rfind("event: ");
  EXPECT_TRUE(streamed->body.substr(last).starts_with("event: response.completed\n"));
  const auto refused =
      post_to("/v1/responses", R"({"model":"test-model","input":"x","previous_response_id":"r"})");
  EXPECT_EQ(refused->status, 400);
  EXPECT_EQ(error_type(*refused), "invalid_request_error");
  EXPECT_EQ(refused->headers.find("x-should-retry"), "false");
}

TEST_F(GatewayTest, ARequestThatIsSentAgainAfterALostConnectionIsAskedOnce) {
  EngineAnswer slow = test::plain_answer("hello", {10, 0, 3});
  const std::string whole = slow.body();
  slow.pieces = {whole.substr(0, 20), whole.substr(20)};
  slow.piece_ms = 400;
  world_.engine.set_answer(slow);
  wait_for_offer();
  const auto first = send("POST", "/v1/chat/completions", chat("x", false));
  ASSERT_TRUE(world_.until([&] { return world_.engine.running() == 1; }));
  http_.cancel(first->id);
  test::run_for(world_.loop, 50);
  const auto again = post(chat("x", false));
  EXPECT_EQ(again->status, 200);
  EXPECT_EQ(again->body, whole);
  EXPECT_EQ(world_.engine.asked(), 1U);
  // Delivered: the next equal request is one of its own.
  EXPECT_EQ(post(chat("x", false))->status, 200);
  EXPECT_EQ(world_.engine.asked(), 2U);
}

TEST_F(GatewayTest, AnAnswerThatNobodyWaitedForIsThereForTheRepeat) {
  EngineAnswer slow = test::plain_answer("hello", {10, 0, 3});
  slow.pieces.insert(slow.pieces.begin(), " ");
  slow.piece_ms = 200;
  world_.engine.set_answer(slow);
  wait_for_offer();
  const auto first = send("POST", "/v1/chat/completions", chat("x", false));
  ASSERT_TRUE(world_.until([&] { return world_.engine.running() == 1; }));
  http_.cancel(first->id);
  test::run_for(world_.loop, 600);
  EXPECT_EQ(world_.engine.running(), 0U);
  EXPECT_EQ(post(chat("x", false))->body, slow.body());
  EXPECT_EQ(world_.engine.asked(), 1U);
}

TEST_F(GatewayTest, WithoutARepeatTheEngineStops) {
  EngineAnswer silent;
  silent.silent = true;
  world_.engine.set_answer(silent);
  wait_for_offer();
  const auto first = send("POST", "/v1/chat/completions", chat("x", true));
  ASSERT_TRUE(world_.until([&] { return world_.engine.running() == 1; }));
  http_.cancel(first->id);
  EXPECT_TRUE(
      world_.until([&] { return world_.engine.aborted() == 1; }, Gateway::kRepeatWaitMs + 3'000));
}

TEST_F(GatewayTest, AnIdempotencyKeyBringsTheSameAnswerAndIsForOneRequest) {
  world_.engine.set_answer(test::stream_answer({"a", "b"}, {10, 0, 2}));
  wait_for_offer();
  const net::HttpHeaders named = {{"Idempotency-Key", "k"}};
  const auto first = post(chat("x", true), named);
  EXPECT_EQ(post(chat("x", true), named)->body, first->body);
  EXPECT_EQ(world_.engine.asked(), 1U);
  EXPECT_EQ(post(chat("y", true), named)->status, 422);
}

TEST_F(GatewayTest, WithKeysOnlyTheirHoldersAreServedWithinTheirBudgets) {
  world_.engine.set_answer(test::plain_answer("hello", {10, 0, 3}));
  give_key("nk-a", {.tokens = 20'000});
  wait_for_offer();
  EXPECT_EQ(error_type(*post(chat("x", false))), "invalid_api_key");
  EXPECT_EQ(post(chat("x", false), {{"Authorization", "Bearer nk-b"}})->status, 401);
  EXPECT_EQ(finish(send("GET", "/v1/models"))->status, 401);
  EXPECT_EQ(finish(send("GET", "/health"))->status, 200);
  EXPECT_EQ(post_to("/v1/messages", "{}")->body.substr(0, 36),
            R"({"type":"error","error":{"type":"aut)");
  EXPECT_EQ(world_.engine.asked(), 0U);
  const net::HttpHeaders key = {{"Authorization", "Bearer nk-a"}};
  EXPECT_EQ(post(chat("x", false), key)->status, 200);
  EXPECT_EQ(post(chat("y", false), {{"x-api-key", "nk-a"}})->status, 200);
  EXPECT_NE(
      finish(send("GET", "/nostril/v1/usage", {}, key))->body.find(R"("total":{"tokens":26,)"),
      std::string::npos);
  // What is used is known after a restart, too.
  give_key("nk-a", {.tokens = 30});
  const auto refused = post(chat("z", false), key);
  EXPECT_EQ(refused->status, 402);
  EXPECT_EQ(error_type(*refused), "insufficient_quota");
  EXPECT_EQ(refused->headers.find("x-should-retry"), "false");
  EXPECT_EQ(world_.engine.asked(), 2U);
}

TEST_F(GatewayTest, DoesNotListenBeforeItIsSafe) {
  const auto made = [&](const std::string& host) {
    GatewaySettings settings;
    settings.listen.host = host;
    settings.keys_file = keys_file();
    Gateway(*home_, world_.loop, world_.clock, world_.rng, settings);
  };
  EXPECT_THROW(made("0.0.0.0"), std::runtime_error) << "neither TLS nor keys";
  std::ofstream(keys_file()) << "nonsense";
  EXPECT_THROW(made("127.0.0.1"), std::runtime_error) << "keys that can't be read";
}

TEST_F(GatewayTest, APageOfThisMachineMayAskFirst) {
  const std::string page = "http://localhost:1234";
  const auto reply = finish(send("OPTIONS", "/v1/chat/completions", {}, {{"Origin", page}}));
  EXPECT_EQ(reply->status, 204);
  EXPECT_EQ(reply->headers.find("Access-Control-Allow-Origin"), page);
  EXPECT_EQ(finish(send("OPTIONS", "/v1/models", {}, {{"Origin", "https://evil.example"}}))->status,
            403);
}

class GatewayOfAnEngineWithMessages : public GatewayTest {
 protected:
  GatewayOfAnEngineWithMessages()
      : GatewayTest(true, [](node::NodeConfig& config) {
          config.engine.paths = {"/v1/chat/completions", "/v1/messages"};
        }) {}
};

TEST_F(GatewayOfAnEngineWithMessages, PassesItsOwnWords) {
  const std::string stream =
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":"
      "\"message\",\"role\":\"assistant\",\"model\":\"test-model\",\"content\":[],\"usage\":{"
      "\"input_tokens\":5,\"output_tokens\":1}}}\n\n"
      "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
      "\"content_block\":{\"type\":\"text\",\"text\":\"own words\"}}\n\n"
      "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
      "\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n";
  const std::string stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  EngineAnswer answer;
  answer.pieces = {stream, stop};
  std::string path;
  world_.engine.set_script([&](const net::HttpRequest& request) {
    path = request.path;
    return answer;
  });
  wait_for_offer();
  const auto reply =
      post_to("/v1/messages", R"({"model":"test-model","max_tokens":9,"stream":true,)"
                              R"("messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(path, "/v1/messages");
  ASSERT_TRUE(reply->body.starts_with(stream + ": nostril-record {")) << reply->body;
  EXPECT_TRUE(reply->body.ends_with("}\n\n" + stop));
}

class GatewayWithoutTrust : public GatewayTest {
 protected:
  GatewayWithoutTrust() : GatewayTest(false) {}
};

TEST_F(GatewayWithoutTrust, SaysWhichEvidenceItRefused) {
  ASSERT_TRUE(world_.until([&] { return !home_->offers().rejected().empty(); }));
  const auto json = Json::parse(finish(send("GET", "/nostril/v1/offers"))->body);
  ASSERT_TRUE(json);
  ASSERT_EQ(json->find("offers")->items().size(), 1U);
  const Json& stated = json->find("offers")->items()[0];
  EXPECT_EQ(stated.find_boolean("accepted"), false);
  EXPECT_FALSE(stated.find_string("summary").value_or("").empty());
}

TEST_F(GatewayWithoutTrust, SendsNothingAndSaysWhy) {
  ASSERT_TRUE(world_.until([&] { return !home_->offers().rejected().empty(); }));
  const auto reply = post(chat("SECRET", true));
  EXPECT_EQ(reply->status, 503);
  EXPECT_NE(reply->body.find("simulated"), std::string::npos) << reply->body;
  EXPECT_EQ(world_.relay.received_text().find("21472,"), std::string::npos);
  EXPECT_EQ(finish(send("GET", "/health"))->status, 503);
  EXPECT_EQ(world_.engine.asked(), 0U);
}

}  // namespace
}  // namespace nostril::client
