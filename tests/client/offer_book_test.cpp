// The offer book: what is judged, when, and by which trust.
#include "client/offer_book.h"

#include "attestation/pack.h"
#include "attestation/vendor_documents.h"
#include "events/document.h"
#include "tests/support/hand_made_node.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

using test::HandMadeNode;
using test::World;

/// A client and a relay; the only node is made by hand.
class OfferBookTest : public ::testing::Test {
 protected:
  OfferBookTest()
      : world_([](node::NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; }) {
    node_ = std::make_unique<HandMadeNode>(world_.relay.url());
    const AttestationEvent attestation = node_->attestation_of(node_->statement);
    node_->offer.attestation = attestation.digest;
    EXPECT_TRUE(world_.until([&] { return world_.user->offers.complete(); }));
    world_.relay.inject(node_->signed_attestation(attestation));
  }

  OfferBook& book() { return world_.user->offers; }

  /// The same offer again, a second later.
  void publish_again() {
    ++node_->offer.created_at;
    world_.relay.inject(node_->signed_offer());
    const std::int64_t wanted = node_->offer.created_at;
    EXPECT_TRUE(world_.until([&] {
      return (!book().usable().empty() && book().usable()[0]->offer().created_at == wanted) ||
             (!book().rejected().empty() && book().rejected()[0].offer.created_at == wanted);
    }));
  }

  World world_;
  std::unique_ptr<HandMadeNode> node_;
};

TEST_F(OfferBookTest, AnUnchangedOfferCostsNoSecondVerdict) {
  publish_again();
  ASSERT_EQ(book().usable().size(), 1U);
  const auto* verdict = &book().usable()[0]->verdict();
  EXPECT_EQ(book().verdicts().hits(), 0U);
  node_->offer.prices = {{PriceUnit::Output, Amount::of(2'000'000)}};
  publish_again();
  EXPECT_EQ(book().verdicts().hits(), 1U);
  ASSERT_EQ(book().usable().size(), 1U);
  EXPECT_EQ(&book().usable()[0]->verdict(), verdict) << "the same object";
  // Under another model's name another policy may hold: judged anew.
  node_->offer.model = "other-model";
  publish_again();
  EXPECT_EQ(book().verdicts().hits(), 1U);
}

TEST_F(OfferBookTest, AnOfferThatClaimsAnotherMachineThanItsEvidenceShowsIsRefused) {
  publish_again();
  ASSERT_EQ(book().usable().size(), 1U);
  for (const char* tee : {"tdx", "tdx+8xgh100", "simulated+1xgh100"}) {
    node_->offer.tee = tee;
    publish_again();
    EXPECT_TRUE(book().usable().empty()) << tee;
    ASSERT_EQ(book().rejected().size(), 1U) << tee;
    EXPECT_NE(book().rejected()[0].reason.find("tee"), std::string::npos)
        << book().rejected()[0].reason;
  }
  node_->offer.tee = "simulated";
  publish_again();
  EXPECT_EQ(book().usable().size(), 1U);
}

TEST_F(OfferBookTest, AChangedPolicyJudgesAnew) {
  publish_again();
  ASSERT_EQ(book().usable().size(), 1U);
  world_.user->trust.policy.tdx.accept_simulated = false;
  book().on_trust_changed();
  EXPECT_EQ(book().verdicts().hits(), 0U);
  EXPECT_TRUE(book().usable().empty());
  publish_again();
  EXPECT_TRUE(book().usable().empty());
  EXPECT_EQ(book().verdicts().hits(), 1U) << "the refusal, within its minute";
  world_.user->trust.policy.tdx.accept_simulated = true;
  book().on_trust_changed();
  EXPECT_EQ(book().usable().size(), 1U) << "the first policy's verdict";
  EXPECT_EQ(book().verdicts().hits(), 2U);
}

TEST_F(OfferBookTest, AnOfferWhoseVerdictHasEndedIsNotUsable) {
  publish_again();
  ASSERT_EQ(book().usable().size(), 1U);
  const std::int64_t end = book().usable()[0]->verdict().holds_until;
  EXPECT_LE(end, node_->offer.encryption_key_expires_at);
  // A rule that ends earlier: a beacon.
  auto& acceptance = world_.user->trust.policy.tdx.acceptance;
  acceptance.require_beacon = true;
  acceptance.beacons = {{node_->statement.nonce, world_.clock.unix_s() - 590}};
  book().on_trust_changed();
  ASSERT_EQ(book().usable().size(), 1U);
  EXPECT_LE(book().usable()[0]->verdict().holds_until, world_.clock.unix_s() + 10);
  world_.clock.set_date(world_.clock.unix_s() + 20);
  EXPECT_TRUE(book().usable().empty());
}

/// The node's evidence names Intel's collateral, which travels by itself.
class NamedDocuments : public ::testing::Test {
 protected:
  NamedDocuments()
      : world_([](node::NodeConfig& config) { config.engine.url = "http://127.0.0.1:1"; }),
        node_(world_.relay.url()) {
    AttestationEvent attestation = node_.attestation_of(node_.statement);
    auto evidence = attestation::unpack_evidence(attestation.evidence).value();
    documents_ = attestation::take_documents(evidence);
    attestation.evidence = attestation::pack_evidence(evidence);
    node_.offer.attestation = attestation.digest;
    attestation_ = node_.signed_attestation(attestation);
  }

  OfferBook& book() { return world_.user->offers; }

