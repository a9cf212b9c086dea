// What applications say in other languages, as chat completions, and the answers back.
#include "base/base64.h"
#include "client/gateway/routes.h"
#include "client/gateway/token_estimate.h"
#include "net/sse.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

const Proof kProof{R"({"full":1})", R"({"brief":1})"};

const Route& route_of(std::string_view path) {
  const Route* route = find_route(path);
  EXPECT_NE(route, nullptr) << path;
  return *route;
}

Json json_of(std::string_view text) {
  auto parsed = Json::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *std::move(parsed) : Json();
}

/// The request as an engine without that path gets it.
std::string asked(std::string_view path, std::string_view body) {
  const auto call = call_for(route_of(path), json_of(body), false);
  EXPECT_TRUE(call) << (call ? "" : call.error());
  return call ? call->body : "";
}

std::string refused(std::string_view path, std::string_view body) {
  const auto call = call_for(route_of(path), json_of(body), false);
  EXPECT_FALSE(call) << body;
  return call ? "" : call.error();
}

std::unique_ptr<AnswerForm> form(std::string_view path, bool native = false,
                                 std::string_view body = R"({"model":"m"})") {
  return form_for(route_of(path), json_of(body), native,
                  {"ID", "m", 1'800'000'000, [] { return std::int64_t{5}; }});
}

std::string whole(std::string_view path, std::string_view answer,
                  std::string_view body = R"({"model":"m"})") {
  return form(path, false, body)->whole(answer).value_or("nothing");
}

std::string chunk(std::string_view delta, std::string_view finish = "null") {
  return R"(data: {"choices":[{"index":0,"delta":)" + std::string(delta) + R"(,"finish_reason":)" +
         std::string(finish) + "}]}\n\n";
}

constexpr std::string_view kUsage =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,"
    "\"prompt_tokens_details\":{\"cached_tokens\":2}}}\n\ndata: [DONE]\n\n";

/// A stream of a thought, words, and two calls in pieces.
std::string rich_stream() {
  return chunk(R"({"role":"assistant","content":null})") + chunk(R"({"reasoning_content":"hm"})") +
         chunk(R"({"content":"He"})") + chunk(R"({"content":"llo"})") +
         chunk(
             R"({"tool_calls":[{"index":0,"id":"c0","function":{"name":"f","arguments":"{\"a\""}}]})") +
         chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]})") +
         chunk(
             R"({"tool_calls":[{"index":1,"id":"c1","function":{"name":"g","arguments":"{}"}}]})") +
         chunk("{}", "\"tool_calls\"") + std::string(kUsage);
}

std::string translated(std::string_view path, std::string_view stream, std::size_t piece = 7) {
  const auto answer = form(path);
  std::string out;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    out += answer->feed(stream.substr(at, piece));
  }
  EXPECT_EQ(out.find("nostril"), std::string::npos) << "before the record is right";
  return out + answer->finish(kProof);
}

std::vector<net::SseEvent> events_of(std::string_view stream) {
  net::SseParser parser;
  std::vector<net::SseEvent> out;
  EXPECT_TRUE(parser.feed(stream, out));
  return out;
}

std::string names_of(const std::vector<net::SseEvent>& events) {
  std::string out;
  for (const net::SseEvent& event : events) {
    EXPECT_EQ(json_of(event.data).find_string("type"), event.event);
    out += (out.empty() ? "" : " ") + event.event;
  }
  return out;
}

// ---- Anthropic ----------------------------------------------------------------------------------

TEST(AnthropicRequest, SaysTheSameAsAChat) {
  EXPECT_EQ(
      asked("/v1/messages",
            R"({"model":"m","max_tokens":5,"stream":true,"stop_sequences":["x"],"temperature":0.5,
                "system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],
                "messages":[{"role":"user","content":"hi"}]})"),
      R"({"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"hi"}],)"
      R"("max_tokens":5,"temperature":0.5,"stop":["x"],"stream":true,)"
      R"("stream_options":{"include_usage":true}})");
}

