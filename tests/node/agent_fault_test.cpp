#include "client/channel_store.h"
#include "events/kinds.h"
#include "settlement/usage_limit.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::Answer;
using test::chat;
using test::EngineAnswer;
using test::plain_answer;
using test::stream_answer;
using test::TestRelay;
using test::World;

std::vector<std::string> many_tokens(int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.push_back("token " + std::to_string(i) + " ");
  return out;
}

/// A stream that takes about `count` milliseconds.
EngineAnswer slow_stream(int count) {
  EngineAnswer out = stream_answer(many_tokens(count), {10, 0, count});
  out.piece_ms = 1;
  return out;
}

RequestId request_id(std::uint8_t value) {
  RequestId out;
  out.bytes.fill(value);
  return out;
}

TEST(AgentFaults, AnEngineCutInMidStreamIsToldAndOnlyWhatCameIsCharged) {
  World world;
  EngineAnswer scripted = stream_answer({"a", "b", "c"}, {10, 0, 3});
  scripted.pieces.resize(3);  // head, "a", "b"
  scripted.end = EngineAnswer::End::Cut;
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->body, scripted.body());
  const client::QueryResult& result = *answer->result;
  ASSERT_EQ(result.failure, client::QueryFailure::None) << result.detail;
  EXPECT_FALSE(result.verified());
  EXPECT_EQ(result.record->status, RecordStatus::EngineDied);
  EXPECT_EQ(result.record->usage, (Usage{0, 0, 2}));
  EXPECT_EQ(result.record->cost, Amount::of(1));  // 0.8, upwards
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, ErrorCode::EngineDied);
}

TEST(AgentFaults, AnErrorInsideAStreamIsNoGoodAnswer) {
  World world;
  EngineAnswer scripted = stream_answer({"a"}, {10, 0, 1});
  scripted.pieces = {scripted.pieces[0], scripted.pieces[1],
                     "data: {\"error\":{\"message\":\"out of memory\"}}\n\n", "data: [DONE]\n\n"};
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_EQ(answer->result->record->status, RecordStatus::EngineDied);
}

TEST(AgentFaults, AStreamWithoutDoneIsNoGoodAnswer) {
  World world;
  EngineAnswer scripted = stream_answer({"a"}, {10, 0, 1});
  scripted.pieces.pop_back();
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->result->record->status, RecordStatus::EngineDied);
}

TEST(AgentFaults, AnEngineOfAbsurdCountsAndWordsIsBookedWithinTheOffersLimits) {
  World world;
  EngineAnswer scripted;
  scripted.content_type = "text/event-stream";
  scripted.pieces = {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"" +
                         std::string(500, 'f') + "\"}]}\n\n",
                     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9223372036854775807,"
                     "\"completion_tokens\":-5,\"prompt_tokens_details\":{\"cached_tokens\":"
                     "9223372036854775807}}}\n\n",
                     "data: [DONE]\n\n"};
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const std::string body = chat("x", true);
  const auto answer = world.query(body);
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->record) << answer->result->detail;
  EXPECT_EQ(answer->result->failure, client::QueryFailure::None) << answer->result->detail;
  EXPECT_TRUE(answer->result->receipt);
  EXPECT_EQ(answer->result->record->finish, "other");
  const Offer& offer = world.user->offers.usable().front()->offer();
  EXPECT_EQ(answer->result->record->usage.input, settlement::usage_max(offer, body).input);
}

TEST(AgentFaults, AnEngineThatCanNotBeReachedRefusesWithoutARecord) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  world.engine.go_away();
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::Refused);
  ASSERT_TRUE(answer->result->error);
  EXPECT_EQ(answer->result->error->code, ErrorCode::EngineRefused);
  EXPECT_FALSE(answer->result->record);
}

