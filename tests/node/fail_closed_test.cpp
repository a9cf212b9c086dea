// What a client must never do: send anything to a node that has not proven itself, pay a record
// that is wrong.
#include "attestation/pack.h"
#include "base/hex.h"
#include "events/kinds.h"
#include "events/node_session.h"
#include "schnorr/hash.h"
#include "settlement/channel.h"
#include "tests/support/hand_made_node.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::Answer;
using test::chat;
using test::HandMadeNode;
using test::World;

TEST(FailClosed, WithoutATestRootNothingIsSentAndTheReasonNamesSimulatedEvidence) {
  World world({}, test::default_trust());
  ASSERT_TRUE(world.until([&] { return !world.user->offers.rejected().empty(); }));
  const auto answer = world.ask(chat("SECRET", true));
  ASSERT_TRUE(world.finish(answer));
  EXPECT_EQ(answer->result->failure, client::QueryFailure::NoAnswer);
  EXPECT_NE(answer->result->detail.find("simulated"), std::string::npos) << answer->result->detail;
  test::run_for(world.loop, 200);
  EXPECT_EQ(world.relay.seen_count(kinds::kFrame), 0U);
  EXPECT_EQ(world.relay.received_text().find("SECRET"), std::string::npos);
}

/// A client that meets only what the test signs: no agent runs.
class Tampered : public ::testing::Test {
 protected:
  Tampered() : world_([](NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; }) {
    node_ = std::make_unique<HandMadeNode>(world_.relay.url());
    attestation_ = node_->attestation_of(node_->statement);
    node_->offer.attestation = attestation_.digest;
  }

  void publish_attestation(const AttestationEvent& attestation) {
    world_.relay.inject(sign_event(build_attestation(attestation), node_->identity, node_->rng));
  }

  void publish_offer(const Offer& offer) {
    world_.relay.inject(sign_event(build_offer(offer), node_->identity, node_->rng));
  }

  /// Nothing is usable, and an ask sends no frame.
  void expect_refused(const std::string& reason) {
    ASSERT_TRUE(world_.until([&] { return !world_.user->offers.rejected().empty(); }));
    EXPECT_TRUE(world_.user->offers.usable().empty());
    EXPECT_NE(world_.user->offers.rejected().front().reason.find(reason), std::string::npos)
        << world_.user->offers.rejected().front().reason;
    const auto answer = world_.ask(chat("SECRET", true));
    ASSERT_TRUE(world_.finish(answer));
    EXPECT_EQ(answer->result->failure, client::QueryFailure::NoAnswer);
    EXPECT_EQ(world_.relay.seen_count(kinds::kFrame), 0U);
  }

  World world_;
  std::unique_ptr<HandMadeNode> node_;
  AttestationEvent attestation_;
};

TEST_F(Tampered, TheHandMadeOfferIsGoodWhenNothingIsWrong) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_attestation(attestation_);
  publish_offer(node_->offer);
  EXPECT_TRUE(world_.wait_for_offer());
}

TEST_F(Tampered, AnotherEncryptionKeyIsRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_attestation(attestation_);
  node_->offer.encryption_key = Keypair::generate(node_->rng).public_key();
  publish_offer(node_->offer);
  expect_refused("name different keys");
}

TEST_F(Tampered, ALongerLifeOfTheKeyIsRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_attestation(attestation_);
  node_->offer.encryption_key_expires_at += 1;
  publish_offer(node_->offer);
  expect_refused("name different keys");
}

TEST_F(Tampered, OtherWeightsAreRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_attestation(attestation_);
  node_->offer.weights = sha256(as_bytes("other weights"));
  publish_offer(node_->offer);
  expect_refused("weights");
}

TEST_F(Tampered, WeightsThatOnlyTheAttestationClaimsAreRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_attestation(attestation_);
  node_->offer.weights.reset();
  publish_offer(node_->offer);
  expect_refused("weights");
}

TEST_F(Tampered, AnotherNodesAttestationIsRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  const Keypair thief = Keypair::generate(node_->rng);
  publish_attestation(attestation_);
  Offer stolen = node_->offer;
  stolen.node = thief.public_key();
  world_.relay.inject(sign_event(build_offer(stolen), thief, node_->rng));
  expect_refused("attestation");
  // Nor when the thief publishes the stolen evidence as its own.
  AttestationEvent copied = attestation_;
  copied.node = thief.public_key();
  world_.relay.inject(sign_event(build_attestation(copied), thief, node_->rng));
  test::run_for(world_.loop, 200);
  expect_refused("name different keys");
}

TEST_F(Tampered, EvidenceOfAnotherStatementIsRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  attestation::Statement other = node_->statement;
  other.nonce[0] ^= 1;
  attestation_.evidence = node_->attestation_of(other).evidence;
  publish_attestation(attestation_);
  publish_offer(node_->offer);
  expect_refused("");
}

TEST_F(Tampered, GarbageForEvidenceIsRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  attestation_.evidence = "AAAA";
  publish_attestation(attestation_);
  publish_offer(node_->offer);
  expect_refused("evidence");
}