TEST(AnthropicRequest, ResultsOfToolsComeBeforeTheUsersWords) {
  EXPECT_EQ(asked("/v1/messages", R"({"model":"m","messages":[
        {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
          {"type":"text","text":"ok"},{"type":"tool_use","id":"c","name":"f","input":{"a":1}}]},
        {"role":"user","content":[{"type":"text","text":"so"},
          {"type":"tool_result","tool_use_id":"c","is_error":true,
           "content":[{"type":"text","text":"r"}]}]}]})"),
            R"({"model":"m","messages":[{"role":"assistant","content":"ok","tool_calls":)"
            R"([{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
            R"({"role":"tool","tool_call_id":"c","content":"Error: r"},)"
            R"({"role":"user","content":"so"}],"stream":false})");
}

TEST(AnthropicRequest, BringsToolsAndPictures) {
  EXPECT_EQ(
      asked("/v1/messages", R"({"model":"m","tools":[{"name":"f","description":"d",
        "input_schema":{"type":"object"}}],"tool_choice":{"type":"any",
        "disable_parallel_tool_use":true},"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}},
        {"type":"text","text":"what"}]}]})"),
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":)"
      R"({"url":"data:image/png;base64,AA"}},{"type":"text","text":"what"}]}],"tools":[{"type":)"
      R"("function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],)"
      R"("tool_choice":"required","parallel_tool_calls":false,"stream":false})");
}

TEST(AnthropicRequest, RefusesWhatItWouldHaveToDrop) {
  const auto with = [](const std::string& block, const std::string& more = "") {
    return R"({"model":"m","messages":[{"role":"user","content":[)" + block + "]}]" + more + "}";
  };
  for (const std::string& body :
       {with(R"({"type":"document","source":{"type":"base64","data":"x"}})"),
        with(R"({"type":"container_upload","file_id":"f"})"),
        with(R"({"type":"image","source":{"type":"file","file_id":"f"}})"),
        with(R"({"type":"tool_result"})"),
        with(R"({"type":"text","text":"x"})",
             R"(,"tools":[{"type":"web_search_20250305","name":"web_search"}])"),
        std::string(R"({"model":"m","messages":[]})"), std::string(R"({"model":"m"})"),
        std::string(R"({"model":"m","messages":[{"role":"tool","content":"x"}]})")}) {
    EXPECT_FALSE(refused("/v1/messages", body).empty()) << body;
  }
}

