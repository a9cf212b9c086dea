// Which of several nodes is asked first.
#include "client/asker.h"

#include "base/hex.h"
#include "tests/support/hand_made_node.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

using test::HandMadeNode;
using test::World;

/// A client, and nodes made by hand that nobody answers for.
class AskerChoice : public ::testing::Test {
 protected:
  AskerChoice()
      : world_([](node::NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; }) {
    EXPECT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
  }

  HandMadeNode& add(std::uint64_t price, std::optional<LoadTag> load) {
    nodes_.push_back(std::make_unique<HandMadeNode>(world_.relay.url()));
    HandMadeNode& node = *nodes_.back();
    node.offer.prices = {{PriceUnit::Output, Amount::of(price)}};
    node.offer.load = load;
    const AttestationEvent attestation = node.attestation_of(node.statement);
    node.offer.attestation = attestation.digest;
    world_.relay.inject(node.signed_attestation(attestation));
    world_.relay.inject(node.signed_offer());
    EXPECT_TRUE(world_.until([&] { return world_.user->offers.usable().size() == nodes_.size(); }));
    return node;
  }

  /// Asked so often, each time it was this node.
  void expect_always(const HandMadeNode& node) {
    constexpr int kAsks = 8;
    int chosen = 0;
    for (int i = 0; i < kAsks; ++i) {
      AskCallbacks callbacks;
      callbacks.on_offer = [&](const VerifiedOffer& offer) {
        ++chosen;
        EXPECT_EQ(offer.offer().node, node.identity.public_key());
      };
      const AskId ask = world_.user->asker.ask("test-model", "/v1/chat/completions",
                                               test::chat("x", true), std::move(callbacks));
      EXPECT_TRUE(world_.until([&] { return chosen == i + 1; }));
      world_.user->asker.cancel(ask, "enough");
    }
  }

  World world_;
  std::vector<std::unique_ptr<HandMadeNode>> nodes_;
};

constexpr LoadTag kIdle{0, 8, 0, 0};
constexpr LoadTag kFull{8, 8, 5, 4'000};

TEST_F(AskerChoice, OfEquallyCheapNodesTheLeastBusy) {
  add(1'000'000, kFull);
  HandMadeNode& idle = add(1'000'000, kIdle);
  add(1'000'000, std::nullopt);
  expect_always(idle);
}

TEST_F(AskerChoice, ACheaperNodeBeforeALessBusyOne) {
  HandMadeNode& cheap = add(900'000, kFull);
  add(1'000'000, kIdle);
  expect_always(cheap);
}

/// A node that answers, and a cheaper one that hears and says nothing.
TEST(AskerHedge, ASecondNodeAnswersWhenTheFirstIsSilent) {
  World world;
  world.engine.set_answer(test::plain_answer("hello", {10, 0, 3}));
  ASSERT_TRUE(world.wait_for_offer());
  HandMadeNode silent(world.relay.url());
  silent.offer.prices = {{PriceUnit::Output, Amount::of(1)}};
  const AttestationEvent attestation = silent.attestation_of(silent.statement);
  silent.offer.attestation = attestation.digest;
  world.relay.inject(silent.signed_attestation(attestation));
  world.relay.inject(silent.signed_offer());
  ASSERT_TRUE(world.until([&] { return world.user->offers.usable().size() == 2; }));
  Filter heard;
  heard.tags.push_back({'p', {encode_hex(silent.offer.encryption_key)}});
  std::size_t frames = 0;
  SubscriptionCallbacks listens;
  listens.on_event = [&](const VerifiedEvent&) { ++frames; };
  world.user->pool.subscribe({std::move(heard)}, std::move(listens));

  std::vector<PublicKey> asked;
  std::optional<PublicKey> answered;
  std::optional<QueryResult> result;
  AskCallbacks callbacks;
  callbacks.on_offer = [&](const VerifiedOffer& offer) { asked.push_back(offer.offer().node); };
  callbacks.on_answering = [&](const VerifiedOffer& offer) { answered = offer.offer().node; };
  callbacks.on_end = [&](const QueryResult& ended) { result = ended; };
  world.user->asker.ask("test-model", "/v1/chat/completions", test::chat("x", false),
                        std::move(callbacks), {}, {.hedge_ms = 200});
  ASSERT_TRUE(world.until([&] { return result.has_value(); }));
  EXPECT_TRUE(result->verified()) << result->detail;
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(asked[0], silent.identity.public_key());
  EXPECT_NE(asked[1], asked[0]);
  EXPECT_EQ(answered, asked[1]);
  EXPECT_GT(frames, 0U);
}

}  // namespace
}  // namespace nostril::client
