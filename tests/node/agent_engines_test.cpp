// Several engines behind one node: whose model is asked, whose offer goes, how the node is emptied.
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nostril::node {
namespace {

using test::Answer;
using test::EngineAnswer;
using test::ScriptedEngine;
using test::World;

std::string models_of(const std::string& ids) {
  std::string out;
  for (std::size_t at = 0; at < ids.size();) {
    const std::size_t end = std::min(ids.find(' ', at), ids.size());
    out += (out.empty() ? "" : ",") + (R"({"id":")" + ids.substr(at, end - at)) +
           R"(","owned_by":"vllm","max_model_len":4096})";
    at = end + 1;
  }
  return R"({"object":"list","data":[)" + out + "]}";
}

std::string chat_with(const std::string& model, bool stream = false) {
  return R"({"model":")" + model + R"(","messages":[{"role":"user","content":"x"}],"stream":)" +
         (stream ? "true}" : "false}");
}

EngineAnswer slow_stream(int count) {
  EngineAnswer out = test::stream_answer(
      std::vector<std::string>(static_cast<std::size_t>(count), "w "), {10, 0, count});
  out.piece_ms = 5;
  return out;
}

class TwoEngines : public ::testing::Test {
 protected:
  TwoEngines() {
    world.engine.set_models(models_of("first"));
    second.set_models(models_of("second"));
    world.engine.set_answer(test::plain_answer("of the first", {10, 0, 3}));
    second.set_answer(test::plain_answer("of the second", {10, 0, 3}));
  }

  static NodeConfig::EngineSettings at(const ScriptedEngine& engine) {
    NodeConfig::EngineSettings out;
    out.url = engine.url();
    out.warm_up = false;
    return out;
  }

  /// Started again with both, changed by `change`.
  void start(const std::function<void(std::vector<NodeConfig::EngineSettings>&)>& change = {}) {
    world.stop_node();
    world.config.engine.url.clear();
    world.config.engines = {at(world.engine), at(second)};
    if (change) change(world.config.engines);
    world.start_node();
  }

  std::shared_ptr<const client::VerifiedOffer> offer_of(const std::string& model) {
    for (const auto& offer : world.user->offers.usable()) {
      if (offer->offer().model == model) return offer;
    }
    return nullptr;
  }

  std::shared_ptr<Answer> answer_of(const std::string& model) {
    const auto answer = world.query(chat_with(model), std::nullopt, offer_of(model));
    EXPECT_TRUE(world.finish(answer));
    return answer;
  }

  bool both_offered() {
    return world.until([this] { return offer_of("first") && offer_of("second"); });
  }

  World world{[](NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; }};
  ScriptedEngine second{world.loop};
};

