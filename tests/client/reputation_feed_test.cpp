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
    return signed_proof(proof).front();
  }

  /// By somebody, in as many events as it takes.
  std::vector<Event> signed_proof(const FraudProof& proof, const char* by = "somebody") {
    std::vector<Event> out;
    for (EventDraft& draft : build_fraud_proof(proof, world_.clock.unix_s())) {
      out.push_back(sign_event(std::move(draft), test::key_of(by), world_.rng));
    }
    return out;
  }

  /// Evidence as large as an attestation may hold, and an offer that contradicts it.
  FraudProof large_proof() {
    AttestationEvent large = node_.attestation_of(node_.statement);
    large.evidence = std::string(InferenceLimits::kEvidenceBytesMax, 'A');
    node_.offer.weights = sha256(as_bytes("other weights"));
    return {FraudKind::Evidence,
            node_.identity.public_key(),
            {node_.signed_offer(), node_.signed_attestation(large)}};
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

TEST_F(ReputationFeedTest, AProofThatNoEventHoldsIsPublishedInPartsAndKeptWhole) {
  const FraudProof proof = large_proof();
  std::size_t parts = 0;
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [&](const VerifiedEvent& event) {
    if (is_fraud_part(event.event())) ++parts;
  };
  Filter reports;
  reports.kinds = {kinds::kReport};
  world_.user->pool.subscribe({reports}, std::move(callbacks));
  for (const Event& event : {proof.events[1], proof.events[0]}) world_.relay.inject(event);
  ASSERT_TRUE(world_.until([&] { return score().fraud.has_value(); }));
  ASSERT_TRUE(world_.until([&] { return feed_->feed.publishing() == 0 && parts == 2; }));
  EXPECT_EQ(files("proofs"), 1U);
  start();
  EXPECT_TRUE(score().fraud) << "the file holds it whole";
}

TEST_F(ReputationFeedTest, PartsComeInAnyOrderAndOthersDoNotDisturbThem) {
  const std::vector<Event> parts = signed_proof(large_proof());
  ASSERT_EQ(parts.size(), 2U);
  // Somebody else's first part, under the same hash, and one that is none.
  Event forged = parts[0];
  forged.content.back() = ' ';
  const auto signed_by = [&](const Event& event, const char* name) {
    return sign_event({event.created_at, event.kind, event.tags, event.content}, test::key_of(name),
                      world_.rng);
  };
  world_.relay.inject(parts[1]);
  world_.relay.inject(signed_by(forged, "forger"));
  world_.relay.inject(signed_by(parts[1], "forger"));
  ASSERT_TRUE(world_.until([&] { return feed_->feed.counters().proofs_refused == 1; }));
  EXPECT_FALSE(score().fraud);
  world_.relay.inject(parts[0]);
  ASSERT_TRUE(world_.until([&] { return score().fraud.has_value(); }));
  EXPECT_EQ(files("proofs"), 1U);
  EXPECT_EQ(feed_->feed.counters().proofs_taken, 1U);
  start();
  EXPECT_TRUE(score().fraud);
}

TEST(FraudParts, KeepsABoundedNumberUnderWay) {
  FraudParts parts;
  test::SeededRng rng(7);
  const Keypair node = test::key_of("node");
  const Event record = sign_event(
      build_record(test::example_record(test::example_offer(node, node.public_key()))), node, rng);
  for (std::size_t i = 0; i < 3 * FraudParts::kProofsMax; ++i) {
    EventDraft draft{1'800'000'000, kinds::kReport, {}, "["};
    draft.tags.add({"v", "1"});
    draft.tags.add({"l", "fraud/price", "nostril"});
    draft.tags.add({"p", encode_hex(node.public_key()), "other"});
    draft.tags.add({"part", "1", "2", encode_hex(sha256(std::to_string(i)))});
    const auto added = parts.add(sign_event(std::move(draft), test::key_of("flooder"), rng));
    ASSERT_TRUE(added);
    EXPECT_FALSE(added->has_value());
    EXPECT_LE(parts.under_way(), FraudParts::kProofsMax);
  }
  EXPECT_FALSE(parts.add(record));
}

TEST_F(ReputationFeedTest, ProvidersOfTheUsersListCountOnlyWhereHeSaysSo) {
  const Keypair me = test::key_of("me");
  const Keypair provider = test::key_of("provider");
  const auto list = [&](const Keypair& by, std::int64_t later, const Keypair& names) {
    EventDraft draft{world_.clock.unix_s() + later, kinds::kTrustedProviders, {}, ""};
    draft.tags.add({"30382:rank", encode_hex(names.public_key()), "wss://relay.example"});
    return sign_event(std::move(draft), by, world_.rng);
  };
  EventDraft rank{world_.clock.unix_s(), kinds::kTrustedAssertion, {}, ""};
  rank.tags.add({"d", encode_hex(node_.identity.public_key())});
  rank.tags.add({"rank", "90"});
  world_.relay.inject(list(me, 0, provider));
  world_.relay.inject(sign_event(std::move(rank), provider, world_.rng));
  ReputationSettings settings;
  settings.follows = {test::key_of("friend").public_key()};
  start(settings);
  ASSERT_TRUE(world_.until([&] { return feed_->feed.complete(); }));
  EXPECT_EQ(score().providers, 0) << "a list that nobody named";
  settings.providers_of = me.public_key();
  start(settings);
  ASSERT_TRUE(world_.until([&] { return score().providers == 20; }));
  // Another key's list is not the user's, and his newer one replaces it.
  world_.relay.inject(list(test::key_of("stranger"), 5, test::key_of("stranger")));
  world_.relay.inject(list(me, 10, test::key_of("nobody")));
  ASSERT_TRUE(world_.until([&] { return score().providers == 0; }));
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
