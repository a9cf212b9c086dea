// More requests than an engine takes: who waits, who is told to come again, what is never touched.
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace nostril::node {
namespace {

using test::Answer;
using test::chat;
using test::EngineAnswer;
using test::stream_answer;
using test::TestClient;
using test::World;

EngineAnswer slow_stream(int count, std::uint64_t piece_ms) {
  EngineAnswer out = stream_answer(std::vector<std::string>(static_cast<std::size_t>(count), "w "),
                                   {10, 0, count});
  out.piece_ms = piece_ms;
  return out;
}

void expect_refused(const Answer& answer) {
  ASSERT_TRUE(answer.ended());
  EXPECT_EQ(answer.result->failure, client::QueryFailure::Refused);
  ASSERT_TRUE(answer.result->error);
  EXPECT_EQ(answer.result->error->code, ErrorCode::Busy);
  EXPECT_TRUE(answer.result->error->retryable);
  EXPECT_GE(answer.result->error->retry_after_ms, 250U);
  EXPECT_FALSE(answer.result->record) << "nothing was served, nothing is owed";
}

class Overload : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(world.wait_for_offer()); }

  World world{[](NodeConfig& config) {
    config.limits.running_max = 1;
    config.limits.waiting_max = 2;
  }};
};

TEST_F(Overload, WhoFindsAFullLineIsToldWhenToComeAgainAndWhatRunsGoesOn) {
  const EngineAnswer scripted = slow_stream(200, 5);
  world.engine.set_answer(scripted);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 4; ++i) {
    answers.push_back(world.query(chat(std::to_string(i), true)));
    if (i == 0) {
      ASSERT_TRUE(world.until([&] { return !answers[0]->body.empty(); }));
    }
  }
  ASSERT_TRUE(world.until([&] {
    return std::ranges::any_of(answers, [](const auto& answer) { return answer->ended(); });
  }));
  EXPECT_FALSE(answers[0]->ended()) << "refused before the running one ends";
  for (const auto& answer : answers) ASSERT_TRUE(world.finish(answer));
  int refused = 0;
  for (const auto& answer : answers) {
    if (answer->result->verified()) {
      EXPECT_EQ(answer->body, scripted.body());
    } else {
      expect_refused(*answer);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(world.engine.asked(), 3U);
}

TEST_F(Overload, APayerWhoFillsTheLineMakesRoomForAnother) {
  world.engine.set_answer(slow_stream(200, 5));
  std::vector<std::shared_ptr<Answer>> greedy = {world.query(chat("0", true))};
  ASSERT_TRUE(world.until([&] { return !greedy[0]->body.empty(); }));
  greedy.push_back(world.query(chat("1", true)));
  greedy.push_back(world.query(chat("2", true)));
  test::run_for(world.loop, 300);

  const auto folder = world.folder.path() / "other";
  std::filesystem::create_directories(folder);
  TestClient other(world.loop, world.clock, world.rng, world.relay.url(), folder);
  ASSERT_TRUE(world.until([&] { return !other.offers.usable().empty(); }));
  client::QueryCallbacks callbacks;
  std::optional<client::QueryResult> result;
  callbacks.on_end = [&](const client::QueryResult& ended) { result = ended; };
  client::QueryRequest asked;
  asked.path = "/v1/chat/completions";
  asked.body = chat("other", true);
  other.inference.start(other.offers.usable().front(), std::move(asked), std::move(callbacks));
  ASSERT_TRUE(world.until([&] { return greedy[1]->ended() || greedy[2]->ended(); }));
  expect_refused(greedy[1]->ended() ? *greedy[1] : *greedy[2]);
  ASSERT_TRUE(world.until([&] { return result.has_value(); }));
  EXPECT_TRUE(result->verified()) << result->detail;
  ASSERT_TRUE(world.finish(greedy[0]));
  EXPECT_TRUE(greedy[0]->result->verified());
}

// Ten times what the engine takes, at once: those inside end whole, the others wait or are told
// when to come again.
TEST(OverloadTenfold, BreaksNothingThatRuns) {
  constexpr std::size_t kPlaces = 4;
  constexpr std::size_t kLine = 8;
  World world([](NodeConfig& config) {
    config.limits.running_max = config.limits.running_start = kPlaces;
    config.limits.waiting_max = kLine;
  });
  ASSERT_TRUE(world.wait_for_offer());
  const EngineAnswer scripted = slow_stream(150, 5);
  std::size_t inside_max = 0;
  world.engine.set_script([&](const net::HttpRequest&) {
    inside_max = std::max(inside_max, world.engine.running() + 1);
    return scripted;
  });
  std::vector<std::shared_ptr<Answer>> answers;
  for (std::size_t i = 0; i < 10 * kPlaces; ++i) {
    answers.push_back(world.query(chat(std::to_string(i), true)));
  }
  std::size_t served = 0;
  for (const auto& answer : answers) {
    ASSERT_TRUE(world.finish(answer));
    if (answer->result->verified()) {
      EXPECT_EQ(answer->body, scripted.body());
      ++served;
    } else {
      expect_refused(*answer);
    }
  }
  EXPECT_GE(served, kPlaces + kLine);
  EXPECT_LT(served, answers.size()) << "the load was not tenfold";
  EXPECT_EQ(world.engine.asked(), served) << "none was begun and given up";
  EXPECT_EQ(world.engine.aborted(), 0U);
  EXPECT_LE(inside_max, kPlaces);
}

TEST(OverloadOffered, OffersSayHowBusyTheNodeIsAndOldOnesStayGood) {
  World world([](NodeConfig& config) {
    config.limits.running_start = 1;
    config.offer.load_s = 1;
  });
  ASSERT_TRUE(world.wait_for_offer());
  const auto first = world.offer();
  world.engine.set_answer(slow_stream(500, 5));
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 3; ++i)
    answers.push_back(world.query(chat(std::to_string(i), true), {}, first));
  const auto newest_load = [&] { return world.offer()->offer().load; };
  ASSERT_TRUE(world.until([&] { return newest_load() && newest_load()->waiting == 2; }));
  EXPECT_EQ(newest_load()->running, 1U);
  EXPECT_EQ(newest_load()->places, 1U);
  EXPECT_GT(world.offer()->offer().created_at, first->offer().created_at);
  for (const auto& answer : answers) {
    ASSERT_TRUE(world.finish(answer));
    EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  }
  const auto late = world.query(chat("late", true), {}, first);
  ASSERT_TRUE(world.finish(late));
  EXPECT_TRUE(late->result->verified()) << "under the offer of before the load";
  ASSERT_TRUE(world.until([&] { return newest_load()->running == 0; }));
  const EventId settled = world.offer()->offer().id;
  test::run_for(world.loop, 2'500);
  EXPECT_EQ(world.offer()->offer().id, settled) << "nothing new to say";
}

TEST(OverloadLearned, AnEngineThatLetsRequestsWaitGetsFewerAndLosesNone) {
  World world([](NodeConfig& config) { config.limits.running_start = 4; });
  ASSERT_TRUE(world.wait_for_offer());
  world.engine.set_metrics("vllm:num_requests_running 1\nvllm:num_requests_waiting 3\n");
  std::vector<std::size_t> inside;  // as each request came
  world.engine.set_script([&](const net::HttpRequest&) {
    inside.push_back(world.engine.running());
    return slow_stream(800, 5);  // 4 s
  });
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 4; ++i) answers.push_back(world.query(chat(std::to_string(i), true)));
  ASSERT_TRUE(world.until([&] { return world.engine.running() == 4; }));
  test::run_for(world.loop, 2'500);  // looked at twice by now: 4, 3, 2
  const auto late = world.query(chat("late", true));
  ASSERT_TRUE(world.until([&] { return inside.size() == 5; }));
  EXPECT_LE(inside.back(), 1U) << "of 4 that it would have let in before";
  for (const auto& answer : answers) {
    ASSERT_TRUE(world.finish(answer));
    EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  }
  world.engine.set_metrics("");
  ASSERT_TRUE(world.finish(late));
  EXPECT_TRUE(late->result->verified());
}

}  // namespace
}  // namespace nostril::node