TEST_F(TwoEngines, EachModelHasAnOfferOfItsOwnAndItsEngineAnswers) {
  start([](auto& engines) {
    engines[1].output_price = 800'000;
    engines[1].output_tokens_max = 77;
  });
  ASSERT_TRUE(both_offered());
  EXPECT_NE(answer_of("first")->body.find("of the first"), std::string::npos);
  EXPECT_NE(answer_of("second")->body.find("of the second"), std::string::npos);
  EXPECT_EQ(world.engine.asked(), 1U);
  EXPECT_EQ(second.asked(), 1U);
  EXPECT_EQ(offer_of("first")->offer().output_tokens_max, 4096U);
  EXPECT_EQ(offer_of("second")->offer().output_tokens_max, 77U);
  const auto& prices = offer_of("second")->offer().prices;
  EXPECT_TRUE(std::ranges::find(prices, PriceTag{PriceUnit::Output, Amount::of(800'000)}) !=
              prices.end());
}

TEST_F(TwoEngines, AModelUnderAnotherOneIsNotServed) {
  start();
  ASSERT_TRUE(both_offered());
  const auto answer = world.query(chat_with("second"), std::nullopt, offer_of("first"));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::Refused);
  EXPECT_EQ(world.engine.asked() + second.asked(), 0U);
}

TEST_F(TwoEngines, OneThatGoesTakesItsOfferAlongAndTheOtherServesOn) {
  start();
  ASSERT_TRUE(both_offered());
  world.engine.go_away();
  ASSERT_TRUE(world.until([this] { return !offer_of("first"); }));
  ASSERT_TRUE(offer_of("second"));
  EXPECT_NE(answer_of("second")->body.find("of the second"), std::string::npos);
  world.engine.come_back();
  ASSERT_TRUE(both_offered());
  EXPECT_NE(answer_of("first")->body.find("of the first"), std::string::npos);
}

TEST_F(TwoEngines, AModelThatBothHaveIsOfferedOnceAndTakenOver) {
  world.engine.set_models(models_of("shared"));
  second.set_models(models_of("shared second"));
  start();
  ASSERT_TRUE(world.until([this] { return offer_of("shared") && offer_of("second"); }));
  const std::string first_body = answer_of("shared")->body;
  const bool is_first = first_body.find("of the first") != std::string::npos;
  (is_first ? world.engine : second).go_away();
  ASSERT_TRUE(world.until([this] { return !offer_of("shared"); }));
  ASSERT_TRUE(world.until([this] { return offer_of("shared") != nullptr; }));
  EXPECT_NE(answer_of("shared")->body.find(is_first ? "of the second" : "of the first"),
            std::string::npos);
}

TEST_F(TwoEngines, AModelThatItsEngineNoLongerNamesIsWithdrawn) {
  second.set_models(models_of("second third"));
  start();
  ASSERT_TRUE(world.until([this] { return offer_of("second") && offer_of("third"); }));
  second.set_models(models_of("second"));
  ASSERT_TRUE(world.until([this] { return !offer_of("third"); }));
  EXPECT_TRUE(offer_of("second"));
}

TEST_F(TwoEngines, OnlyNamedModelsAreOfferedAndOneThatIsMissingLeavesTheOthers) {
  second.set_models(models_of("second third"));
  start([](auto& engines) {
    engines[0].models = {"missing"};
    engines[1].models = {"third"};
  });
  ASSERT_TRUE(world.until([this] { return offer_of("third") != nullptr; }));
  EXPECT_FALSE(offer_of("second"));
  EXPECT_TRUE(world.fatal.empty());
}

TEST_F(TwoEngines, AModelThatDoesNotAnswerYetIsNotOffered) {
  second.set_answer(test::refusal(503, "Loading model"));
  start([](auto& engines) { engines[1].warm_up = true; });
  ASSERT_TRUE(world.until([this] { return offer_of("first") && second.asked() >= 2; }));
  EXPECT_FALSE(offer_of("second"));
  second.set_answer(test::refusal(400, "an embeddings model does not chat"));
  ASSERT_TRUE(both_offered());
  EXPECT_NE(second.last_body().find(R"("max_tokens":1})"), std::string::npos);
}

TEST_F(TwoEngines, DrainingLetsTheRunningAnswerEndAndBeginsNothing) {
  start();
  ASSERT_TRUE(both_offered());
  const EngineAnswer scripted = slow_stream(400);
  world.engine.set_answer(scripted);
  const auto running = world.query(chat_with("first", true), std::nullopt, offer_of("first"));
  ASSERT_TRUE(world.until([&] { return !running->body.empty(); }));
  const auto other = offer_of("second");
  bool drained = false;
  world.agent->drain([&] { drained = true; });
  ASSERT_TRUE(world.until([this] { return !offer_of("first") && !offer_of("second"); }));
  const auto late = world.query(chat_with("second"), std::nullopt, other);
  ASSERT_TRUE(world.finish(late));
  EXPECT_EQ(late->result->failure, client::QueryFailure::Refused);
  ASSERT_TRUE(late->result->error);
  EXPECT_EQ(late->result->error->code, ErrorCode::Busy);
  EXPECT_EQ(second.asked(), 0U);
  EXPECT_FALSE(drained);
  ASSERT_TRUE(world.finish(running));
  EXPECT_EQ(running->body, scripted.body());
  EXPECT_TRUE(running->result->verified()) << running->result->detail;
  EXPECT_TRUE(world.until([&] { return drained; }));
}

TEST_F(TwoEngines, DrainingEndsAtItsBound) {
  world.config.limits.drain_s = 1;
  start();
  ASSERT_TRUE(both_offered());
  world.engine.set_answer(slow_stream(20'000));
  const auto running = world.query(chat_with("first", true), std::nullopt, offer_of("first"));
  ASSERT_TRUE(world.until([&] { return !running->body.empty(); }));
  bool drained = false;
  world.agent->drain([&] { drained = true; });
  EXPECT_TRUE(world.until([&] { return drained; }, 5'000));
  EXPECT_FALSE(running->ended());
}

TEST(EngineTables, StandBesideNothingAndSayWhatIsWrong) {
  const auto read = [](const std::string& text) {
    NodeConfig values;
    Config config;
    values.declare(config);
    config.load_text(text, "node.toml");
    return values;
  };
  const NodeConfig two = read(
      "[[engine]]\nurl = \"http://127.0.0.1:8000\"\nmodels = [\"a\", \"b\"]\n"
      "[[engine]]\nurl = \"http://127.0.0.1:8001\"\noutput_price = 7\n");
  ASSERT_EQ(two.engines.size(), 2U);
  EXPECT_FALSE(two.problem());
  EXPECT_EQ(two.engines[0].models, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(two.terms_of(two.engines[1]).output_price, 7);
  EXPECT_EQ(two.terms_of(two.engines[0]).output_price, two.offer.output_price);
  EXPECT_EQ(read("[engine]\nurl = \"http://127.0.0.1:1\"\nmodel = \"m\"\n").single_engine().models,
            std::vector<std::string>{"m"});
  EXPECT_TRUE(read("[[engine]]\nmodels = [\"a\"]\n").problem()) << "no url";
  const std::string url = "[[engine]]\nurl = \"http://127.0.0.1:1\"\n";
  EXPECT_TRUE(read(url + "weights_folder = \"/w\"\n").problem()) << "of which model?";
  EXPECT_FALSE(read(url + "weights_folder = \"/w\"\nmodels = [\"a\"]\n").problem());
  EXPECT_TRUE(read(url + "output_price = 2000000000\n").problem()) << "beyond the credit";
  EXPECT_THROW(read(url + "[engine]\nurl = \"http://127.0.0.1:2\"\n"), ConfigError);
}

}  // namespace
}  // namespace nostril::node