TEST(AnthropicAnswer, AStreamHasItsEventsAndItsProofBeforeTheLast) {
  const std::string out = translated("/v1/messages", rich_stream());
  const auto events = events_of(out);
  EXPECT_EQ(names_of(events),
            "message_start content_block_start content_block_delta content_block_stop "
            "content_block_start content_block_delta content_block_delta content_block_stop "
            "content_block_start content_block_delta content_block_delta content_block_stop "
            "content_block_start content_block_delta content_block_stop "
            "message_delta message_stop");
  const Json delta = json_of(events[events.size() - 2].data);
  EXPECT_EQ(delta.find("delta")->find_string("stop_reason"), "tool_use");
  EXPECT_EQ(delta.find("usage")->dump(),
            R"({"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":2,)"
            R"("output_tokens":4})");
  EXPECT_EQ(delta.find("nostril")->dump(), kProof.brief);
  const std::size_t comment = out.find(": nostril-record " + kProof.full + "\n\n");
  ASSERT_NE(comment, std::string::npos);
  EXPECT_EQ(out.substr(out.find("event: ", comment)),
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

TEST(AnthropicAnswer, IsTheSameHoweverTheStreamIsCut) {
  for (const std::string_view path : {"/v1/messages", "/v1/responses", "/api/chat"}) {
    const std::string once = translated(path, rich_stream(), 1U << 20);
    for (const std::size_t piece : {1U, 2U, 3U, 50U}) {
      EXPECT_EQ(translated(path, rich_stream(), piece), once) << path << piece;
    }
  }
}

constexpr std::string_view kWhole =
    R"({"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","reasoning":"r",
    "tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
    "finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2}})";

TEST(AnthropicAnswer, AWholeOneHasBlocks) {
  EXPECT_EQ(
      whole("/v1/messages", kWhole),
      R"({"id":"msg_ID","type":"message","role":"assistant","model":"m","content":[)"
      R"({"type":"thinking","thinking":"r","signature":""},{"type":"text","text":"Hi"},)"
      R"({"type":"tool_use","id":"c","name":"f","input":{"a":1}}],"stop_reason":"max_tokens",)"
      R"("stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,)"
      R"("cache_read_input_tokens":0,"output_tokens":2}})");
}

TEST(Translations, AnEnginesErrorInMidStreamIsOneOfTheProtocol) {
  const std::string stream =
      chunk(R"({"content":"a"})") + "data: {\"error\":{\"message\":\"oom\"}}\n\n";
  const auto events = events_of(translated("/v1/messages", stream));
  EXPECT_EQ(events.back().event, "error");
  EXPECT_NE(events.back().data.find("oom"), std::string::npos);
  const auto responses = events_of(translated("/v1/responses", stream));
  EXPECT_EQ(responses.back().event, "response.failed");
  EXPECT_TRUE(translated("/api/chat", stream).ends_with("{\"error\":\"oom\"}\n"));
}

TEST(Translations, WhatIsNoAnswerIsNothing) {
  for (const std::string_view path : {"/v1/messages", "/v1/responses", "/api/chat", "/api/generate",
                                      "/api/embed", "/api/embeddings"}) {
    for (const std::string_view body :
         {"", "nonsense", "{}", "[]", R"({"choices":[]})", R"({"data":[{"embedding":"AAAA"}]})"}) {
      EXPECT_EQ(whole(path, body), "nothing") << path << body;
    }
  }
}

// ---- Responses ----------------------------------------------------------------------------------

TEST(ResponsesRequest, SaysTheSameAsAChat) {
  EXPECT_EQ(
      asked("/v1/responses", R"({"model":"m","instructions":"S","max_output_tokens":5,
        "reasoning":{"effort":"low"},"tools":[{"type":"function","name":"f","parameters":{},
        "strict":true}],"tool_choice":{"type":"function","name":"f"},
        "text":{"format":{"type":"json_schema","name":"n","schema":{"a":1}}},
        "input":[{"role":"user","content":[{"type":"input_text","text":"q"},
        {"type":"input_image","image_url":"data:image/png;base64,AA"}]},
        {"type":"reasoning","summary":[]},
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
        {"type":"function_call","call_id":"d","name":"g","arguments":"{}"},
        {"type":"function_call_output","call_id":"c","output":"o"}]})"),
      R"({"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":)"
      R"([{"type":"text","text":"q"},{"type":"image_url","image_url":)"
      R"({"url":"data:image/png;base64,AA"}}]},{"role":"assistant","content":null,"tool_calls":[)"
      R"({"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},)"
      R"({"id":"d","type":"function","function":{"name":"g","arguments":"{}"}}]},)"
      R"({"role":"tool","tool_call_id":"c","content":"o"}],"tools":[{"type":"function","function":)"
      R"({"name":"f","parameters":{},"strict":true}}],"tool_choice":{"type":"function","function":)"
      R"({"name":"f"}},"response_format":{"type":"json_schema","json_schema":{"name":"n",)"
      R"("schema":{"a":1}}},"max_tokens":5,"reasoning_effort":"low","stream":false})");
}

TEST(ResponsesRequest, RefusesWhatNobodyKeepsHere) {
  for (const std::string_view more :
       {R"("previous_response_id":"r")", R"("background":true)", R"("conversation":"c")",
        R"("tools":[{"type":"web_search"}])"}) {
    EXPECT_FALSE(
        refused("/v1/responses", R"({"model":"m","input":"x",)" + std::string(more) + "}").empty());
  }
  EXPECT_FALSE(refused("/v1/responses", R"({"model":"m"})").empty());
  EXPECT_FALSE(
      refused("/v1/responses", R"({"model":"m","input":[{"type":"item_reference"}]})").empty());
}

TEST(ResponsesAnswer, AStreamIsNumberedAndRepeatsItsItemsAtTheEnd) {
  const std::string out = translated("/v1/responses", rich_stream());
  const auto events = events_of(out);
  names_of(events);
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(json_of(events[i].data).find_integer("sequence_number"),
              static_cast<std::int64_t>(i));
  }
  EXPECT_EQ(events.front().event, "response.created");
  EXPECT_EQ(events.back().event, "response.completed");
  const Json last = json_of(events.back().data);
  const Json& response = *last.find("response");
  ASSERT_EQ(response.find("output")->items().size(), 4U);
  EXPECT_EQ(response.find("output")->items()[1].find("content")->items()[0].find_string("text"),
            "Hello");
  EXPECT_EQ(response.find("output")->items()[2].find_string("arguments"), R"({"a":1})");
  EXPECT_EQ(response.find("usage")->find_integer("total_tokens"), 13);
  EXPECT_EQ(response.find("nostril")->dump(), kProof.brief);
  EXPECT_LT(out.find(": nostril-record "), out.find("event: response.completed"));
  EXPECT_EQ(out.find("[DONE]"), std::string::npos);
}

