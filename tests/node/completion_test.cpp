#include "node/completion.h"

#include "node/json_skim.h"
#include "tests/support/scripted_engine.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

namespace nostril::node {
namespace {

using test::EngineAnswer;
using test::stream_answer;

/// Feeds `text` in pieces of `bytes`.
CompletionTap fed(const std::string& text, std::size_t bytes, bool stream = true,
                  AnswerForm form = AnswerForm::Completion) {
  CompletionTap tap(form, stream);
  for (std::size_t at = 0; at < text.size(); at += bytes) {
    EXPECT_TRUE(tap.feed(std::string_view(text).substr(at, bytes)));
  }
  tap.finish();
  return tap;
}

std::string with_crlf(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

TEST(CompletionTap, ReadsAHealthyStreamHoweverItIsCut) {
  const std::string plain = stream_answer({"a", "b", ""}, {10, 4, 2}).body();
  for (const std::string& text : {plain, with_crlf(plain), ": ping\n\n" + plain}) {
    for (const std::size_t bytes : {1U, 2U, 7U, 100'000U}) {
      const CompletionTap tap = fed(text, bytes);
      EXPECT_TRUE(tap.complete());
      EXPECT_EQ(tap.finish_reason(), "stop");
      ASSERT_TRUE(tap.usage());
      EXPECT_EQ(tap.usage()->input, 10);
      EXPECT_EQ(tap.usage()->cached, 4);
      EXPECT_EQ(tap.usage()->output, 2);
      EXPECT_EQ(tap.output_chunks(), 2);
    }
  }
}

/// What a tap makes of a stream.
std::tuple<std::int64_t, bool, std::string, std::int64_t> counted(const std::string& text) {
  const CompletionTap tap = fed(text, 100'000);
  return {tap.output_chunks(), tap.failed(), tap.finish_reason(),
          tap.usage() ? tap.usage()->output : -1};
}

TEST(CompletionTap, CountsARepeatedEventAsAnyOther) {
  const auto chunk = [](const std::string& content, const std::string& rest = R"(,"x":null)") {
    return R"(data: {"id":"a","choices":[{"index":0,"delta":{"content":")" + content + "\"}" +
           rest + "}]}\n\n";
  };
  const std::string other = "data: {\"other\":1}\n\n";  // forgets what was learned
  const std::vector<std::string> texts = {"b",
                                          "",
                                          "a b",
                                          R"(\n)",
                                          R"(\")",
                                          R"(\\)",
                                          R"(\u00e9)",
                                          R"(\ud800)",
                                          R"(\x)",
                                          "\x01",
                                          "\"",
                                          R"(\)",
                                          "\xc3\xa9",
                                          "\xc3",
                                          "\xed\xa0\x80",
                                          R"("},"y":{"z":")",
                                          R"(b"},"error":{"a":")",
                                          R"(b","content":"c)"};
  const std::vector<std::string> rests = {R"(,"x":null)", R"(,"finish_reason":"stop")",
                                          R"(},{"delta":{"content":"d"})"};
  for (const std::string& rest : rests) {
    for (const std::string& first : texts) {
      for (const std::string& text : texts) {
        const std::string learned = chunk(first, rest);
        const std::string asked = chunk(text, rest);
        EXPECT_EQ(counted(learned + asked + asked),
                  counted(learned + other + asked + other + asked))
            << learned << asked;
      }
    }
  }
  EXPECT_EQ(std::get<0>(counted(chunk("a") + chunk("b") + chunk("c"))), 3);
  EXPECT_EQ(std::get<0>(counted(chunk("a") + chunk("") + chunk("c"))), 2);
}

TEST(CompletionTap, IsCompleteOnlyWithFinishReasonAndDone) {
  const EngineAnswer whole = stream_answer({"a"}, {1, 0, 1});
  for (std::size_t without = 0; without < whole.pieces.size(); ++without) {
    EngineAnswer cut = whole;
    cut.pieces.erase(cut.pieces.begin() + static_cast<std::ptrdiff_t>(without));
    const bool needed = without == 2 || without == 4;  // finish, [DONE]
    EXPECT_EQ(fed(cut.body(), 1000).complete(), !needed) << without;
  }
  // Cut anywhere but in the last line's end, it is not complete.
  const std::string body = whole.body();
  for (std::size_t bytes = 0; bytes < body.size() - 2; ++bytes) {
    EXPECT_FALSE(fed(body.substr(0, bytes), 1000).complete()) << bytes;
  }
  EXPECT_TRUE(fed(body.substr(0, body.size() - 1), 1000).complete());
}

TEST(CompletionTap, AnErrorInsideAStreamSpoilsIt) {
  EngineAnswer answer = stream_answer({"a"}, {1, 0, 1});
  answer.pieces.insert(answer.pieces.begin() + 2, "data: {\"error\":{\"message\":\"x\"}}\n\n");
  const CompletionTap tap = fed(answer.body(), 1000);
  EXPECT_TRUE(tap.failed());
  EXPECT_FALSE(tap.complete());
}

TEST(CompletionTap, CountsReasoningAndToolCallsAsOutput) {
  const auto chunk = [](const std::string& delta) {
    return R"(data: {"choices":[{"delta":)" + delta + "}]}\n\n";
  };
  const CompletionTap tap =
      fed(chunk(R"({"reasoning_content":"hm"})") + chunk(R"({"content":null})") +
              chunk(R"({"tool_calls":[{"index":0}]})") + chunk(R"({"content":""})") +
              chunk(R"({"reasoning":"so"})") + R"(data: {"choices":[{"text":"legacy"}]})" + "\n\n",
          1000);
  EXPECT_EQ(tap.output_chunks(), 4);
}

TEST(CompletionTap, ReadsAnAnswerThatIsNoStream) {
  const CompletionTap tap = fed(test::plain_answer("x", {3, 0, 5}).body(), 3, false);
  EXPECT_TRUE(tap.complete());
  EXPECT_EQ(tap.usage()->output, 5);
  EXPECT_FALSE(fed("{\"choices\":[", 3, false).complete());
  EXPECT_FALSE(fed("", 1, false).complete());
}

TEST(CompletionTap, StatesOnlyWhatARecordCanHold) {
  const CompletionTap tap = fed(
      R"(data: {"choices":[{"finish_reason":")" + std::string(65, 'x') +
          R"("}],"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":-1}})" + "\n\n",
      1000);
  EXPECT_EQ(tap.usage()->input, std::int64_t{1} << 40);
  EXPECT_EQ(tap.usage()->output, 0);
  EXPECT_EQ(tap.finish_reason(), "other");
}