  [[nodiscard]] Event document(std::string_view content = {}) {
    DocumentEvent out;
    out.created_at = node_.offer.created_at;
    out.digest = documents_.front().named.sha256;
    out.name = documents_.front().named.name;
    out.expires_at = out.created_at + 1000;
    out.document =
        content.empty() ? attestation::pack_bytes(documents_.front().bytes) : std::string(content);
    return sign_event(build_document(out), test::key_of("anybody"), rng_);
  }

  bool rejected_for_document() {
    return !book().rejected().empty() &&
           book().rejected()[0].reason.find(documents_.front().named.name) != std::string::npos;
  }

  World world_;
  HandMadeNode node_;
  test::SeededRng rng_{1};
  std::vector<attestation::VendorDocument> documents_;
  Event attestation_;
};

TEST_F(NamedDocuments, AreFetchedByTheirDigestWhoeverPublishedThem) {
  world_.relay.inject(attestation_);
  world_.relay.inject(document());
  world_.relay.inject(node_.signed_offer());
  ASSERT_TRUE(world_.until([&] { return !book().usable().empty(); }));
  EXPECT_TRUE(book().complete());
  EXPECT_TRUE(book().evidence_of(node_.offer)->documents.empty());
}

TEST_F(NamedDocuments, AMissingOneIsANamedRefusalUntilItComes) {
  ASSERT_EQ(documents_.size(), 1U);
  world_.relay.inject(attestation_);
  world_.relay.inject(node_.signed_offer());
  ASSERT_TRUE(world_.until([&] { return rejected_for_document() && book().complete(); }));
  EXPECT_TRUE(book().usable().empty());
  const auto verdict = book().rejected()[0].verdict;
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(attestation::refuses(*verdict->find("documents")));
  // Other bytes under its digest, and what can't be unpacked, are no help.
  Bytes other = documents_.front().bytes;
  other.back() ^= 1;
  world_.relay.inject(document(attestation::pack_bytes(other)));
  world_.relay.inject(document("no text of a document"));
  EXPECT_FALSE(world_.until([&] { return !book().usable().empty(); }, 200));
  world_.relay.inject(document());
  EXPECT_TRUE(world_.until([&] { return !book().usable().empty(); }));
}

/// A node of `models` offers. The evidence of each names a document that does not exist, and which
/// stands before real ones in the order of digests.
void inject_false_names(World& world, HandMadeNode& node, std::uint16_t models) {
  AttestationEvent attestation = node.attestation_of(node.statement);
  auto evidence = attestation::unpack_evidence(attestation.evidence).value();
  attestation::take_documents(evidence);
  for (std::uint16_t model = 0; model < models; ++model) {
    Digest& named = evidence.documents.front().sha256;
    named = Digest{};
    named.bytes[30] = static_cast<std::uint8_t>(model >> 8U);
    named.bytes[31] = static_cast<std::uint8_t>(model & 0xFFU);
    attestation.evidence = attestation::pack_evidence(evidence);
    attestation.digest = sha256(as_bytes(attestation.evidence));
    node.offer.attestation = attestation.digest;
    node.offer.model = "model-" + std::to_string(model);
    world.relay.inject(node.signed_attestation(attestation));
    world.relay.inject(node.signed_offer());
  }
}

TEST_F(NamedDocuments, FalseNamesOfAnotherNodeHoldNobodyUp) {
  constexpr std::uint16_t kModels = DocumentBook::kAskedMax + 50;
  HandMadeNode hostile(world_.relay.url());
  inject_false_names(world_, hostile, kModels);
  ASSERT_TRUE(world_.until([&] { return book().rejected().size() == kModels; }));
  world_.relay.inject(document());
  world_.relay.inject(attestation_);
  world_.relay.inject(node_.signed_offer());
  EXPECT_TRUE(world_.until([&] { return !book().usable().empty(); }));
  // The end of the round is known, so that nobody waits for what no relay has.
  EXPECT_TRUE(world_.until([&] { return book().complete(); }));
}

TEST(FairChoice, TakesEachAuthorsFirstBeforeAnybodysSecondAndAllInTheEnd) {
  const auto digest_of = [](int author, int i) {
    Digest out;
    out.bytes[0] = static_cast<std::uint8_t>(author);
    out.bytes[31] = static_cast<std::uint8_t>(i);
    return out;
  };
  NamedBy named;
  for (int author = 0; author < 40; ++author) {
    PublicKey key;
    key.bytes[31] = static_cast<std::uint8_t>(author);
    for (int i = 0; i < (author < 30 ? 20 : 1); ++i) named[key].insert(digest_of(author, i));
  }
  std::set<Digest> asked;
  const auto skip = [&](const Digest& digest) { return asked.contains(digest); };
  for (int question = 0; question < 4; ++question) {
    const auto next = fair_choice(named, skip, 10, Digest{});
    EXPECT_EQ(next.size(), 10U);
    for (const Digest& digest : next) EXPECT_EQ(digest.bytes[31], 0) << "question " << question;
    asked.insert(next.begin(), next.end());
  }
  EXPECT_EQ(asked.size(), 40U) << "one of each";
  while (true) {
    const auto next = fair_choice(named, skip, 256, Digest{});
    if (next.empty()) break;
    asked.insert(next.begin(), next.end());
  }
  EXPECT_EQ(asked.size(), 30U * 20U + 10U);
  // Which authors are first follows from the salt.
  Digest other;
  other.bytes[0] = 1;
  const auto none = [](const Digest&) { return false; };
  EXPECT_NE(fair_choice(named, none, 10, Digest{}), fair_choice(named, none, 10, other));
}

}  // namespace
}  // namespace nostril::client
