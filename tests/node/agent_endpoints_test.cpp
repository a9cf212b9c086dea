// What engines serve, and how they serve it, through the whole path: every byte arrives, what was
// used is charged.
#include "node/endpoint.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::node {
namespace {

using test::Answer;
using test::chat;
using test::EngineAnswer;
using test::stream_answer;
using test::World;

constexpr std::string_view kBody = R"({"model":"test-model","input":"x"})";

EngineAnswer whole(const std::string& body, const std::string& type = "application/json") {
  EngineAnswer out;
  out.content_type = type;
  out.pieces = {body};
  return out;
}

EngineAnswer pieces(std::vector<std::string> bodies, const std::string& type) {
  EngineAnswer out;
  out.content_type = type;
  out.pieces = std::move(bodies);
  out.piece_ms = 3;
  return out;
}

struct Served {
  std::shared_ptr<Answer> answer;
  std::string asked;  ///< what the engine got
};

/// Asks a node of its own.
Served serve(const EngineAnswer& scripted, const std::string& body, const std::string& path) {
  World world([&path](NodeConfig& config) {
    const Endpoint* endpoint = find_endpoint(path);
    if (endpoint != nullptr && !endpoint->by_default) config.engine.paths = {path};
  });
  world.engine.set_answer(scripted);
  EXPECT_TRUE(world.wait_for_offer());
  const auto answer = world.query(body, std::nullopt, nullptr, path);
  EXPECT_TRUE(world.finish(answer));
  return {answer, world.engine.last_body()};
}

void expect_served(const EngineAnswer& scripted, const std::string& body, const std::string& path,
                   const Usage& usage, const std::string& finish) {
  const Served served = serve(scripted, body, path);
  const client::QueryResult& result = *served.answer->result;
  EXPECT_EQ(served.answer->body, scripted.body()) << path;
  ASSERT_TRUE(result.verified()) << path << ": " << result.detail;
  EXPECT_EQ(served.answer->head->content_type, scripted.content_type);
  EXPECT_EQ(result.record->usage, usage) << path;
  EXPECT_EQ(result.record->finish, finish);
}

TEST(AgentEndpoints, EmbeddingsAndRanksCostTheirPrompt) {
  const EngineAnswer numbers =
      whole(R"({"data":[{"embedding":[0.10,-2e-3]}],"usage":{"prompt_tokens":8}})");
  expect_served(numbers, std::string(kBody), "/v1/embeddings", {8, 0, 0}, "");
  expect_served(whole(R"({"results":[{"index":0}],"usage":{"total_tokens":5}})"),
                std::string(kBody), "/v1/rerank", {5, 0, 0}, "");
}

std::string form_of(const std::string& file_name, const std::string& content) {
  return "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ntest-model\r\n"
         "--x\r\nContent-Disposition: form-data; name=\"" +
         file_name + "\"; filename=\"f\"\r\n\r\n" + content + "\r\n--x--\r\n";
}

TEST(AgentEndpoints, SoundsArePassedAsAFormAndWhatTheyCostIsCharged) {
  const std::string sound("RIFF\0\r\n\xff\n--", 11);
  const std::string body = form_of("file", sound);
  const EngineAnswer text = whole(
      R"({"text":"Gr\u00fc\u00dfe","usage":{"type":"tokens","input_tokens":14,"output_tokens":3}})");
  expect_served(text, body, "/v1/audio/transcriptions", {14, 0, 3}, "");
  EXPECT_EQ(serve(text, body, "/v1/audio/transcriptions").asked, body) << "byte for byte";
  // An engine that counts seconds, and one that answers with the bare text.
  expect_served(whole(R"({"text":"x","usage":{"type":"duration","seconds":3}})"), body,
                "/v1/audio/translations", {}, "");
  expect_served(whole("1\n00:00:00,000 --> 00:00:01,000\nx\n", "text/plain; charset=utf-8"), body,
                "/v1/audio/transcriptions", {}, "");
}

TEST(AgentEndpoints, PicturesAreMadeAndChanged) {
  const EngineAnswer picture = whole(
      R"({"created":1,"data":[{"b64_json":"iVBORw0KGgo="}],"usage":{"input_tokens":9,"output_tokens":1056,"total_tokens":1065}})");
  expect_served(picture, R"({"model":"test-model","prompt":"a fox"})", "/v1/images/generations",
                {9, 0, 1056}, "");
  expect_served(picture, form_of("image", "\x89PNG"), "/v1/images/edits", {9, 0, 1056}, "");
}

TEST(AgentEndpoints, AResponsesStreamArrivesWithItsEvents) {
  expect_served(
      pieces({"event: response.created\r\ndata: {\"type\":\"response.created\"}\r\n\r\n",
              "event: response.output_text.delta\ndata: "
              "{\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n",
              "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":"
              "{\"status\":\"completed\",\"usage\":{\"input_tokens\":7,\"output_tokens\":2}}}\n\n"},
             "text/event-stream"),
      R"({"model":"test-model","input":"x","stream":true})", "/v1/responses", {7, 0, 2},
      "completed");
}

TEST(AgentEndpoints, AMessagesStreamArrivesWithItsEvents) {
  expect_served(
      pieces({"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":"
              "{\"input_tokens\":3,\"cache_read_input_tokens\":4}}}\n\n",
              "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
              "\"end_turn\"},\"usage\":{\"output_tokens\":6}}\n\n",
              "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
             "text/event-stream"),
      R"({"model":"test-model","messages":[],"stream":true})", "/v1/messages", {7, 4, 6},
      "end_turn");
}

TEST(AgentEndpoints, OllamasLinesArriveAsTheyAre) {
  expect_served(
      pieces({"{\"message\":{\"content\":\"H\xc3", "\xa9\"},\"done\":false}\n{\"message\":",
              "{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\","
              "\"prompt_eval_count\":9,\"eval_count\":2}\n"},
             "application/x-ndjson"),
      R"({"model":"test-model","messages":[]})", "/api/chat", {9, 0, 2}, "stop");
}

TEST(AgentEndpoints, ALinesStreamThatIsCutIsNoGoodAnswer) {
  EngineAnswer cut =
      pieces({"{\"response\":\"a\",\"done\":false}\n", "{\"response\":\"b\",\"done\":false}\n"},
             "application/x-ndjson");
  cut.end = EngineAnswer::End::Cut;
  const Served served = serve(cut, R"({"model":"test-model","prompt":"x"})", "/api/generate");
  EXPECT_EQ(served.answer->body, cut.body());
  ASSERT_TRUE(served.answer->result->record);
  EXPECT_EQ(served.answer->result->record->status, RecordStatus::EngineDied);
  EXPECT_EQ(served.answer->result->record->usage, (Usage{0, 0, 2}));
}

TEST(AgentEndpoints, WhatIsNotOpenReachesNoEngine) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  for (const std::string path : {"/v1/images/generations", "/metrics", "/api/pull", "/v1/files"}) {
    const auto answer = world.query(std::string(kBody), std::nullopt, nullptr, path);
    ASSERT_TRUE(world.finish(answer));
    ASSERT_TRUE(answer->result->error) << path;
    EXPECT_EQ(answer->result->error->code, ErrorCode::NotFound) << path;
  }
  const auto fetched = world.query(
      R"({"model":"test-model","messages":[{"content":[{"image_url":{"url":"http://10.0.0.1/"}}]}]})");
  ASSERT_TRUE(world.finish(fetched));
  EXPECT_EQ(fetched->result->error->code, ErrorCode::BadRequest);
  EXPECT_EQ(world.engine.asked(), 0U);
}

TEST(AgentEndpoints, TheQuirksOfStreamsPassUnchanged) {
  const std::vector<std::string> good = stream_answer({"a", "b"}, {10, 4, 2}).pieces;
  std::string all;
  for (const std::string& piece : good) all += piece;
  std::string crlf;
  for (const char c : all) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  std::vector<std::string> bytewise;
  for (const char c : all) bytewise.emplace_back(1, c);
  std::vector<std::string> commented = {": ping\n\n"};
  for (const std::string& piece : good) {
    commented.push_back(piece);
    commented.emplace_back(": keep-alive\n\n");
  }
  std::vector<std::string> reasoned = good;
  reasoned[1] = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"h\xc3\xbc\"}}]}\n\n";
  reasoned[2] =
      "data:{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":"
      "{\"arguments\":\"{\"}}]},\"logprobs\":null}],\"usage\":null}\n\n";
  for (const auto& quirky : {std::vector<std::string>{crlf}, bytewise, commented, reasoned,
                             std::vector<std::string>{all}}) {
    EngineAnswer scripted;
    scripted.pieces = quirky;
    expect_served(scripted, chat("x", true), "/v1/chat/completions", {10, 4, 2}, "stop");
  }
}

TEST(AgentEndpoints, RefusalsOfEveryFormArriveAsAnswers) {
  for (const std::string body :
       {R"({"error":{"message":"too long","type":"BadRequestError","code":400}})",
        R"({"object":"error","message":"too long","code":400})", R"({"error":"too long"})",
        R"({"detail":[{"msg":"field required"}]})", "Bad Request"}) {
    EngineAnswer refusal = whole(body);
    refusal.status = 400;
    const Served served = serve(refusal, chat("x", true), "/v1/chat/completions");
    EXPECT_EQ(served.answer->body, body);
    ASSERT_TRUE(served.answer->head);
    EXPECT_EQ(served.answer->head->status, 400);
    ASSERT_TRUE(served.answer->result->record) << served.answer->result->detail;
    EXPECT_EQ(served.answer->result->record->status, RecordStatus::Error);
    EXPECT_EQ(served.answer->result->record->usage, Usage{});
  }
}

TEST(AgentEndpoints, SglangIsToldByNameToStop) {
  World world;
  world.engine.set_models(R"({"data":[{"id":"test-model","owned_by":"sglang"}]})");
  std::string generated;
  std::string aborted;
  world.engine.set_script([&](const net::HttpRequest& request) {
    if (request.path == "/abort_request") {
      aborted = request.body;
      return whole("{}");
    }
    generated = request.body;
    EngineAnswer slow = stream_answer(std::vector<std::string>(5'000, "w "), {10, 0, 5'000});
    slow.piece_ms = 2;
    return slow;
  });
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.until([&] { return !answer->body.empty(); }));
  world.user->inference.cancel(answer->id, "enough");
  ASSERT_TRUE(world.until([&] { return !aborted.empty(); }));
  const auto name = Json::parse(aborted);
  ASSERT_TRUE(name && name->find_string("rid"));
  EXPECT_EQ(Json::parse(generated)->find_string("rid"), name->find_string("rid"));
  EXPECT_TRUE(world.until([&] { return world.engine.running() == 0; }));
  EXPECT_EQ(world.engine.aborted(), 1U) << "and its connection is closed";
}

TEST(AgentEndpoints, EachSessionHasASaltOfItsOwn) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  std::vector<std::string> salts;
  for (int i = 0; i < 2; ++i) {
    const auto answer = world.query(chat("the same", false));
    ASSERT_TRUE(world.finish(answer));
    const auto body = Json::parse(world.engine.last_body());
    ASSERT_TRUE(body && body->find_string("cache_salt"));
    salts.emplace_back(*body->find_string("cache_salt"));
  }
  EXPECT_EQ(salts[0].size(), 32U);
  EXPECT_NE(salts[0], salts[1]);
}

TEST(OwnPaths, AreWhatTheOperatorNamesOrEveryVersionHas) {
  using Paths = std::vector<std::string_view>;
  EXPECT_EQ(own_paths("vllm", {}), Paths());
  EXPECT_EQ(own_paths("ollama", {}), (Paths{"/api/chat", "/api/generate", "/api/embed"}));
  const std::vector<std::string> open = {"/v1/chat/completions", "/v1/messages", "/v1/embeddings"};
  EXPECT_EQ(own_paths("vllm", open), Paths{"/v1/messages"});
  EXPECT_EQ(own_paths("ollama", open), Paths{"/v1/messages"});
}

}  // namespace
}  // namespace nostril::node