TEST(CompletionTap, RefusesWhatNoEngineSends) {
  CompletionTap stream(AnswerForm::Completion, true);
  EXPECT_FALSE(stream.feed(std::string((1U << 20) + 100, 'x')));
  CompletionTap plain(AnswerForm::Completion, false);
  EXPECT_TRUE(plain.feed(std::string(8U << 20, ' ')));
  EXPECT_FALSE(plain.feed(" "));
}

/// What a tap found, as one line.
std::string found(const CompletionTap& tap) {
  std::string out = tap.complete() ? "whole " : "cut ";
  out += tap.finish_reason() + " " + std::to_string(tap.output_chunks());
  if (const auto& usage = tap.usage()) {
    out += ": " + std::to_string(usage->input) + " " + std::to_string(usage->cached) + " " +
           std::to_string(usage->output);
  }
  return out;
}

/// Cut anywhere, each part before the last word is incomplete.
void expect_whole_only_at(std::string_view last_word, const std::string& body, AnswerForm form) {
  const std::size_t end = body.rfind(last_word);
  ASSERT_NE(end, std::string::npos);
  for (std::size_t bytes = 0; bytes < end; ++bytes) {
    EXPECT_FALSE(fed(body.substr(0, bytes), 1000, true, form).complete()) << bytes;
  }
  for (const std::size_t piece : {1U, 3U, 1000U}) {
    EXPECT_TRUE(fed(body, piece, true, form).complete());
    EXPECT_TRUE(fed(with_crlf(body), piece, true, form).complete());
  }
}

const std::string kResponsesStream =
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":"
    "\"in_progress\",\"error\":null,\"usage\":null}}\n\n"
    "event: response.reasoning_text.delta\ndata: {\"type\":\"response.reasoning_text.delta\","
    "\"delta\":\"hm\"}\n\n"
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":"
    "\"Hi\"}\n\n"
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":"
    "\"completed\",\"error\":null,\"usage\":{\"input_tokens\":11,\"input_tokens_details\":"
    "{\"cached_tokens\":4},\"output_tokens\":3,\"total_tokens\":14}}}\n\n";

