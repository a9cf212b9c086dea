// Encryption keys come and go under a node that serves on; its date is set forward by the tests.
#include "base/hex.h"
#include "events/kinds.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::chat;
using test::World;
using OfferPtr = std::shared_ptr<const client::VerifiedOffer>;

class AgentKeys : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.wait_for_offer());
    old_ = world_.offer();
  }

  /// Half of the key's life is over; waits for the offer of the next one.
  OfferPtr next_offer() {
    world_.clock.set_date(old_->offer().created_at + world_.config.limits.key_life_s / 2 + 1);
    OfferPtr next;
    EXPECT_TRUE(world_.until([&] {
      next = world_.offer();
      return next && next->offer().encryption_key != old_->offer().encryption_key;
    }));
    return next;
  }

  World world_;
  OfferPtr old_;
};

TEST_F(AgentKeys, TheNextOfferIsOutLongBeforeTheOldKeyEnds) {
  const OfferPtr next = next_offer();
  const Offer& offer = next->offer();
  EXPECT_EQ(offer.node, old_->offer().node);
  EXPECT_LT(offer.created_at + 1'000, old_->offer().expires_at);
  EXPECT_GT(offer.encryption_key_expires_at, old_->offer().encryption_key_expires_at);
  EXPECT_LT(old_->offer().expires_at, old_->offer().encryption_key_expires_at);
  EXPECT_LE(old_->offer().encryption_key_expires_at - old_->offer().created_at, 3'600);
}

TEST_F(AgentKeys, BothAreAnsweredWhileTheyOverlap) {
  const OfferPtr next = next_offer();
  for (const OfferPtr& offer : {old_, next}) {
    const auto answer = world_.query(chat("x", false), std::nullopt, offer);
    ASSERT_TRUE(world_.finish(answer));
    EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
    EXPECT_EQ(answer->result->record->offer, offer->offer().id);
  }
}

TEST_F(AgentKeys, WhoComesAfterTheOffersEndIsToldAndServedUnderTheNext) {
  const OfferPtr next = next_offer();
  world_.clock.set_date(old_->offer().expires_at + 1);
  const auto late = world_.query(chat("x", false), std::nullopt, old_);
  ASSERT_TRUE(world_.finish(late));
  EXPECT_EQ(late->result->failure, client::QueryFailure::Refused);
  ASSERT_TRUE(late->result->error);
  EXPECT_EQ(late->result->error->code, ErrorCode::KeyExpired);
  EXPECT_TRUE(late->result->error->retryable);
  EXPECT_EQ(world_.engine.asked(), 0U);
  const auto again = world_.ask(chat("x", false));
  ASSERT_TRUE(world_.finish(again));
  ASSERT_TRUE(again->result->verified()) << again->result->detail;
  EXPECT_EQ(again->result->record->offer, next->offer().id);
}

TEST_F(AgentKeys, AnErasedKeyOpensNothingAndNobodyListensToIt) {
  next_offer();
  world_.clock.set_date(old_->offer().encryption_key_expires_at);
  const std::string address = encode_hex(old_->offer().encryption_key);
  // The node's next look at its keys takes the old one out of its subscription.
  ASSERT_TRUE(world_.until([&] {
    const std::string& text = world_.relay.received_text();
    const std::size_t last = text.rfind("\"REQ\"");
    return last != std::string::npos && text.find(address, last) == std::string::npos;
  }));
  const auto late = world_.query(chat("x", false), std::nullopt, old_);
  ASSERT_TRUE(world_.finish(late));
  EXPECT_EQ(late->result->failure, client::QueryFailure::NobodyListens);
  EXPECT_EQ(world_.agent->counters().first_frames, 0U);
  EXPECT_EQ(world_.engine.asked(), 0U);
}

TEST_F(AgentKeys, AnAnswerUnderWayOutlivesTheKeyThatOpenedIt) {
  std::vector<std::string> tokens(400, "token ");
  test::EngineAnswer slow = test::stream_answer(tokens, {10, 0, 400});
  slow.piece_ms = 5;
  world_.engine.set_answer(slow);
  const auto answer = world_.query(chat("x", true));
  ASSERT_TRUE(world_.until([&] { return answer->body.size() > 1'000; }));
  next_offer();
  world_.clock.set_date(old_->offer().encryption_key_expires_at + 1);
  ASSERT_TRUE(world_.finish(answer));
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, slow.body());
}

}  // namespace
}  // namespace nostril::node
