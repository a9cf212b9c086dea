#include "client/channel_store.h"
#include "events/kinds.h"
#include "schnorr/hash.h"
#include "settlement/price.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::Answer;
using test::chat;
using test::EngineAnswer;
using test::plain_answer;
using test::refusal;
using test::stream_answer;
using test::World;

Digest hash_of(const std::string& text) {
  return sha256(as_bytes(text));
}

/// The receipts and records of both sides, by the channel that `record` names.
struct Books {
  std::vector<Event> node_records, node_receipts, user_records, user_receipts;
};

Books books_of(World& world, const ChannelId& channel) {
  return {client::all_records(*world.node_journal, channel, 100),
          client::all_receipts(*world.node_journal, channel, 100),
          client::all_records(*world.user->journal, channel, 100),
          client::all_receipts(*world.user->journal, channel, 100)};
}

TEST(AgentAnswers, AStreamByteForByteWithRecordAndReceiptOnBothSides) {
  World world;
  const EngineAnswer scripted = stream_answer({"Hel", "lo", " \"wörld\"\n"}, {12, 4, 3});
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const std::string body = chat("say hello", true);
  const auto answer = world.query(body);
  ASSERT_TRUE(world.finish(answer));

  EXPECT_EQ(answer->body, scripted.body());
  ASSERT_TRUE(answer->head);
  EXPECT_EQ(answer->head->status, 200);
  EXPECT_EQ(answer->head->content_type, "text/event-stream");
  const client::QueryResult& result = *answer->result;
  ASSERT_TRUE(result.verified()) << result.detail;
  const ResponseRecord& record = *result.record;
  EXPECT_EQ(record.request_hash, hash_of(body));
  EXPECT_EQ(record.response_hash, hash_of(scripted.body()));
  EXPECT_EQ(record.usage, (Usage{12, 4, 3}));
  EXPECT_EQ(record.finish, "stop");
  EXPECT_EQ(record.node, world.offer()->offer().node);
  // 8 fresh tokens, 4 cached, 3 out: (8 * 100'000 + 4 * 50'000 + 3 * 400'000) / 10^6 = 2.2,
  // upwards.
  EXPECT_EQ(record.spent, Amount::of(3));
  EXPECT_EQ(record.cost, Amount::of(3));

  ASSERT_TRUE(result.receipt);
  ASSERT_TRUE(
      world.until([&] { return books_of(world, record.channel).node_receipts.size() == 1; }));
  const Books books = books_of(world, record.channel);
  ASSERT_EQ(books.node_records.size(), 1U);
  ASSERT_EQ(books.user_records.size(), 1U);
  ASSERT_EQ(books.user_receipts.size(), 1U);
  EXPECT_EQ(books.node_records[0].id, result.record_event->id);
  EXPECT_EQ(books.user_records[0].id, result.record_event->id);
  EXPECT_EQ(books.node_receipts[0].id, result.receipt->id);
  EXPECT_EQ(books.user_receipts[0].id, result.receipt->id);
  const auto receipt = parse_receipt(*result.receipt);
  ASSERT_TRUE(receipt);
  EXPECT_EQ(receipt->amount, Amount::of(3));
  EXPECT_EQ(world.engine.asked(), 1U);
  EXPECT_TRUE(world.fatal.empty());
}

TEST(AgentAnswers, ThatAreNoStream) {
  World world;
  const EngineAnswer scripted = plain_answer("Hello there", {20, 0, 2});
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("hi", false));
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_EQ(answer->head->content_type, "application/json");
  EXPECT_EQ(answer->result->record->usage, (Usage{20, 0, 2}));
}

TEST(AgentAnswers, LongOnesInManyFrames) {
  World world;
  std::vector<std::string> tokens;
  for (int i = 0; i < 3000; ++i) tokens.push_back("token " + std::to_string(i) + " ");
  const EngineAnswer scripted = stream_answer(tokens, {5, 0, 3000});
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("count", true));
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_GT(scripted.body().size(), 256U << 10) << "the test must pass the credit window";
}

