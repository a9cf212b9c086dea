#include "node/completion.h"

#include "tests/support/scripted_engine.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::EngineAnswer;
using test::stream_answer;

Result<EngineRequest, RequestError> prepare(const std::string& body) {
  return prepare_request("/v1/chat/completions", body, "m", "salt", 4'096);
}

TEST(PrepareRequest, KeepsWhatItDoesNotKnowAndTheTextOfNumbers) {
  const auto out = prepare(
      R"({"model":"m","temperature":0.70,"seed":12345678901234567890,"x":{"a":[1e3,-0.0]},"tools":[]})");
  ASSERT_TRUE(out);
  EXPECT_EQ(
      out->body,
      R"({"model":"m","temperature":0.70,"seed":12345678901234567890,"x":{"a":[1e3,-0.0]},"tools":[],"max_tokens":4096,"cache_salt":"salt"})");
  EXPECT_FALSE(out->stream);
  EXPECT_EQ(out->path, "/v1/chat/completions");
}

TEST(PrepareRequest, SetsASeedOnlyWhereItIsWantedAndNoneWasAskedFor) {
  const auto with_seed = [](const std::string& body) {
    return prepare_request("/v1/chat/completions", body, "m", "salt", 4'096, 99);
  };
  const auto drawn = with_seed(R"({"model":"m","seed":-1,"top_k":5})");
  ASSERT_TRUE(drawn);
  EXPECT_EQ(drawn->body,
            R"({"model":"m","top_k":5,"max_tokens":4096,"seed":99,"cache_salt":"salt"})");
  EXPECT_EQ(drawn->sampling, R"({"seed":99,"top_k":5})");
  const auto asked = with_seed(R"({"model":"m","seed":3})");
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->body, R"({"model":"m","seed":3,"max_tokens":4096,"cache_salt":"salt"})");
  EXPECT_EQ(asked->sampling, R"({"seed":3})");
  EXPECT_EQ(with_seed(R"({"model":"m","seed":3.5})").error(), RequestError::BadField);
  EXPECT_EQ(prepare(R"({"model":"m","seed":3})")->sampling, "");
}

TEST(PrepareRequest, MakesAStreamEndWithItsUsage) {
  const auto plain = prepare(R"({"model":"m","stream":true})");
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->stream);
  EXPECT_EQ(
      plain->body,
      R"({"model":"m","stream":true,"max_tokens":4096,"stream_options":{"include_usage":true},"cache_salt":"salt"})");
  const auto with_options = prepare(
      R"({"model":"m","stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}})");
  ASSERT_TRUE(with_options);
  EXPECT_NE(with_options->body.find(
                R"("stream_options":{"include_obfuscation":false,"include_usage":true})"),
            std::string::npos)
      << with_options->body;
}

TEST(PrepareRequest, DropsWhatReachesIntoTheEngine) {
  const auto out = prepare(
      R"({"model":"m","id_slot":3,"slot_id":1,"cache_prompt":true,"cache_salt":"mine","priority":-9,)"
      R"("custom_logit_processor":"x","prompt_embeds":"x","kv_transfer_params":{},"n":1})");
  ASSERT_TRUE(out);
  EXPECT_EQ(out->body, R"({"model":"m","n":1,"max_tokens":4096,"cache_salt":"salt"})");
}

TEST(PrepareRequest, RefusesOtherModelsPathsAndShapes) {
  EXPECT_EQ(prepare(R"({"model":"n"})").error(), RequestError::UnknownModel);
  EXPECT_EQ(prepare(R"({"messages":[]})").error(), RequestError::UnknownModel);
  EXPECT_EQ(prepare(R"({"model":"m","model":"n"})").error(), RequestError::NotJson);
  EXPECT_EQ(prepare(R"([])").error(), RequestError::NotAnObject);
  EXPECT_EQ(prepare(R"({"model":"m")").error(), RequestError::NotJson);
  EXPECT_EQ(prepare(R"({"model":"m","stream":"yes"})").error(), RequestError::BadField);
  EXPECT_EQ(prepare(R"({"model":"m","stream":true,"stream_options":[]})").error(),
            RequestError::BadField);
  for (const std::string path : {"/v1/models", "/slots", "/v1/chat/completions/", "/metrics", ""}) {
    EXPECT_EQ(prepare_request(path, R"({"model":"m"})", "m", "s", 4'096).error(),
              RequestError::PathNotAllowed)
        << path;
  }
}

TEST(PrepareRequest, KeepsAnAnswerWithinTheOffersLimit) {
  const std::map<std::string, std::string> cases = {
      {R"("max_tokens":5)", R"("max_tokens":5)"},
      {R"("max_tokens":5000)", R"("max_tokens":4096)"},
      {R"("max_completion_tokens":1000000)", R"("max_completion_tokens":4096)"},
      {R"("n_predict":9,"max_tokens":9000)", R"("n_predict":9,"max_tokens":4096)"},
      {R"("max_tokens":-1)", R"("max_tokens":4096)"},
      {R"("max_tokens":0)", R"("max_tokens":4096)"},
      {R"("max_tokens":null)", R"("max_tokens":4096)"},
      {R"("n":128,"max_tokens":1)", R"("n":128,"max_tokens":1)"},
  };
  for (const auto& [asked, passed] : cases) {
    const auto out = prepare(R"({"model":"m",)" + asked + "}");
    ASSERT_TRUE(out) << asked;
    EXPECT_EQ(out->body, R"({"model":"m",)" + passed + R"(,"cache_salt":"salt"})");
  }
  for (const std::string wrong :
       {R"("max_tokens":"9")", R"("max_tokens":1e9)", R"("n":129)", R"("best_of":"2")"}) {
    EXPECT_EQ(prepare(R"({"model":"m",)" + wrong + "}").error(), RequestError::BadField) << wrong;
  }
}

TEST(PrepareRequest, NullStreamMeansNone) {
  const auto out = prepare(R"({"model":"m","stream":null,"stream_options":null})");
  ASSERT_TRUE(out);
  EXPECT_FALSE(out->stream);
}

/// Feeds `text` in pieces of `bytes`.
CompletionTap fed(const std::string& text, std::size_t bytes, bool stream = true) {
  CompletionTap tap(stream);
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
  CompletionTap stream(true);
  EXPECT_FALSE(stream.feed(std::string((1U << 20) + 100, 'x')));
  CompletionTap plain(false);
  EXPECT_TRUE(plain.feed(std::string(8U << 20, ' ')));
  EXPECT_FALSE(plain.feed(" "));
}

TEST(CompletionTap, IgnoresWhatIsNotJsonOrNotAnObject) {
  const CompletionTap tap =
      fed("data: nonsense\n\ndata: []\n\ndata: 7\n\ndata: {\"choices\":7,\"usage\":[]}\n\n", 5);
  EXPECT_FALSE(tap.complete());
  EXPECT_FALSE(tap.usage());
}

}  // namespace
}  // namespace nostril::node