TEST(CompletionTap, ReadsTheResponsesInterface) {
  EXPECT_EQ(found(fed(kResponsesStream, 1000, true, AnswerForm::Responses)),
            "whole completed 2: 11 4 3");
  expect_whole_only_at("}}}", kResponsesStream, AnswerForm::Responses);
  std::string cut_short = kResponsesStream;
  for (std::size_t at = 0; (at = cut_short.find("completed", at)) != std::string::npos;) {
    cut_short.replace(at, 9, "incomplete");
  }
  EXPECT_EQ(found(fed(cut_short, 9, true, AnswerForm::Responses)), "whole incomplete 2: 11 4 3");
  EXPECT_EQ(found(fed(R"({"object":"response","status":"incomplete","error":null,)"
                      R"("incomplete_details":{"reason":"max_output_tokens"},)"
                      R"("usage":{"input_tokens":1,"output_tokens":2}})",
                      5, false, AnswerForm::Responses)),
            "whole max_output_tokens 0: 1 0 2");
  EXPECT_FALSE(fed(R"({"status":"failed","error":{"code":"x"}})", 5, false, AnswerForm::Responses)
                   .complete());
  EXPECT_FALSE(fed("data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\"}}\n\n",
                   5, true, AnswerForm::Responses)
                   .complete());
}

const std::string kMessagesStream =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\","
    "\"stop_reason\":null,\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":5,"
    "\"output_tokens\":0}}}\n\n"
    "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":"
    "\"text_delta\",\"text\":\"Hi\"}}\n\n"
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
    "\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

TEST(CompletionTap, ReadsTheMessagesInterface) {
  EXPECT_EQ(found(fed(kMessagesStream, 1000, true, AnswerForm::Messages)),
            "whole end_turn 1: 12 5 9");
  expect_whole_only_at("stop\"}", kMessagesStream, AnswerForm::Messages);
  EXPECT_EQ(found(fed(R"({"type":"message","content":[],"stop_reason":"max_tokens","usage":)"
                      R"({"input_tokens":3,"output_tokens":4}})",
                      7, false, AnswerForm::Messages)),
            "whole max_tokens 0: 3 0 4");
  EXPECT_FALSE(fed(kMessagesStream + "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                                     "\"overloaded_error\"}}\n\n",
                   9, true, AnswerForm::Messages)
                   .complete());
}

const std::string kOllamaStream =
    R"({"model":"m","message":{"role":"assistant","content":"Hi"},"done":false})"
    "\n"
    R"({"model":"m","message":{"role":"assistant","content":"","thinking":"hm"},"done":false})"
    "\n"
    R"({"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"length",)"
    R"("prompt_eval_count":26,"eval_count":298})"
    "\n";

TEST(CompletionTap, ReadsOllamasLines) {
  EXPECT_EQ(found(fed(kOllamaStream, 1000, true, AnswerForm::Ollama)), "whole length 2: 26 0 298");
  expect_whole_only_at("}", kOllamaStream, AnswerForm::Ollama);
  EXPECT_EQ(
      found(fed(kOllamaStream.substr(0, kOllamaStream.size() - 1), 8, true, AnswerForm::Ollama)),
      "whole length 2: 26 0 298")
      << "the last LF may be missing";
  EXPECT_EQ(
      found(fed(R"({"response":"x","done":true,"eval_count":4})", 3, false, AnswerForm::Ollama)),
      "whole stop 1: 0 0 4")
      << "older ones, a prompt that was cached";
  EXPECT_FALSE(fed(R"({"response":"x","done":false})", 3, false, AnswerForm::Ollama).complete());
  const CompletionTap failed =
      fed("{\"error\":\"out of memory\"}\n" + kOllamaStream, 50, true, AnswerForm::Ollama);
  EXPECT_TRUE(failed.failed());
  EXPECT_FALSE(failed.complete());
  CompletionTap endless(AnswerForm::Ollama, true);
  EXPECT_FALSE(endless.feed(std::string((1U << 20) + 1, 'x')));
}

