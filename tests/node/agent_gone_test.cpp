// A client whose node is gone, or does not want to be asked: how soon it knows, what it says.
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::Answer;
using test::chat;
using test::EngineAnswer;
using test::TestRelay;
using test::World;

EngineAnswer long_stream() {
  EngineAnswer out = test::stream_answer(std::vector<std::string>(20'000, "token "), {});
  out.piece_ms = 2;
  return out;
}

TEST(AgentGone, AFirstFrameThatNobodyHearsEndsTheQueryAfterOneRepetition) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  world.stop_node();
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer, 4'000));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::NobodyListens);
  EXPECT_NE(answer->result->detail.find("mute:"), std::string::npos) << answer->result->detail;
}

TEST(AgentGone, ARelayThatRefusesTheFirstFrameEndsTheQueryAtOnceInItsWords) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  world.relay.set_faults({.refuse_events = "blocked: no frames here"});
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer, 2'000));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::NotTaken);
  EXPECT_NE(answer->result->detail.find("no frames here"), std::string::npos);
  EXPECT_EQ(world.engine.asked(), 0U);
}

TEST(AgentGone, AnotherRelayThatIsAwayIsNotWaitedFor) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  ASSERT_TRUE(world.user->pool.add_relay("ws://127.0.0.1:1"));
  world.stop_node();
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer, 4'000));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::NobodyListens);
}

TEST(AgentGone, ANodeThatLeavesInMidStreamIsNotWaitedForAsASilentOneIs) {
  World world;
  world.engine.set_answer(long_stream());
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.until([&] { return answer->body.size() > 2'000; }));
  world.stop_node();
  ASSERT_TRUE(world.finish(answer, 14'000)) << "of 30 s for a silent node";
  EXPECT_EQ(answer->result->failure, client::QueryFailure::NobodyListens);
  EXPECT_NE(answer->result->detail.find("left in the middle"), std::string::npos);
}

class BusyNode : public ::testing::Test {
 protected:
  void SetUp() override {
    world_.engine.set_answer(long_stream());
    ASSERT_TRUE(world_.wait_for_offer());
    first_ = world_.query(chat("x", true));
    ASSERT_TRUE(world_.until([&] { return !first_->body.empty(); }));
  }

  World world_{[](NodeConfig& config) { config.limits.sessions_max = 1; }};
  std::shared_ptr<Answer> first_;
};

TEST_F(BusyNode, IsAskedAgainAfterThePauseThatItWantsOnly) {
  const std::int64_t start_ms = world_.clock.monotonic_ms();
  const auto second = world_.ask(chat("y", true));
  const auto refused = [&](std::uint64_t count) {
    return world_.until([&] { return world_.agent->counters().refused >= count; });
  };
  ASSERT_TRUE(refused(2));
  EXPECT_GE(world_.clock.monotonic_ms() - start_ms, 1'000);
  ASSERT_TRUE(world_.finish(second));
  EXPECT_EQ(second->result->failure, client::QueryFailure::Refused);
  EXPECT_EQ(second->result->error->code, ErrorCode::Busy);
  EXPECT_EQ(second->result->error->retry_after_ms, 1'000U);
  EXPECT_EQ(world_.agent->counters().refused, 3U);
}

TEST_F(BusyNode, ThatWantsALongerPauseThanTheUserIsNotAskedAgain) {
  test::TestClient& user = *world_.user;
  client::Asker hurried(user.offers, user.inference, world_.loop, world_.rng,
                        {.retry_ms = 20, .retry_after_ms_max = 500});
  client::AskCallbacks callbacks;
  std::optional<client::QueryResult> result;
  callbacks.on_end = [&](const client::QueryResult& ended) { result = ended; };
  hurried.ask("", "/v1/chat/completions", chat("y", true), callbacks);
  ASSERT_TRUE(world_.until([&] { return result.has_value(); }));
  EXPECT_EQ(result->failure, client::QueryFailure::Refused);
  EXPECT_EQ(world_.agent->counters().refused, 1U);
}

}  // namespace
}  // namespace nostril::node
