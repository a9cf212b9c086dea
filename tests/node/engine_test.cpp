#include "node/engine.h"

#include "tests/support/scripted_engine.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::EngineAnswer;
using test::run_until;
using test::ScriptedEngine;

struct Running {
  std::optional<int> status;
  std::string body;
  std::optional<EngineOutcome> outcome;
  std::size_t take_max = SIZE_MAX;  ///< pieces before it says stop
  std::size_t pieces = 0;
};

class EngineClient : public ::testing::Test {
 protected:
  Engine::Call ask(bool stream, Running& running) {
    EngineCallbacks callbacks;
    callbacks.on_head = [&running](int status, const std::string&) { running.status = status; };
    callbacks.on_bytes = [&running](std::string_view bytes) {
      EXPECT_TRUE(running.status) << "bytes before the head";
      running.body += bytes;
      return ++running.pieces < running.take_max;
    };
    callbacks.on_done = [&running](const EngineOutcome& outcome) {
      EXPECT_FALSE(running.outcome) << "on_done came twice";
      running.outcome = outcome;
    };
    return client_.ask({"/v1/chat/completions", "{}", stream}, std::move(callbacks));
  }

  void finish(Running& running) {
    ASSERT_TRUE(run_until(loop_, [&] { return running.outcome.has_value(); }));
  }

  std::optional<FoundEngine> models() {
    std::optional<std::optional<FoundEngine>> found;
    client_.list_models([&](std::optional<FoundEngine> engine) { found = std::move(engine); });
    EXPECT_TRUE(run_until(loop_, [&] { return found.has_value(); }));
    return found.value_or(std::nullopt);
  }

  net::Loop loop_;
  ScriptedEngine engine_{loop_};
  Engine client_{loop_, EngineAddress{engine_.url(), "secret-key"}};
};

TEST_F(EngineClient, KnowsEachEngineByItsModelsNotItsPort) {
  struct Case {
    std::string json, name, model;
    std::int64_t context;
  };

  const std::vector<Case> cases = {
      {R"({"object":"list","data":[{"id":"Qwen/Q3","object":"model","owned_by":"vllm","max_model_len":32768}]})",
       "vllm", "Qwen/Q3", 32768},
      {R"({"data":[{"id":"q","owned_by":"sglang","max_model_len":4096}]})", "sglang", "q", 4096},
      {R"({"models":[],"object":"list","data":[{"id":"/m/x.gguf","owned_by":"llamacpp","meta":{"n_ctx":512}}]})",
       "llama.cpp", "/m/x.gguf", 512},
      {R"({"object":"list","data":[{"id":"llama3:8b","object":"model","created":1,"owned_by":"library"}]})",
       "ollama", "llama3:8b", 0},
      {R"({"data":[{"id":"x","owned_by":"me","context_length":99999999999999999}]})",
       "openai-compatible", "x", 0}};
  for (const Case& expected : cases) {
    engine_.set_models(expected.json);
    const auto found = models();
    ASSERT_TRUE(found) << expected.json;
    EXPECT_EQ(found->name, expected.name);
    ASSERT_EQ(found->models.size(), 1U);
    EXPECT_EQ(found->models[0].id, expected.model);
    EXPECT_EQ(found->models[0].context_tokens, expected.context);
  }
}

TEST_F(EngineClient, TakesNothingElseForAnEngine) {
  for (const std::string json :
       {"", "{}", "[]", R"({"data":[]})", R"({"data":{}})", R"({"data":[{"id":""}]})",
        R"({"data":[{"id":"a\nb"}]})", R"({"data":[{"name":"x"}]})", "<html>"}) {
    engine_.set_models(json);
    EXPECT_FALSE(models()) << json;
  }
  engine_.set_models(R"({"data":[{"id":")" + std::string(129, 'm') + R"("}]})");
  EXPECT_FALSE(models()) << "no offer could name it";
  engine_.go_away();
  EXPECT_FALSE(models());
}

TEST_F(EngineClient, BringsTheBytesAndTheCount) {
  const EngineAnswer scripted = test::stream_answer({"a", "b"}, {7, 2, 2});
  engine_.set_answer(scripted);
  Running running;
  ask(true, running);
  finish(running);
  EXPECT_EQ(running.body, scripted.body());
  EXPECT_EQ(running.outcome->failure, EngineFailure::None);
  EXPECT_EQ(running.outcome->usage->cached, 2);
  EXPECT_EQ(engine_.last_headers().find("Authorization"), "Bearer secret-key");
}