TEST(AgentAnswers, LongPromptsArriveWhole) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  const std::string body = chat(std::string(100'000, 'x') + "end", false);
  const auto answer = world.query(body);
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_NE(world.engine.last_body().find("xxxend"), std::string::npos);
}

TEST(AgentAnswers, PassesTheEnginesRefusalThroughWithARecordThatCostsNothing) {
  for (const bool stream : {true, false}) {
    World world;
    const EngineAnswer scripted = refusal(400, "the context is full");
    world.engine.set_answer(scripted);
    ASSERT_TRUE(world.wait_for_offer());
    const auto answer = world.query(chat("too long", stream));
    ASSERT_TRUE(world.finish(answer));
    EXPECT_EQ(answer->body, scripted.body());
    ASSERT_TRUE(answer->head);
    EXPECT_EQ(answer->head->status, 400);
    EXPECT_EQ(answer->head->content_type, scripted.content_type);
    ASSERT_EQ(answer->result->failure, client::QueryFailure::None) << answer->result->detail;
    EXPECT_EQ(answer->result->record->status, RecordStatus::Error);
    EXPECT_TRUE(answer->result->record->cost.is_zero());
    EXPECT_FALSE(answer->result->receipt);
  }
}

TEST(AgentAnswers, ForgetsNothingBetweenQueriesOfOneChannel) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  world.engine.set_answer(plain_answer("a", {10, 0, 10}));  // 5 a piece
  std::optional<ChannelId> channel;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const auto answer = world.query(chat("again", false));
    ASSERT_TRUE(world.finish(answer));
    ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
    EXPECT_EQ(answer->result->record->n, i);
    EXPECT_EQ(answer->result->record->spent, Amount::of(5 * i));
    if (channel) {
      EXPECT_EQ(*channel, answer->result->record->channel);
    }
    channel = answer->result->record->channel;
  }
}

TEST(AgentAnswers, ManyAtATimeOverOneChannel) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  world.engine.set_script([&world](const net::HttpRequest& request) {
    EngineAnswer out = stream_answer({std::to_string(world.engine.asked()), "-", "b"}, {10, 0, 10});
    out.piece_ms = 1 + request.body.size() % 7;
    return out;
  });
  std::vector<std::shared_ptr<Answer>> answers;
  for (std::size_t i = 0; i < 12; ++i) {
    answers.push_back(world.query(chat(std::string(i, 'q'), true)));
  }
  for (const auto& answer : answers) {
    ASSERT_TRUE(world.finish(answer));
    EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  }
  std::uint64_t highest = 0;
  for (const auto& answer : answers) {
    if (answer->result->record) highest = std::max(highest, answer->result->record->n);
  }
  EXPECT_EQ(highest, 12U);
}

TEST(AgentAnswers, NoByteOfPromptOrAnswerIsSeenByTheRelay) {
  World world;
  world.engine.set_answer(stream_answer({"SECRET-ANSWER-7c1d"}, {10, 0, 1}));
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("SECRET-PROMPT-93ab", true));
  ASSERT_TRUE(world.finish(answer));
  ASSERT_NE(answer->body.find("SECRET-ANSWER-7c1d"), std::string::npos);
  const std::string& traffic = world.relay.received_text();
  EXPECT_GT(world.relay.seen_count(kinds::kFrame), 2U);
  for (const std::string word : {"SECRET", "7c1d\"", "PROMPT", "completions", "assistant"}) {
    EXPECT_EQ(traffic.find(word), std::string::npos) << word;
  }
  // Nor the payer: receipts and records travel inside frames.
  EXPECT_EQ(world.relay.seen_count(kinds::kReceipt), 0U);
  EXPECT_EQ(world.relay.seen_count(kinds::kRecord), 0U);
  for (const Event& event : world.relay.seen()) {
    EXPECT_NE(event.pubkey, world.user->wallet.signer());
  }
}

TEST(AgentAnswers, RefusesPathsAndModelsThatItDoesNotOffer) {
  World world;
  ASSERT_TRUE(world.wait_for_offer());
  const auto wrong_model = world.query(R"({"model":"other","messages":[]})");
  ASSERT_TRUE(world.finish(wrong_model));
  EXPECT_EQ(wrong_model->result->failure, client::QueryFailure::Refused);
  const auto no_json = world.query("{");
  ASSERT_TRUE(world.finish(no_json));
  EXPECT_EQ(no_json->result->failure, client::QueryFailure::Refused);
  EXPECT_EQ(world.engine.asked(), 0U);
}

}  // namespace
}  // namespace nostril::node
