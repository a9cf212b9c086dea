// What sessions promise beyond one answer over one good relay: loss, quiet, pick-up, the same
// request again.
#include "client/pickup.h"
#include "events/kinds.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace nostril::node {
namespace {

using client::PickedUp;
using client::Pickup;
using client::PickupStore;
using test::Answer;
using test::chat;
using test::EngineAnswer;
using test::stream_answer;
using test::World;

EngineAnswer short_stream() {
  return stream_answer(std::vector<std::string>(60, "token "), {10, 0, 60});
}

EngineAnswer slow_stream() {
  EngineAnswer out = stream_answer(std::vector<std::string>(300, "token "), {10, 0, 300});
  out.piece_ms = 5;
  return out;
}

TEST(AgentSessions, LargeEmbeddingsAreExactThoughATenthOfFramesIsLostDoubledAndLate) {
  World world;
  EngineAnswer numbers;
  numbers.content_type = "application/json";
  std::string body = R"({"data":[{"embedding":[)";
  for (int i = 0; i < 40'000; ++i) body += std::to_string(i * 7919 % 100'003) + "e-5,";
  body += R"(0]}],"usage":{"prompt_tokens":8}})";
  numbers.pieces = {body};
  world.engine.set_answer(numbers);
  ASSERT_TRUE(world.wait_for_offer());
  world.relay.set_faults({.drop_every = 10, .duplicate_every = 9, .reorder_every = 11});
  const std::string request =
      R"({"model":"test-model","input":")" + std::string(150'000, 'i') + "\"}";
  const auto answer = world.query(request, std::nullopt, nullptr, "/v1/embeddings");
  ASSERT_TRUE(world.finish(answer, 60'000));
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_TRUE(answer->body == body);
  EXPECT_NE(world.engine.last_body().find(std::string(150'000, 'i')), std::string::npos);
}

TEST(AgentSessions, AQuietAnswerIsSeenAsFramesOfOneSizeOnly) {
  World world;
  world.engine.set_answer(short_stream());
  ASSERT_TRUE(world.wait_for_offer());
  const std::size_t before = world.relay.seen().size();
  const auto answer = std::make_shared<Answer>();
  client::QueryCallbacks callbacks;
  callbacks.on_data = [answer](ByteSpan bytes) { answer->body += as_text(bytes); };
  callbacks.on_end = [answer](const client::QueryResult& result) { answer->result = result; };
  client::QueryRequest asked;
  asked.path = "/v1/chat/completions";
  asked.body = chat("x", true);
  asked.options.quiet = true;
  world.user->inference.start(world.offer(), std::move(asked), std::move(callbacks));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, short_stream().body());
  std::map<PublicKey, std::size_t> first;
  std::set<std::size_t> sizes;
  std::size_t frames = 0;
  for (std::size_t i = before; i < world.relay.seen().size(); ++i) {
    const Event& event = world.relay.seen()[i];
    if (event.kind != kinds::kFrame || first.emplace(event.pubkey, i).second) continue;
    sizes.insert(event.content.size());
    ++frames;
  }
  EXPECT_GE(frames, 6U);
  EXPECT_EQ(sizes.size(), 1U);
}

/// A node that was killed leaves its offer behind; waits for its successor's.
bool wait_for_offer_but(World& world, const PublicKey& old_key) {
  return world.until(
      [&] { return world.offer() && world.offer()->offer().encryption_key != old_key; });
}

/// A durable request whose client goes away in the middle; its answer, later.
class PickUp : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(world_.wait_for_offer()); }

  /// Hands a request over and loses the client.
  void leave() {
    world_.engine.set_answer(slow_stream());
    world_.user->inference.keep_pending_in(store_);
    bool delivered = false;
    client::QueryCallbacks callbacks;
    callbacks.on_delivered = [&] { delivered = true; };
    client::QueryRequest asked;
    asked.path = "/v1/chat/completions";
    asked.body = chat("x", true);
    asked.options.durable = true;
    world_.user->inference.start(world_.offer(), std::move(asked), std::move(callbacks));
    ASSERT_TRUE(world_.until([&] { return delivered; }));
    world_.stop_client();
    ASSERT_EQ(store_.all().size(), 1U);
  }

  bool wait_for_stored() {
    return world_.until([&] { return stored() >= 2; });
  }

  std::size_t stored() {
    return static_cast<std::size_t>(std::ranges::count_if(
        world_.relay.stored(),
        [](const Event& event) { return event.kind == kinds::kStoredFrame; }));
  }

  std::optional<PickedUp> pick_up(const client::PickupTimes& times = {}) {
    std::optional<PickedUp> out;
    auto pending = store_.all();
    const auto pickup = std::make_shared<Pickup>(
        world_.user->pool, world_.user->wallet, world_.user->offers, world_.user->inference,
        world_.loop, world_.clock, std::move(pending.at(0)),
        [&](const PickedUp& got) { out = got; }, times);
    pickup->start();
    EXPECT_TRUE(world_.until([&] { return out.has_value(); }));
    return out;
  }

  World world_{[](NodeConfig& config) { config.limits.client_lost_s = 1; }};
  PickupStore store_{world_.folder.path() / "pickup"};
};

TEST_F(PickUp, AnAnswerFinishesWithoutItsClientAndIsChargedOnce) {
  leave();
  ASSERT_TRUE(wait_for_stored());
  world_.start_client();
  ASSERT_TRUE(world_.wait_for_offer());
  for (int round = 0; round < 2; ++round) {
    const auto got = pick_up();
    ASSERT_TRUE(got);
    ASSERT_EQ(got->result.failure, client::QueryFailure::None) << got->result.detail;
    EXPECT_TRUE(got->stored);
    EXPECT_TRUE(got->receipt_delivered);
    EXPECT_EQ(got->body, slow_stream().body());
    EXPECT_EQ(got->result.record->n, 1U);
  }
  EXPECT_EQ(world_.engine.asked(), 1U);
}

TEST_F(PickUp, WhatTheRelayLostTheNodeStillHasAlsoAfterARestart) {
  leave();
  ASSERT_TRUE(wait_for_stored());
  world_.relay.forget_stored();
  world_.stop_node();
  world_.start_node();
  world_.start_client();
  ASSERT_TRUE(wait_for_offer_but(world_, store_.all().front().offer.encryption_key));
  const auto got = pick_up();
  ASSERT_TRUE(got);
  ASSERT_EQ(got->result.failure, client::QueryFailure::None) << got->result.detail;
  EXPECT_FALSE(got->stored);
  EXPECT_EQ(got->body, slow_stream().body());
  EXPECT_EQ(world_.engine.asked(), 1U);
}

TEST_F(PickUp, WhatNodeAndRelayHaveForgottenIsNotMadeAndChargedAnew) {
  leave();
  ASSERT_TRUE(wait_for_stored());
  world_.relay.forget_stored();
  const auto channel = [this] {
    std::vector<std::string> rows;
    world_.node_journal->scan(client::JournalTable::Channels, {}, [&](ByteSpan, ByteSpan row) {
      rows.emplace_back(as_text(row));
      return true;
    });
    return rows;
  };
  const auto charged = channel();
  world_.stop_node();
  world_.clock.set_date(world_.clock.unix_s() + world_.config.limits.answers_kept_s + 60);
  world_.start_node();
  world_.start_client();
  ASSERT_TRUE(wait_for_offer_but(world_, store_.all().front().offer.encryption_key));
  const auto got = pick_up({.stored_ms_max = 100, .offer_ms_max = 5'000});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->result.failure, client::QueryFailure::Refused);
  ASSERT_TRUE(got->result.error);
  EXPECT_EQ(got->result.error->code, ErrorCode::NotFound);
  EXPECT_FALSE(got->result.error->retryable);
  EXPECT_EQ(got->body, "");
  EXPECT_EQ(world_.engine.asked(), 1U);
  EXPECT_EQ(channel(), charged);
}

TEST_F(PickUp, WithoutTheNodeTheAnswerIsThereAndItsReceiptIsNotDelivered) {
  leave();
  ASSERT_TRUE(wait_for_stored());
  world_.stop_node();
  world_.start_client();
  const auto got = pick_up({.stored_ms_max = 1'000, .offer_ms_max = 300});
  ASSERT_TRUE(got);
  ASSERT_EQ(got->result.failure, client::QueryFailure::None) << got->result.detail;
  EXPECT_TRUE(got->stored);
  EXPECT_FALSE(got->receipt_delivered);
  EXPECT_EQ(got->body, slow_stream().body());
}

TEST_F(PickUp, BeforeItIsFinishedTheNodeSaysSo) {
  leave();
  world_.start_client();
  ASSERT_TRUE(world_.wait_for_offer());
  const auto got = pick_up({.stored_ms_max = 100, .offer_ms_max = 300});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->result.failure, client::QueryFailure::Refused);
  EXPECT_EQ(got->result.error->code, ErrorCode::Busy);
  EXPECT_TRUE(wait_for_stored()) << "asking does not disturb it";
}

TEST_F(PickUp, AnAnswerThatItsClientHasIsNotStored) {
  world_.engine.set_answer(short_stream());
  world_.user->inference.keep_pending_in(store_);
  const auto answer = std::make_shared<Answer>();
  client::QueryCallbacks callbacks;
  callbacks.on_end = [answer](const client::QueryResult& result) { answer->result = result; };
  client::QueryRequest asked;
  asked.path = "/v1/chat/completions";
  asked.body = chat("x", true);
  asked.options.durable = true;
  world_.user->inference.start(world_.offer(), std::move(asked), std::move(callbacks));
  ASSERT_TRUE(world_.finish(answer));
  EXPECT_TRUE(answer->result->verified());
  EXPECT_TRUE(store_.all().empty());
  test::run_for(world_.loop, 6'000);
  EXPECT_EQ(stored(), 0U);
  bool any = false;
  world_.node_journal->scan(client::JournalTable::StoredFrames, {}, [&](ByteSpan, ByteSpan) {
    any = true;
    return false;
  });
  EXPECT_FALSE(any);
}

TEST(AgentSessions, WhatWasChargedInPartIsNotMadeAgainWhenTheNodeIsKilledInTheMiddle) {
  World world([](NodeConfig& config) { config.offer.credit = 20; });
  world.engine.set_answer(slow_stream());
  ASSERT_TRUE(world.wait_for_offer());
  const PublicKey old_key = world.offer()->offer().encryption_key;
  RequestId id;
  id.bytes.fill(7);
  const auto first = world.query(chat("x", true), id);
  const auto partly_charged = [&] {
    bool any = false;
    world.node_journal->scan(client::JournalTable::Answers, {}, [&](ByteSpan, ByteSpan) {
      any = true;
      return false;
    });
    return any;
  };
  ASSERT_TRUE(world.until(partly_charged));
  EXPECT_FALSE(first->ended());
  world.stop_node();  // without a word
  world.stop_client();
  test::run_for(world.loop, 1'100);  // an offer of the same second may lose against its predecessor
  world.start_node();
  world.start_client();
  ASSERT_TRUE(wait_for_offer_but(world, old_key));
  const auto again = world.query(chat("x", true), id);
  ASSERT_TRUE(world.finish(again));
  EXPECT_EQ(again->result->failure, client::QueryFailure::Refused);
  EXPECT_EQ(again->result->error->code, ErrorCode::NotFound);
  EXPECT_EQ(world.engine.asked(), 1U);
}

}  // namespace
}  // namespace nostril::node
