// What a client thinks of nodes, and from whom it has that.
#include "client/reputation_book.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {
namespace {

using test::key_of;
using Outcome = ReputationBook::Outcome;

class ReputationBookTest : public ::testing::Test {
 protected:
  ReputationBookTest()
      : node_(key_of("node")),
        offer_(
            test::signed_offer(test::example_offer(node_, key_of("N").public_key()), node_, rng_)),
        record_(sign_event(build_record(test::example_record(offer_)), node_, rng_)) {
    std::vector<PublicKey> follows;
    for (const char* name : {"ann", "bob", "cal", "dan", "eve", "fay", "gus", "hal", "ida"}) {
      follows.push_back(key_of(name).public_key());
    }
    book_.set_follows(follows);
    book_.set_providers({key_of("provider").public_key(), key_of("another").public_key()});
  }

  VerifiedEvent word(std::string_view author, bool approves, std::int64_t at = 1'800'000'100) {
    Opinion opinion;
    opinion.created_at = at;
    opinion.node = node_.public_key();
    if (!approves) opinion.flag = FlagReason::BadAnswer;
    opinion.record = record_;
    return test::verified(sign_event(build_opinion(opinion), key_of(author), rng_));
  }

  VerifiedEvent rank(std::string_view provider, std::string_view value,
                     std::int64_t at = 1'800'000'100) {
    EventDraft draft{at, kinds::kTrustedAssertion, {}, ""};
    draft.tags.add({"d", encode_hex(node_.public_key())});
    draft.tags.add({"rank", value});
    return test::verified(sign_event(std::move(draft), key_of(provider), rng_));
  }

  Outcome add(const VerifiedEvent& event, bool own = false) {
    return book_.add_opinion(event, own, verifier_);
  }

  [[nodiscard]] ReputationBook::Score score() const { return book_.score(node_.public_key()); }

  test::SeededRng rng_{14};
  Verifier verifier_;
  Keypair node_;
  Offer offer_;
  Event record_;
  ReputationBook book_;
};

TEST_F(ReputationBookTest, WhoIsNotKnownIsZero) {
  EXPECT_EQ(score().total, 0);
  EXPECT_FALSE(score().fraud);
}

TEST_F(ReputationBookTest, FollowsCountOnceEachAndAreBounded) {
  EXPECT_EQ(add(word("ann", true)), Outcome::Taken);
  EXPECT_EQ(add(word("ann", true)), Outcome::Older);
  EXPECT_EQ(score().total, 5);
  EXPECT_EQ(add(word("bob", false)), Outcome::Taken);
  EXPECT_EQ(score().total, -5);
  // The newest word of an author counts.
  EXPECT_EQ(add(word("bob", true, 1'800'000'200)), Outcome::Taken);
  EXPECT_EQ(add(word("bob", false, 1'800'000'150)), Outcome::Older);
  EXPECT_EQ(score().follows, 10);
  for (const char* name : {"cal", "dan", "eve", "fay", "gus", "hal", "ida"}) add(word(name, true));
  EXPECT_EQ(score().approvals, 9U);
  EXPECT_EQ(score().follows, 40);
}

TEST_F(ReputationBookTest, StrangersAndWordsWithoutTheNodesSignatureDoNotCount) {
  EXPECT_EQ(add(word("stranger", false)), Outcome::NotCounted);
  record_.sig.bytes[40] ^= 1;
  EXPECT_EQ(add(word("ann", false)), Outcome::Malformed);
  EXPECT_EQ(score().total, 0);
}

TEST_F(ReputationBookTest, OneWhomTheUserFollowsNoMoreCountsNoMore) {
  add(word("ann", false));
  book_.set_follows({});
  EXPECT_EQ(score().total, 0);
  EXPECT_EQ(score().flags, 0U);
}

TEST_F(ReputationBookTest, TheUsersOwnWordAndResultsWeighMore) {
  add(word("ann", true));
  EXPECT_EQ(add(word("me", false), true), Outcome::Taken);
  EXPECT_EQ(score().total, -35);
  EXPECT_EQ(add(word("me", true, 1'800'000'200), true), Outcome::Taken);
  EXPECT_EQ(score().total, 25);
  for (int i = 0; i < 30; ++i) book_.note_verified(node_.public_key());
  EXPECT_EQ(score().own, 30) << "ten answers are enough";
  book_.note_broken(node_.public_key());
  EXPECT_EQ(score().own, 10);
  for (int i = 0; i < 1000; ++i) book_.note_broken(node_.public_key());
  EXPECT_EQ(score().total, -100);
}

TEST_F(ReputationBookTest, ProvidersRanksAreAveraged) {
  EXPECT_EQ(book_.add_assertion(rank("provider", "90")), Outcome::Taken);
  EXPECT_EQ(score().total, 20);
  EXPECT_EQ(book_.add_assertion(rank("another", "0")), Outcome::Taken);
  EXPECT_EQ(score().total, -2);
  EXPECT_EQ(book_.add_assertion(rank("another", "100", 1'800'000'000)), Outcome::Older);
  EXPECT_EQ(book_.add_assertion(rank("stranger", "0")), Outcome::NotCounted);
  EXPECT_EQ(book_.add_assertion(rank("provider", "101", 1'800'000'300)), Outcome::Malformed);
  EXPECT_EQ(score().providers, -2);
}

TEST_F(ReputationBookTest, ProvenFraudIsTheLastWord) {
  for (const char* name : {"ann", "bob", "cal", "dan"}) add(word(name, true));
  book_.add_assertion(rank("provider", "100"));
  EXPECT_TRUE(book_.add_fraud(node_.public_key(), "two answers"));
  EXPECT_FALSE(book_.add_fraud(node_.public_key(), "again"));
  EXPECT_EQ(score().total, -100);
  EXPECT_EQ(score().fraud, "two answers");
}

}  // namespace
}  // namespace nostril::client