TEST(ResponsesAnswer, AnAnswerCutShortIsIncomplete) {
  const Json answer = json_of(whole("/v1/responses", kWhole, R"({"model":"m","top_p":0.5})"));
  EXPECT_EQ(answer.find_string("status"), "incomplete");
  EXPECT_EQ(answer.find("incomplete_details")->find_string("reason"), "max_output_tokens");
  EXPECT_EQ(answer.find("top_p")->number(), 0.5);
  EXPECT_EQ(answer.find("output")->items().size(), 3U);
}

// ---- Ollama -------------------------------------------------------------------------------------

TEST(OllamaRequest, SaysTheSameAsAChat) {
  EXPECT_EQ(
      asked("/api/chat", R"({"model":"m","keep_alive":"5m","format":{"type":"object"},
        "options":{"num_predict":5,"temperature":0,"num_ctx":9},"messages":[
        {"role":"user","content":"q","images":["/9j/AA"]},
        {"role":"assistant","content":"","tool_calls":[{"function":{"name":"f",
        "arguments":{"a":1}}}]},{"role":"tool","tool_name":"f","content":"o"}]})"),
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"q"},)"
      R"({"type":"image_url","image_url":{"url":"data:image/jpeg;base64,/9j/AA"}}]},)"
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"call_0","type":"function",)"
      R"("function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
      R"({"role":"tool","tool_call_id":"call_0","content":"o"}],"temperature":0,"max_tokens":5,)"
      R"("response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":)"
      R"({"type":"object"}}},"stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(asked("/api/generate", R"({"model":"m","prompt":"p","system":"s","stream":false})"),
            R"({"model":"m","messages":[{"role":"system","content":"s"},)"
            R"({"role":"user","content":"p"}],"stream":false})");
}

TEST(OllamaRequest, RefusesWhatItWouldHaveToDrop) {
  EXPECT_FALSE(refused("/api/generate", R"({"model":"m","prompt":"p","raw":true})").empty());
  EXPECT_FALSE(refused("/api/generate", R"({"model":"m","prompt":"p","suffix":"s"})").empty());
  EXPECT_FALSE(refused("/api/chat", R"({"model":"m","messages":[{"role":"user","content":"x",
    "images":["file"]}]})")
                   .empty());
  EXPECT_FALSE(
      refused("/api/chat", R"({"model":"m","messages":[{"role":"tool","content":"x"}]})").empty());
  EXPECT_FALSE(refused("/api/embed", R"({"model":"m"})").empty());
}

TEST(OllamaAnswer, AStreamIsOneObjectALine) {
  const std::string out = translated("/api/chat", rich_stream());
  std::vector<Json> lines;
  for (std::size_t at = 0; at < out.size();) {
    const std::size_t end = out.find('\n', at);
    lines.push_back(json_of(out.substr(at, end - at)));
    at = end + 1;
  }
  ASSERT_EQ(lines.size(), 5U);
  EXPECT_EQ(lines[0].find("message")->find_string("thinking"), "hm");
  EXPECT_EQ(lines[1].find("message")->find_string("content"), "He");
  EXPECT_EQ(lines[1].find_string("created_at"), "2027-01-15T08:00:00Z");
  EXPECT_EQ(lines[3].find("message")->find("tool_calls")->dump(),
            R"([{"function":{"name":"f","arguments":{"a":1}}},)"
            R"({"function":{"name":"g","arguments":{}}}])");
  EXPECT_EQ(lines[4].find_boolean("done"), true);
  EXPECT_EQ(lines[4].find_integer("eval_count"), 4);
  EXPECT_EQ(lines[4].find("nostril")->dump(), kProof.full);
}