TEST(AgentFaults, CancelStopsTheEngineAndStillBringsARecord) {
  World world;
  world.engine.set_answer(slow_stream(20'000));
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.until([&] { return answer->body.size() > 1000; }));
  world.user->inference.cancel(answer->id, "enough");
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::None) << answer->result->detail;
  EXPECT_EQ(answer->result->record->status, RecordStatus::Cancelled);
  EXPECT_GT(answer->result->record->usage.output, 0U);
  EXPECT_TRUE(world.until([&] { return world.engine.aborted() == 1; }));
  EXPECT_EQ(world.engine.running(), 0U);
}

TEST(AgentFaults, CancelOfAWaitingRequestNeverReachesTheEngine) {
  World world([](NodeConfig& config) { config.limits.running_max = 1; });
  world.engine.set_answer(slow_stream(20'000));
  ASSERT_TRUE(world.wait_for_offer());
  const auto first = world.query(chat("x", true));
  ASSERT_TRUE(world.until([&] { return !first->body.empty(); }));
  const auto second = world.query(chat("y", true));
  test::run_for(world.loop, 200);
  world.user->inference.cancel(second->id, "enough");
  ASSERT_TRUE(world.finish(second));
  EXPECT_EQ(second->result->record->status, RecordStatus::Cancelled) << second->result->detail;
  EXPECT_EQ(world.engine.asked(), 1U);
  world.user->inference.cancel(first->id, "enough");
  ASSERT_TRUE(world.finish(first));
}

TEST(AgentFaults, AClientThatVanishesStopsTheEngine) {
  World world([](NodeConfig& config) { config.limits.client_lost_s = 1; });
  world.engine.set_answer(slow_stream(20'000));
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.until([&] { return answer->body.size() > 500; }));
  world.stop_client();
  EXPECT_TRUE(world.until([&] { return world.engine.aborted() == 1; }, 8'000));
}

TEST(AgentFaults, TheSameRequestIdGetsTheSameAnswerAndIsChargedOnce) {
  World world;
  const EngineAnswer scripted = stream_answer({"one", "two"}, {10, 0, 10});
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const std::string body = chat("x", true);
  const auto first = world.query(body, request_id(7));
  ASSERT_TRUE(world.finish(first));
  ASSERT_TRUE(first->result->verified()) << first->result->detail;
  world.engine.set_answer(stream_answer({"something", "else"}, {10, 0, 10}));
  const auto second = world.query(body, request_id(7));
  ASSERT_TRUE(world.finish(second));
  ASSERT_TRUE(second->result->verified()) << second->result->detail;
  EXPECT_EQ(second->body, scripted.body());
  EXPECT_EQ(second->result->record_event->id, first->result->record_event->id);
  EXPECT_EQ(second->result->receipt->id, first->result->receipt->id);
  EXPECT_EQ(world.engine.asked(), 1U);
  // Another body under that id is no repetition.
  const auto other = world.query(chat("y", true), request_id(7));
  ASSERT_TRUE(world.finish(other));
  EXPECT_EQ(other->result->failure, client::QueryFailure::Refused);
  EXPECT_EQ(world.engine.asked(), 1U);
}

TEST(AgentFaults, TheSameRequestIdAfterARestartOfTheNode) {
  World world;
  const EngineAnswer scripted = plain_answer("the answer", {10, 0, 10});
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto old_offer = world.offer();
  const std::string body = chat("x", false);
  const auto first = world.query(body, request_id(9));
  ASSERT_TRUE(world.finish(first));
  ASSERT_TRUE(first->result->verified()) << first->result->detail;

  world.stop_node();
  test::run_for(world.loop, 1100);  // offers of one second can't replace each other
  world.start_node();
  ASSERT_TRUE(world.until([&] {
    const auto now = world.offer();
    return now && now->offer().id != old_offer->offer().id;
  }));
  EXPECT_EQ(world.offer()->offer().node, old_offer->offer().node);
  EXPECT_NE(world.offer()->offer().encryption_key, old_offer->offer().encryption_key);

  const auto second = std::make_shared<Answer>();
  client::QueryRequest again;
  again.path = "/v1/chat/completions";
  again.body = body;
  again.request = request_id(9);
  again.earlier_offers = {old_offer->offer()};
  client::QueryCallbacks callbacks;
  callbacks.on_data = [second](ByteSpan bytes) { second->body += as_text(bytes); };
  callbacks.on_end = [second](const client::QueryResult& result) { second->result = result; };
  world.user->inference.start(world.offer(), again, callbacks);
  ASSERT_TRUE(world.finish(second));
  ASSERT_TRUE(second->result->verified()) << second->result->detail;
  EXPECT_EQ(second->body, scripted.body());
  EXPECT_EQ(second->result->record_event->id, first->result->record_event->id);
  EXPECT_EQ(world.engine.asked(), 1U);

  // The channel goes on where it was.
  const auto third = world.query(body);
  ASSERT_TRUE(world.finish(third));
  ASSERT_TRUE(third->result->verified()) << third->result->detail;
  EXPECT_EQ(third->result->record->n, 2U);
  EXPECT_EQ(third->result->record->spent, Amount::of(10));
}

TEST(AgentFaults, TheClientsBooksSurviveItsRestart) {
  World world;
  world.engine.set_answer(plain_answer("a", {10, 0, 10}));
  ASSERT_TRUE(world.wait_for_offer());
  const auto first = world.query(chat("x", false));
  ASSERT_TRUE(world.finish(first));
  ASSERT_TRUE(first->result->verified());
  world.stop_client();
  world.start_client();
  ASSERT_TRUE(world.wait_for_offer());
  const auto second = world.query(chat("x", false));
  ASSERT_TRUE(world.finish(second));
  ASSERT_TRUE(second->result->verified()) << second->result->detail;
  EXPECT_EQ(second->result->record->channel, first->result->record->channel);
  EXPECT_EQ(second->result->record->n, 2U);
  EXPECT_EQ(second->result->record->spent, Amount::of(10));
}

TEST(AgentFaults, AnAnswerLostWithItsClientDoesNotBlockTheNext) {
  World world([](NodeConfig& config) { config.limits.client_lost_s = 1; });
  world.engine.set_answer(slow_stream(20'000));
  ASSERT_TRUE(world.wait_for_offer());
  const auto lost = world.query(chat("x", true));
  ASSERT_TRUE(world.until([&] { return !lost->body.empty(); }));
  world.stop_client();  // as a crash: the record of this answer reaches nobody
  ASSERT_TRUE(world.until([&] { return world.engine.aborted() == 1; }, 8'000));
  world.engine.set_answer(plain_answer("a", {10, 0, 10}));
  world.start_client();
  ASSERT_TRUE(world.wait_for_offer());
  const auto next = world.query(chat("y", false));
  ASSERT_TRUE(world.finish(next)) << "asked " << world.engine.asked() << ", frames "
                                  << world.relay.seen_count(kinds::kFrame) << ", received "
                                  << next->body.size() << " bytes";
  EXPECT_TRUE(next->result->verified()) << next->result->detail;
}

TEST(AgentFaults, WithLittleCreditALongAnswerGoesOnReceiptByReceipt) {
  World world([](NodeConfig& config) {
    config.offer.credit = 2;
    config.offer.output_price = 100'000;  // ten tokens a unit
  });
  EngineAnswer scripted = stream_answer(many_tokens(100), {0, 0, 100});
  scripted.piece_ms = 1;
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_EQ(answer->result->record->spent, Amount::of(10));
  EXPECT_GT(answer->result->record->n, 2U) << "no receipt was asked for on the way";
  const auto receipts =
      client::all_receipts(*world.user->journal, answer->result->record->channel, 100);
  EXPECT_GT(receipts.size(), 2U);
}

TEST(AgentFaults, AClientWithoutBudgetIsStoppedAndNotServedAgain) {
  World world([](NodeConfig& config) {
    config.offer.credit = 5'000'000;
    config.offer.output_price = 4'000'000'000'000;  // four million units a token: over the budget
    config.limits.receipt_wait_s = 1;
  });
  world.engine.set_answer(slow_stream(1'000));
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::NotPayable);
  EXPECT_FALSE(answer->result->receipt);
  EXPECT_TRUE(world.until([&] { return world.engine.aborted() == 1; }, 8'000));
  EXPECT_TRUE(
      client::all_receipts(*world.user->journal, answer->result->record->channel, 9).empty());
}

TEST(AgentFaults, ARelayLostInMidStreamCostsNothing) {
  World world;
  const EngineAnswer scripted = slow_stream(1'500);
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(
        world.until([&] { return answer->body.size() > static_cast<std::size_t>(i) * 20'000; }));
    world.relay.drop_connections();
  }
  ASSERT_TRUE(world.finish(answer, 40'000));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_EQ(world.engine.asked(), 1U);
}

TEST(AgentFaults, FramesLostDoubledAndReorderedAreMended) {
  for (const TestRelay::Faults& faults :
       {TestRelay::Faults{.drop_every = 3}, TestRelay::Faults{.duplicate_every = 2},
        TestRelay::Faults{.reorder_every = 2},
        TestRelay::Faults{.drop_every = 5, .duplicate_every = 3, .reorder_every = 4}}) {
    World world;
    std::vector<std::string> tokens = many_tokens(800);
    const EngineAnswer scripted = stream_answer(tokens, {10, 0, 800});
    world.engine.set_answer(scripted);
    ASSERT_TRUE(world.wait_for_offer());
    world.relay.set_faults(faults);
    const auto answer = world.query(chat(std::string(30'000, 'p'), true));
    ASSERT_TRUE(world.finish(answer, 60'000));
    ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
    EXPECT_EQ(answer->body, scripted.body());
    EXPECT_EQ(world.engine.asked(), 1U);
  }
}

TEST(AgentFaults, TheOfferGoesWithTheEngineAndComesBackWithIt) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  world.engine.go_away();
  ASSERT_TRUE(world.until([&] { return world.offer() == nullptr; }, 15'000));
  EXPECT_EQ(world.relay.seen_count(kinds::kDeletion), 1U);
  world.engine.come_back();
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", false));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
}

TEST(AgentFaults, AnOfferReachesARelayThatWasAwayAtTheStartOrLostItsStore) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  world.relay.go_away();
  world.relay.forget_stored();
  world.stop_client();
  test::run_for(world.loop, 100);
  world.relay.come_back();
  ASSERT_TRUE(world.until([&] { return world.relay.stored().size() == 2; }));
  world.start_client();
  EXPECT_TRUE(world.wait_for_offer());
}

TEST(AgentFaults, FinishedSessionsMakeRoom) {
  World world([](NodeConfig& config) { config.limits.sessions_max = 2; });
  ASSERT_TRUE(world.wait_for_offer());
  for (int i = 0; i < 6; ++i) {
    const auto answer = world.query(chat("x", false));
    ASSERT_TRUE(world.finish(answer));
    EXPECT_TRUE(answer->result->verified()) << i << ": " << answer->result->detail;
  }
}

TEST(AgentFaults, ACleanStopWithdrawsTheOffer) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  bool stopped = false;
  world.agent->stop([&] { stopped = true; });
  ASSERT_TRUE(world.until([&] { return stopped; }));
  EXPECT_TRUE(world.until([&] { return world.offer() == nullptr; }));
  EXPECT_TRUE(world.until([&] {
    return std::ranges::none_of(world.relay.stored(),
                                [](const Event& event) { return event.kind == kinds::kOffer; });
  }));
}

TEST(AgentFaults, AStopInMidStreamEndsTheAnswerWithARecord) {
  World world;
  world.engine.set_answer(slow_stream(20'000));
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.until([&] { return answer->body.size() > 500; }));
  world.agent->stop([] {});
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->record) << answer->result->detail;
  EXPECT_EQ(answer->result->record->status, RecordStatus::EngineDied);
}

}  // namespace
}  // namespace nostril::node
