// The gateway over real HTTP on loopback, with a node behind a relay on the same loop.
#include "client/gateway.h"

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
  explicit GatewayTest(bool trust_test_root = true) : http_(world_.loop) {
    const auto root = world_.folder.path() / "root.der";
    const auto der = test::simulator_root();
    std::ofstream(root, std::ios::binary)
        .write(reinterpret_cast<const char*>(der.data()), static_cast<std::streamsize>(der.size()));
    ClientSettings settings;
    settings.home = world_.folder.path() / "home";
    settings.relays = {world_.relay.url()};
    if (trust_test_root) settings.test_roots = {root.string()};
    home_ = std::make_unique<ClientHome>(settings, world_.loop, world_.clock, world_.rng);
    gateway_ = std::make_unique<Gateway>(*home_, world_.loop, net::ListenConfig{});
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
  EXPECT_EQ(reply->body.substr(0, at) + reply->body.substr(at + comment.size()), scripted.body());
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
            encode_hex(sha256(home_->offers().evidence_of(verified->offer()))));
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
  EXPECT_EQ(error_type(*finish(send("POST", "/v1/embeddings", "{}"))), "not_found");
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