TEST(OllamaAnswer, EmbeddingsAreLists) {
  constexpr std::string_view kVectors =
      R"({"data":[{"embedding":[1,2.5]},{"embedding":[3]}],"usage":{"prompt_tokens":4}})";
  EXPECT_EQ(whole("/api/embed", kVectors),
            R"({"model":"m","embeddings":[[1,2.5],[3]],"prompt_eval_count":4})");
  EXPECT_EQ(whole("/api/embeddings", kVectors), R"({"embedding":[1,2.5]})");
}

// ---- OpenAI -------------------------------------------------------------------------------------

TEST(PassThrough, AddsTheProofAndNothingElse) {
  const std::string text = rich_stream();
  const auto answer = form("/v1/chat/completions", true);
  std::string out = answer->feed(text);
  out += answer->finish(kProof);
  const std::string comment = ": nostril-record " + kProof.full + "\n\n";
  const std::string member = ",\"nostril\":" + kProof.brief;
  ASSERT_TRUE(out.ends_with(member + "}\n\n" + comment + "data: [DONE]\n\n")) << out;
  std::string without = out;
  without.erase(without.find(comment), comment.size());
  without.erase(without.find(member), member.size());
  EXPECT_EQ(without, text);
}

TEST(PassThrough, OtherProtocolsEndInTheirOwnWay) {
  struct Case {
    std::string_view path;
    std::string before;
    std::string end;
    std::string expected;
  };

  const std::vector<Case> cases = {{"/v1/messages", "event: message_delta\ndata: {\"a\":1}\n\n",
                                    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                                    ": nostril-record {\"full\":1}\n\nevent: message_stop\ndata: "
                                    "{\"type\":\"message_stop\"}\n\n"},
                                   {"/v1/responses", "event: x\ndata: {\"a\":1}\n\n",
                                    "event: response.completed\ndata: {\"b\":1}\n\n",
                                    ": nostril-record {\"full\":1}\n\nevent: response.completed\n"
                                    "data: {\"b\":1,\"nostril\":{\"brief\":1}}\n\n"},
                                   {"/api/chat", "{\"done\":false}\n", "{\"done\":true}\n",
                                    "{\"done\":true,\"nostril\":{\"brief\":1}}\n"}};
  for (const Case& one : cases) {
    const auto answer = form(one.path, true);
    EXPECT_EQ(answer->feed(one.before + one.end), one.before);
    EXPECT_EQ(answer->finish(kProof), one.expected);
    const auto broken = form(one.path, true);
    EXPECT_EQ(broken->feed(one.before + one.end), one.before);
    const std::string rest = broken->fail({.status = 424, .type = "t", .message = "why"});
    EXPECT_NE(rest.find("why"), std::string::npos);
    EXPECT_EQ(rest.find("nostril"), std::string::npos);
  }
}

TEST(Embeddings, BecomeBase64OfLittleEndianFloats) {
  const Json answer = json_of(whole(
      "/v1/embeddings", R"({"object":"list","data":[{"index":0,"embedding":[1,-2.5]}],"x":1})",
      R"({"model":"m","encoding_format":"base64"})"));
  EXPECT_EQ(answer.find_integer("x"), 1);
  const auto bytes = decode_base64(*answer.find("data")->items()[0].find_string("embedding"));
  ASSERT_TRUE(bytes);
  EXPECT_EQ(*bytes, (Bytes{0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0}));
  const std::string floats = R"({"data":[{"embedding":[1]}]})";
  EXPECT_EQ(whole("/v1/embeddings", floats), floats) << "as it came when no base64 was asked for";
  EXPECT_EQ(whole("/v1/embeddings", R"({"data":[{"embedding":[1e300]}]})",
                  R"({"model":"m","encoding_format":"base64"})"),
            "nothing");
}

TEST(TokenEstimate, LearnsFromAnswers) {
  TokenEstimate estimate;
  EXPECT_EQ(estimate.tokens("m", 400), 100U);
  estimate.learn("m", 300, 100);
  EXPECT_EQ(estimate.tokens("m", 30), 10U);
  EXPECT_EQ(estimate.tokens("other", 40), 10U);
  for (int i = 0; i < 100; ++i) estimate.learn("m", 1U << 20, 1U << 19);
  EXPECT_EQ(estimate.tokens("m", 200), 100U);
  EXPECT_EQ(said_bytes(json_of(R"({"model":"mmm","messages":[{"a":"bcd"}],"max_tokens":1})")), 4U);
}

}  // namespace
}  // namespace nostril::client