TEST_F(EngineClient, TellsARefusalFromABreak) {
  engine_.set_answer(test::refusal(400, "context"));
  Running refused;
  ask(true, refused);
  finish(refused);
  EXPECT_EQ(refused.outcome->failure, EngineFailure::Refused);
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("context"), std::string::npos);

  engine_.set_answer(test::refusal(500, "boom"));
  Running boom;
  ask(false, boom);
  finish(boom);
  EXPECT_EQ(boom.outcome->failure, EngineFailure::Refused);

  EngineAnswer cut = test::stream_answer({"a", "b"}, {7, 2, 2});
  cut.pieces.resize(2);
  cut.end = EngineAnswer::End::Cut;
  engine_.set_answer(cut);
  Running broken;
  ask(true, broken);
  finish(broken);
  EXPECT_EQ(broken.outcome->failure, EngineFailure::Broken);
  EXPECT_EQ(broken.outcome->output_chunks, 1);

  engine_.go_away();
  Running gone;
  ask(true, gone);
  finish(gone);
  EXPECT_EQ(gone.outcome->failure, EngineFailure::Unreachable);
}

TEST_F(EngineClient, CancelClosesTheConnectionAndSaysWhatWasRead) {
  EngineAnswer slow = test::stream_answer(std::vector<std::string>(10'000, "x"), {1, 0, 10'000});
  slow.piece_ms = 1;
  engine_.set_answer(slow);
  Running running;
  const auto call = ask(true, running);
  ASSERT_TRUE(run_until(loop_, [&] { return running.pieces > 5; }));
  const EngineOutcome so_far = client_.cancel(call);
  EXPECT_GT(so_far.output_chunks, 0);
  EXPECT_TRUE(run_until(loop_, [&] { return engine_.aborted() == 1; }));
  test::run_for(loop_, 50);
  EXPECT_FALSE(running.outcome) << "on_done came after cancel()";
  EXPECT_EQ(client_.cancel(call).output_chunks, 0) << "a stale call is nothing";
}

TEST_F(EngineClient, CancelOfAnEngineThatNeverAnswers) {
  EngineAnswer silent;
  silent.silent = true;
  engine_.set_answer(silent);
  Running running;
  const auto call = ask(true, running);
  ASSERT_TRUE(run_until(loop_, [&] { return engine_.running() == 1; }));
  client_.cancel(call);
  EXPECT_TRUE(run_until(loop_, [&] { return engine_.aborted() == 1; }));
}

TEST_F(EngineClient, PausesAndGoesOn) {
  const EngineAnswer scripted =
      test::stream_answer(std::vector<std::string>(5'000, std::string(500, 'x')), {1, 0, 5'000});
  engine_.set_answer(scripted);
  Running running;
  running.take_max = 1;
  const auto call = ask(true, running);
  ASSERT_TRUE(run_until(loop_, [&] { return running.pieces > 0; }));
  test::run_for(loop_, 200);
  const std::size_t held = running.body.size();
  EXPECT_LT(held, scripted.body().size());
  EXPECT_FALSE(running.outcome);
  running.take_max = SIZE_MAX;
  client_.resume(call);
  finish(running);
  EXPECT_EQ(running.body, scripted.body());
}

TEST_F(EngineClient, ReadsTheVersionWhereItsEngineSaysIt) {
  const auto version_of = [this](const std::string& name) {
    std::optional<std::string> version;
    client_.read_version(name, [&](std::string said) { version = std::move(said); });
    EXPECT_TRUE(run_until(
        loop_, [&] { return version.has_value(); }, 5'000));
    return version.value_or("");
  };
  EXPECT_EQ(version_of("vllm"), "0.9.1");
  EXPECT_EQ(version_of("openai-compatible"), kUnknownVersion);
  engine_.set_version("has spaces in it");
  EXPECT_EQ(version_of("vllm"), kUnknownVersion);
  engine_.set_version("");
  EXPECT_EQ(version_of("vllm"), kUnknownVersion);
}

}  // namespace
}  // namespace nostril::node
