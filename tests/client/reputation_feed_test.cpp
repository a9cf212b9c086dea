// What relays, files and own answers say of nodes, and who is excluded for it.
#include "client/reputation_feed.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "tests/support/hand_made_node.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nostril::client {
namespace {

using test::HandMadeNode;
using test::World;

/// A feed with its own book, as ClientHome wires it.
struct Feed {
  Feed(World& world, ReputationSettings settings, const std::filesystem::path& folder)
      : watch(test::test_trust().roots),
        feed(world.user->pool, book, watch, test::test_trust().roots, world.clock, world.rng,
             std::move(settings), folder) {
    feed.attach(world.user->offers);
  }

  ReputationBook book;
  FraudWatch watch;
  ReputationFeed feed;
};

class ReputationFeedTest : public ::testing::Test {
 protected:
  ReputationFeedTest()
      : world_([](node::NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; }),
        node_(world_.relay.url()) {
    const AttestationEvent attestation = node_.attestation_of(node_.statement);
    node_.offer.attestation = attestation.digest;
    attestation_ = node_.signed_attestation(attestation);
    start();
    EXPECT_TRUE(world_.until([&] { return feed_->feed.complete(); }));
  }

  void start(ReputationSettings settings = {}) {
    feed_.reset();
    feed_ = std::make_unique<Feed>(world_, std::move(settings), folder());
  }

  std::filesystem::path folder() { return world_.folder.path() / "reputation"; }

  OfferBook& offers() { return world_.user->offers; }

  std::size_t files(const char* name) {
    std::error_code missing;
    std::size_t out = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder() / name, missing)) {
      static_cast<void>(file);
      ++out;
    }
    return out;
  }

  /// The node's offer and attestation, called a fraud by somebody.
  Event accusation(const Event& offer) {
    const FraudProof proof{FraudKind::Evidence, node_.identity.public_key(), {offer, attestation_}};
    return sign_event(*build_fraud_proof(proof, world_.clock.unix_s()), test::key_of("somebody"),
                      world_.rng);
  }

  ReputationBook::Score score() { return feed_->book.score(node_.identity.public_key()); }

  World world_;
  HandMadeNode node_;
  Event attestation_;
  std::unique_ptr<Feed> feed_;
};

TEST_F(ReputationFeedTest, AnOfferThatItsEvidenceContradictsIsProvenKeptAndExcluded) {
  world_.relay.inject(attestation_);
  node_.offer.weights = sha256(as_bytes("other weights"));
  world_.relay.inject(node_.signed_offer());
  ASSERT_TRUE(world_.until([&] { return score().fraud.has_value(); }));
  EXPECT_EQ(files("proofs"), 1U);
  // It could be honest from now on: it is out.
  node_.offer.weights = node_.statement.model_manifest;
  ++node_.offer.created_at;
  world_.relay.inject(node_.signed_offer());
  ASSERT_TRUE(world_.until([&] {
    return !offers().rejected().empty() &&
           offers().rejected()[0].offer.created_at == node_.offer.created_at;
  }));
  EXPECT_TRUE(offers().usable().empty());
  EXPECT_NE(offers().rejected()[0].reason.find("proven fraud"), std::string::npos);
  // The next start knows it before it hears of anything; a damaged file is no matter.
  std::filesystem::copy_file(std::filesystem::directory_iterator(folder() / "proofs")->path(),
                             folder() / "proofs" / "copy.json");
  std::filesystem::resize_file(folder() / "proofs" / "copy.json", 100);
  start();
  EXPECT_TRUE(score().fraud);
}

TEST_F(ReputationFeedTest, AStrangersProofCountsAndAStrangersSlanderDoesNot) {
  world_.relay.inject(attestation_);
  const Event honest = node_.signed_offer();
  world_.relay.inject(honest);
  ASSERT_TRUE(world_.until([&] { return offers().usable().size() == 1; }));
  world_.relay.inject(accusation(honest));
  ASSERT_TRUE(world_.until([&] { return feed_->feed.counters().proofs_refused == 1; }));
  EXPECT_FALSE(score().fraud);
  EXPECT_EQ(score().total, 0);
  EXPECT_EQ(offers().usable().size(), 1U);
  EXPECT_EQ(files("proofs"), 0U);
  // What this client never saw on its relays, somebody else did.
  node_.offer.tee = "tdx";
  world_.relay.inject(accusation(node_.signed_offer()));
  ASSERT_TRUE(world_.until([&] { return score().fraud.has_value(); }));
  EXPECT_EQ(feed_->feed.counters().proofs_taken, 1U);
  EXPECT_TRUE(offers().usable().empty());
}

TEST_F(ReputationFeedTest, WordsOfThoseWhomTheFollowListNames) {
  const Keypair me = test::key_of("me");
  const Keypair friendly = test::key_of("friend");
  ReputationSettings settings;
  settings.follows_of = me.public_key();
  start(std::move(settings));
  EventDraft list{world_.clock.unix_s(), kinds::kFollows, {}, ""};
  list.tags.add({"p", encode_hex(friendly.public_key())});
  ResponseRecord record = test::example_record(node_.offer);
  Opinion opinion;
  opinion.created_at = world_.clock.unix_s();
  opinion.node = node_.identity.public_key();
  opinion.flag = FlagReason::Slow;
  opinion.record = sign_event(build_record(record), node_.identity, world_.rng);
  for (const char* name : {"friend", "stranger"}) {
    world_.relay.inject(sign_event(build_opinion(opinion), test::key_of(name), world_.rng));
  }
  world_.relay.inject(sign_event(std::move(list), me, world_.rng));
  ASSERT_TRUE(world_.until([&] { return score().flags == 1; }));
  EXPECT_EQ(score().total, -10);
  // The user's own word is kept for later starts.
  opinion.flag.reset();
  feed_->feed.keep_own(sign_event(build_opinion(opinion), me, world_.rng));
  EXPECT_EQ(score().own, 20);
  start();
  EXPECT_EQ(score().own, 20);
  EXPECT_EQ(score().follows, 0);
}

}  // namespace
}  // namespace nostril::client