TEST_F(Tampered, AnOfferWithoutAttestationIsRefused) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_offer(node_->offer);
  expect_refused("on none of our relays");
}

TEST_F(Tampered, AnExpiredOfferIsNotEvenListed) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_attestation(attestation_);
  node_->offer.expires_at = node_->clock.unix_s() - 1;
  publish_offer(node_->offer);
  test::run_for(world_.loop, 200);
  EXPECT_TRUE(world_.user->offers.usable().empty());
}

TEST_F(Tampered, AnExpiredKeyIsNotUsable) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  node_->statement.encryption_key_expires_at = node_->clock.unix_s() - 1;
  attestation_ = node_->attestation_of(node_->statement);
  node_->offer.attestation = attestation_.digest;
  node_->offer.encryption_key_expires_at = node_->statement.encryption_key_expires_at;
  publish_attestation(attestation_);
  publish_offer(node_->offer);
  test::run_for(world_.loop, 200);
  EXPECT_TRUE(world_.user->offers.usable().empty());
}

TEST_F(Tampered, AnEventWithABrokenSignatureIsNotLookedAt) {
  ASSERT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  publish_attestation(attestation_);
  Event event = sign_event(build_offer(node_->offer), node_->identity, node_->rng);
  event.sig.bytes[5] ^= 1;
  world_.relay.inject(event);
  test::run_for(world_.loop, 200);
  EXPECT_TRUE(world_.user->offers.usable().empty());
  EXPECT_TRUE(world_.user->offers.rejected().empty());
}

/// Serves one request with the true protocol and a record that `spoil` has changed before signing.
class WrongRecord : public Tampered {
 protected:
  using Spoil = std::function<void(ResponseRecord&)>;

  std::shared_ptr<Answer> answer_with(const Spoil& spoil, bool sign_with_other_key = false) {
    EXPECT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
    publish_attestation(attestation_);
    const Event event = sign_event(build_offer(node_->offer), node_->identity, node_->rng);
    node_->offer.id = event.id;
    world_.relay.inject(event);
    EXPECT_TRUE(world_.wait_for_offer());
    spoil_ = spoil;
    other_key_ = sign_with_other_key;
    pool_ = std::make_unique<client::RelayPool>(world_.loop, world_.clock);
    EXPECT_TRUE(pool_->add_relay(world_.relay.url()));
    client::SubscriptionCallbacks callbacks;
    callbacks.on_event = [this](const VerifiedEvent& frame) { on_frame(frame.event()); };
    bool subscribed = false;
    callbacks.on_stored_end = [&](const std::string&) { subscribed = true; };
    frames_ = pool_->subscribe({filter()}, callbacks);
    EXPECT_TRUE(world_.until([&] { return subscribed; }));
    timer_ = world_.loop.every(20, [this] { drive(); });
    const auto answer = world_.query(chat("x", false));
    EXPECT_TRUE(world_.finish(answer));
    test::run_for(world_.loop, 300);
    world_.loop.cancel(timer_);
    return answer;
  }

  [[nodiscard]] Filter filter() const {
    Filter out;
    out.kinds = {kinds::kFrame};
    std::vector<std::string> keys = {encode_hex(node_->encryption.public_key())};
    if (session_) keys.push_back(encode_hex(session_->session_key()));
    out.tags.push_back({'p', std::move(keys)});
    out.normalize();
    return out;
  }

  void on_frame(const Event& event) {
    if (session_) {
      session_->on_event(event, now());
      return drive();
    }
    auto handshake = NodeHandshake::open_first(event, node_->encryption);
    ASSERT_TRUE(handshake);
    payer_ = *handshake->open().payment;
    auto session = NodeSession::accept(std::move(*handshake), {}, {}, now(), verifier_, node_->rng);
    ASSERT_TRUE(session);
    session_.emplace(std::move(*session));
    pool_->change_filters(frames_, {filter()});
    drive();
  }

  void drive() {
    if (!session_) return;
    session_->on_timer(now());
    while (auto note = session_->next_note()) {
      if (const auto* request = std::get_if<NodeNote::Request>(&*note)) answer_it(*request);
      if (std::holds_alternative<NodeNote::Receipt>(*note)) ++receipts_;
    }
    for (const Event& event : session_->take_events()) pool_->publish(event);
  }