TEST(CompletionTap, CountsThePromptOfEmbeddingsAndRanks) {
  const auto whole = [](const std::string& body) {
    return found(fed(body, 11, false, AnswerForm::Whole));
  };
  EXPECT_EQ(whole(R"({"data":[{"embedding":[0.1,-2e3],"object":"}\"usage\":{"}],"usage":)"
                  R"({"prompt_tokens":8,"total_tokens":8}})"),
            "whole  0: 8 0 0");
  EXPECT_EQ(whole(R"({"results":[],"usage":{"total_tokens":5}})"), "whole  0: 5 0 0");
  EXPECT_EQ(whole(R"({"embeddings":[[1]],"prompt_eval_count":6})"), "whole  0: 6 0 0");
  EXPECT_EQ(whole(R"({"error":{"message":"x"}})"), "cut  0");
  EXPECT_EQ(whole("RIFF\xff\x01 a sound"), "whole  0");
  EXPECT_EQ(whole(""), "cut  0");
  std::string large = R"({"data":[)";
  while (large.size() < (12U << 20)) large += "0.123456789,";
  large += R"(0],"usage":{"prompt_tokens":9}})";
  EXPECT_EQ(found(fed(large, 1U << 16, false, AnswerForm::Whole)), "whole  0: 9 0 0");
}

TEST(CompletionTap, AnErrorMayBeFlatOrHaveAFieldOfItsOwn) {
  const std::string good = stream_answer({"a"}, {1, 0, 1}).body();
  for (const std::string error :
       {"data: {\"object\":\"error\",\"message\":\"x\",\"code\":400}\n\n",
        "data: {\"error\":\"x\"}\n\n", "data: {\"type\":\"error\",\"message\":\"x\"}\n\n"}) {
    EXPECT_TRUE(fed(error + good, 7).failed()) << error;
  }
  EXPECT_FALSE(fed("data: {\"error\":null,\"choices\":[]}\n\n" + good, 7).failed());
  // An old llama.cpp names its field "error": no event, so nothing ends the answer well.
  EXPECT_FALSE(fed("error: {\"code\":500}\n\n", 7).complete());
}

TEST(AnswerSplitter, CutsLinesOrEventsAndLosesNothing) {
  for (const auto& [form, body, pieces] :
       {std::tuple{AnswerForm::Ollama, kOllamaStream + "rest", 4U},
        std::tuple{AnswerForm::Messages, kMessagesStream + "rest", 6U}}) {
    for (const std::size_t bytes : {1U, 5U, 10'000U}) {
      AnswerSplitter splitter(form);
      std::string out;
      std::size_t count = 0;
      for (std::size_t at = 0; at < body.size(); at += bytes) {
        splitter.add(std::string_view(body).substr(at, bytes));
        while (const auto piece = splitter.next()) {
          EXPECT_TRUE(piece->ends_with('\n'));
          out += *piece;
          ++count;
        }
      }
      out += splitter.take_rest();
      EXPECT_EQ(out, body);
      EXPECT_EQ(count + 1, pieces);
    }
  }
}

TEST(SkimMember, FindsWhatAParserWouldFind) {
  const std::string text =
      R"( {"a" : [1,{"b":"}]\\"},"\"b"], "b":{"c":[]} ,"d":-1.5e3,"e":"x,\"y"})";
  const auto parsed = Json::parse(text);
  ASSERT_TRUE(parsed);
  for (const auto& [key, value] : parsed->members()) {
    const auto skimmed = skim_member(text, key);
    ASSERT_TRUE(skimmed) << key;
    EXPECT_EQ(Json::parse(*skimmed)->dump(), value.dump());
  }
  EXPECT_FALSE(skim_member(text, "c")) << "an inner one";
  for (const std::string broken : {"", "{", "[", R"({"a")", R"({"a":)", R"({"a":})", R"({"a":[})",
                                   R"({"a":"x})", R"({"a":1 "b":2})", R"({"a":"\)"}) {
    EXPECT_FALSE(skim_member(broken, "b")) << broken;
  }
}

TEST(CompletionTap, IgnoresWhatIsNotJsonOrNotAnObject) {
  const CompletionTap tap =
      fed("data: nonsense\n\ndata: []\n\ndata: 7\n\ndata: {\"choices\":7,\"usage\":[]}\n\n", 5);
  EXPECT_FALSE(tap.complete());
  EXPECT_FALSE(tap.usage());
}

}  // namespace
}  // namespace nostril::node