  void answer_it(const NodeNote::Request& request) {
    session_->push_response_head({200, "application/json"});
    session_->push_response_bytes(as_bytes("{}"), now());
    ResponseRecord record;
    record.node = node_->identity.public_key();
    record.created_at = world_.clock.unix_s();
    record.request = request.open.request;
    record.request_hash = request.request_hash;
    record.response_hash = session_->response_hash();
    record.offer = node_->offer.id;
    record.attestation = node_->offer.attestation;
    record.model = node_->offer.model;
    record.weights = node_->offer.weights;
    record.engine = node_->offer.engine;
    record.engine_version = node_->offer.engine_version;
    record.usage = {0, 0, 3};
    record.accepted_at_ms = record.first_at_ms = record.ended_at_ms = world_.clock.unix_ms();
    settlement::NodeChannel channel(
        {payer_.signer, node_->identity.public_key(), "msat", payer_.salt}, Amount::of(1000));
    ASSERT_TRUE(channel.statement(record, settlement::PriceTable::of(node_->offer)));
    spoil_(record);
    const Keypair other = Keypair::generate(node_->rng);
    if (other_key_) record.node = other.public_key();
    session_->end(
        sign_event(build_record(record), other_key_ ? other : node_->identity, node_->rng), now());
  }

  void expect_unpaid(const std::shared_ptr<Answer>& answer, client::QueryFailure failure) {
    ASSERT_TRUE(answer->ended());
    EXPECT_EQ(answer->result->failure, failure) << answer->result->detail;
    EXPECT_FALSE(answer->result->verified());
    EXPECT_FALSE(answer->result->receipt);
    EXPECT_EQ(receipts_, 0);
  }

  [[nodiscard]] Moment now() const { return {world_.clock.monotonic_ms(), world_.clock.unix_s()}; }

  Verifier verifier_;
  std::unique_ptr<client::RelayPool> pool_;
  client::SubscriptionId frames_ = client::SubscriptionId::None;
  std::optional<NodeSession> session_;
  PaymentTerms payer_;
  Spoil spoil_;
  bool other_key_ = false;
  int receipts_ = 0;
  net::TimerId timer_ = net::TimerId::None;
};

TEST_F(WrongRecord, ATrueOneIsPaid) {
  const auto answer = answer_with([](ResponseRecord&) {});
  ASSERT_TRUE(answer->ended());
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_TRUE(answer->result->receipt);
  EXPECT_EQ(receipts_, 1);
}

TEST_F(WrongRecord, WithoutTheSamplingThatItsOfferPromises) {
  node_->offer.features = {"seed"};
  expect_unpaid(answer_with([](ResponseRecord&) {}), client::QueryFailure::NotPayable);
}

TEST_F(WrongRecord, WithSamplingThatWasNotAskedFor) {
  node_->offer.features = {"seed"};
  expect_unpaid(
      answer_with([](ResponseRecord& r) { r.sampling = R"({"seed":1,"temperature":0})"; }),
      client::QueryFailure::NotPayable);
}

TEST_F(WrongRecord, WithTheSamplingThatItsOfferPromisesIsPaid) {
  node_->offer.features = {"seed"};
  const auto answer = answer_with([](ResponseRecord& r) { r.sampling = R"({"seed":1})"; });
  ASSERT_TRUE(answer->ended());
  EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
}

TEST_F(WrongRecord, OfAnotherResponse) {
  expect_unpaid(answer_with([](ResponseRecord& r) { r.response_hash.bytes[0] ^= 1; }),
                client::QueryFailure::Broken);
}

TEST_F(WrongRecord, OfAnotherRequest) {
  expect_unpaid(answer_with([](ResponseRecord& r) { r.request_hash.bytes[0] ^= 1; }),
                client::QueryFailure::Broken);
}

TEST_F(WrongRecord, UnderAnotherOffer) {
  expect_unpaid(answer_with([](ResponseRecord& r) { r.offer.bytes[0] ^= 1; }),
                client::QueryFailure::Broken);
}

TEST_F(WrongRecord, OfOtherWeights) {
  expect_unpaid(answer_with([](ResponseRecord& r) { r.weights.reset(); }),
                client::QueryFailure::Broken);
}

TEST_F(WrongRecord, SignedByAnotherKey) {
  expect_unpaid(answer_with([](ResponseRecord&) {}, true), client::QueryFailure::Broken);
}

TEST_F(WrongRecord, DearerThanItsPrice) {
  expect_unpaid(answer_with([](ResponseRecord& r) {
                  r.cost = Amount::of(4);
                  r.spent = Amount::of(4);
                }),
                client::QueryFailure::NotPayable);
}

TEST_F(WrongRecord, MoreSpentThanItCost) {
  expect_unpaid(answer_with([](ResponseRecord& r) { r.spent = Amount::of(9); }),
                client::QueryFailure::NotPayable);
}

TEST_F(WrongRecord, OnAnotherChannel) {
  expect_unpaid(answer_with([](ResponseRecord& r) { r.channel.bytes[0] ^= 1; }),
                client::QueryFailure::NotPayable);
}

TEST_F(WrongRecord, InAnotherAsset) {
  expect_unpaid(answer_with([](ResponseRecord& r) { r.asset = "btc"; }),
                client::QueryFailure::NotPayable);
}

TEST_F(WrongRecord, OverTheBudget) {
  expect_unpaid(answer_with([](ResponseRecord& r) {
                  r.usage.output = 1'000'001;
                  r.cost = r.spent = Amount::of(1'000'001);
                }),
                client::QueryFailure::NotPayable);
}

}  // namespace
}  // namespace nostril::node
