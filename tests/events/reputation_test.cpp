// Approvals, flags, proofs of fraud, ranks and follow lists as events.
#include "events/reputation.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace nostril {
namespace {

using test::example_offer;
using test::example_record;
using test::key_of;

class Reputation : public ::testing::Test {
 protected:
  Reputation()
      : node_(key_of("node")),
        offer_(test::signed_offer(example_offer(node_, key_of("N").public_key()), node_, rng_)),
        record_(sign_event(build_record(example_record(offer_)), node_, rng_)) {
    opinion_.created_at = 1'800'000'100;
    opinion_.node = node_.public_key();
    opinion_.record = record_;
  }

  Event signed_by_user(EventDraft draft) {
    return sign_event(std::move(draft), key_of("user"), rng_);
  }

  /// The event with one tag replaced by another (or left out), signed anew.
  Event with_tag(const Event& event, std::string_view name,
                 const std::vector<std::string>& instead) {
    EventDraft draft{event.created_at, event.kind, {}, event.content};
    for (const Tags::View tag : event.tags) {
      const bool replaced = tag.name() == name;
      if (replaced && instead.empty()) continue;
      const std::size_t size = replaced ? instead.size() : tag.size();
      for (std::size_t i = 0; i < size; ++i) {
        draft.tags.add_element(replaced ? std::string_view(instead[i]) : tag[i]);
      }
      draft.tags.finish_tag();
    }
    return signed_by_user(std::move(draft));
  }

  test::SeededRng rng_{14};
  Keypair node_;
  Offer offer_;
  Event record_;
  Opinion opinion_;
};

TEST_F(Reputation, AnApprovalAndEachFlagAreReadAsTheyWereWritten) {
  opinion_.measured = Measured{120, 900};
  opinion_.note = "quick and right";
  for (std::size_t i = 0; i <= kFlagReasonCount; ++i) {
    if (i < kFlagReasonCount) opinion_.flag = static_cast<FlagReason>(i);
    if (i == kFlagReasonCount) opinion_.flag.reset();
    const Event event = signed_by_user(build_opinion(opinion_));
    EXPECT_EQ(event.kind, opinion_.flag ? 1984U : 1985U);
    EXPECT_FALSE(claims_fraud(event));
    const auto read = parse_opinion(event);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->author, key_of("user").public_key());
    EXPECT_EQ(read->node, opinion_.node);
    EXPECT_EQ(read->flag, opinion_.flag);
    EXPECT_EQ(read->measured, opinion_.measured);
    EXPECT_EQ(read->note, opinion_.note);
    EXPECT_EQ(read->record.id, record_.id);
    EXPECT_EQ(read->record.sig, record_.sig);
  }
}

TEST_F(Reputation, AnOpinionWithoutTheNodesRecordIsNone) {
  Event event = signed_by_user(build_opinion(opinion_));
  event.content = "[]";
  EXPECT_FALSE(parse_opinion(event));
  event.content = "";
  EXPECT_FALSE(parse_opinion(event));
  // Another node's record.
  const Keypair other = key_of("other");
  ResponseRecord record = example_record(offer_);
  record.node = other.public_key();
  event.content = "[" + to_json(sign_event(build_record(record), other, rng_)) + "]";
  EXPECT_FALSE(parse_opinion(event));
  // No record at all.
  event.content = "[" + to_json(sign_event(build_offer(offer_), node_, rng_)) + "]";
  EXPECT_FALSE(parse_opinion(event));
  // Two of them.
  event.content = "[" + to_json(record_) + "," + to_json(record_) + "]";
  EXPECT_FALSE(parse_opinion(event));
  // Its id is of other content.
  event.content = "[" + to_json(record_) + "]";
  ASSERT_TRUE(parse_opinion(event));
  event.content.replace(event.content.find("\"usage\",\"120\""), 13, "\"usage\",\"121\"");
  EXPECT_FALSE(parse_opinion(event));
}

TEST_F(Reputation, TagsAreStrict) {
  const Event approval = signed_by_user(build_opinion(opinion_));
  opinion_.flag = FlagReason::Slow;
  const Event flag = signed_by_user(build_opinion(opinion_));
  const std::string node = encode_hex(opinion_.node);
  for (const char* name : {"v", "l", "p", "e"}) {
    EXPECT_FALSE(parse_opinion(with_tag(approval, name, {}))) << name;
    EXPECT_FALSE(parse_opinion(with_tag(flag, name, {}))) << name;
  }
  EXPECT_FALSE(parse_opinion(with_tag(approval, "v", {"v", "2"})));
  EXPECT_FALSE(parse_opinion(with_tag(approval, "l", {"l", "slow", "nostril"})));
  EXPECT_FALSE(parse_opinion(with_tag(approval, "l", {"l", "approve", "another"})));
  EXPECT_FALSE(parse_opinion(with_tag(flag, "l", {"l", "approve", "nostril"})));
  EXPECT_FALSE(parse_opinion(with_tag(flag, "l", {"l", "fraud/cost", "nostril"})));
  EXPECT_FALSE(parse_opinion(with_tag(flag, "p", {"p", node, "spam"})));
  EXPECT_FALSE(parse_opinion(with_tag(flag, "p", {"p", node})));
  EXPECT_FALSE(
      parse_opinion(with_tag(approval, "p", {"p", encode_hex(key_of("other").public_key())})));
  EXPECT_FALSE(parse_opinion(with_tag(approval, "e", {"e", std::string(64, '0')})));
  EXPECT_TRUE(parse_opinion(with_tag(approval, "L", {})));
}

TEST_F(Reputation, AProofHoldsItsEvents) {
  ResponseRecord second = example_record(offer_);
  second.response_hash = test::digest_of("another");
  const FraudProof proof{FraudKind::TwoAnswers,
                         node_.public_key(),
                         {record_, sign_event(build_record(second), node_, rng_)}};
  const auto drafts = build_fraud_proof(proof, 1'800'000'100);
  ASSERT_EQ(drafts.size(), 1U);
  const Event event = signed_by_user(drafts.front());
  EXPECT_FALSE(is_fraud_part(event));
  EXPECT_TRUE(claims_fraud(event));
  EXPECT_FALSE(parse_opinion(event));
  const auto read = parse_fraud_proof(event);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->kind, proof.kind);
  EXPECT_EQ(read->node, proof.node);
  ASSERT_EQ(read->events.size(), 2U);
  EXPECT_EQ(read->events[1].id, proof.events[1].id);
  // Another kind wants other events; another node has not signed these.
  for (const char* kind : {"fraud/evidence", "fraud/price", "fraud/cost", "fraud/", "fraud/x"}) {
    EXPECT_FALSE(parse_fraud_proof(with_tag(event, "l", {"l", kind, "nostril"}))) << kind;
  }
  EXPECT_TRUE(parse_fraud_proof(with_tag(event, "l", {"l", "fraud/rollback", "nostril"})));
  EXPECT_FALSE(parse_fraud_proof(
      with_tag(event, "p", {"p", encode_hex(key_of("other").public_key()), "other"})));
  Event many = event;
  many.content = "[" + to_json(record_);
  for (int i = 0; i < 4; ++i) many.content += "," + to_json(record_);
  many.content += "]";
  EXPECT_FALSE(parse_fraud_proof(many));
}

TEST_F(Reputation, AProofTooLargeForAnEventComesInParts) {
  AttestationEvent attestation;
  attestation.created_at = 1'800'000'000;
  attestation.digest = offer_.attestation;
  attestation.encryption_key = offer_.encryption_key;
  attestation.encryption_key_expires_at = offer_.encryption_key_expires_at;
  attestation.tee = "simulated";
  attestation.expires_at = offer_.expires_at;
  const auto proof_of = [&](std::size_t bytes) {
    attestation.evidence = std::string(bytes, 'A');
    return FraudProof{FraudKind::Evidence,
                      node_.public_key(),
                      {sign_event(build_offer(offer_), node_, rng_),
                       sign_event(build_attestation(attestation), node_, rng_)}};
  };
  EXPECT_EQ(build_fraud_proof(proof_of(64 << 10), 1'800'000'100).size(), 1U);
  const FraudProof large = proof_of(InferenceLimits::kEvidenceBytesMax);
  const auto drafts = build_fraud_proof(large, 1'800'000'100);
  ASSERT_EQ(drafts.size(), 2U);
  std::vector<FraudPart> parts;
  for (const EventDraft& draft : drafts) {
    const Event event = signed_by_user(draft);
    EXPECT_LT(to_json(event).size(), EventLimits{}.json_bytes_max);
    EXPECT_TRUE(is_fraud_part(event));
    EXPECT_FALSE(parse_fraud_proof(event));
    const auto part = parse_fraud_part(event);
    ASSERT_TRUE(part);
    parts.push_back(*part);
  }
  const auto joined = join_fraud_parts(parts);
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->node, large.node);
  ASSERT_EQ(joined->events.size(), 2U);
  EXPECT_EQ(joined->events[1].id, large.events[1].id);

  const Event first = signed_by_user(drafts[0]);
  const std::string whole = encode_hex(parts[0].whole);
  for (const std::vector<std::string>& tag :
       std::vector<std::vector<std::string>>{{"part", "0", "2", whole},
                                             {"part", "3", "2", whole},
                                             {"part", "1", "1", whole},
                                             {"part", "1", "7", whole},
                                             {"part", "01", "2", whole},
                                             {"part", "1", "2", "aa"},
                                             {"part", "1", "2"},
                                             {}}) {
    EXPECT_FALSE(parse_fraud_part(with_tag(first, "part", tag))) << tag.size();
  }
  Event empty = first;
  empty.content.clear();
  EXPECT_FALSE(parse_fraud_part(empty));
  Event huge = first;
  huge.content = std::string(ReputationLimits::kPartBytesMax, '"');
  EXPECT_FALSE(parse_fraud_part(huge));

  const auto refused = [&](auto change) {
    std::vector<FraudPart> changed = parts;
    change(changed);
    return !join_fraud_parts(changed);
  };
  EXPECT_TRUE(refused([](auto& all) { all.pop_back(); }));
  EXPECT_TRUE(refused([](auto& all) { std::swap(all[0], all[1]); }));
  EXPECT_TRUE(refused([](auto& all) { all[1].content.back() = ' '; }));
  EXPECT_TRUE(refused([](auto& all) { all[1].kind = FraudKind::Price; }));
  EXPECT_TRUE(refused([](auto& all) { all[1].author = all[1].node; }));
  EXPECT_TRUE(refused([](auto& all) { all.clear(); }));
}

TEST_F(Reputation, ProvidersAreThoseThatAListNamesForRanksOfKeys) {
  const std::string hex = encode_hex(node_.public_key());
  const auto providers = [&](std::uint32_t kind) {
    return parse_providers(
        signed_by_user({1'800'000'000, kind,
                        Tags{{"30382:rank", hex, "wss://relay"},
                             {"30382:rank", hex},
                             {"30382:zap_amt_sent", encode_hex(key_of("a").public_key())},
                             {"30383:rank", encode_hex(key_of("b").public_key())},
                             {"30382:rank"},
                             {"30382:rank", "x"},
                             {"p", encode_hex(key_of("c").public_key())}},
                        "encrypted"}),
        10);
  };
  EXPECT_EQ(providers(kinds::kTrustedProviders), std::vector{node_.public_key()});
  EXPECT_TRUE(providers(kinds::kFollows).empty());
}

TEST_F(Reputation, RanksAndFollowLists) {
  const PublicKey subject = node_.public_key();
  const auto assertion = [&](std::initializer_list<std::initializer_list<std::string_view>> tags) {
    return parse_assertion(
        signed_by_user({1'800'000'000, kinds::kTrustedAssertion, Tags(tags), ""}));
  };
  const std::string hex = encode_hex(subject);
  const auto read = assertion({{"d", hex}, {"rank", "89"}, {"followers", "7"}});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->subject, subject);
  EXPECT_EQ(read->rank, 89U);
  EXPECT_FALSE(assertion({{"d", hex}, {"rank", "101"}}));
  EXPECT_FALSE(assertion({{"d", hex}, {"rank", "-1"}}));
  EXPECT_FALSE(assertion({{"d", hex}}));
  EXPECT_FALSE(assertion({{"d", "not a key"}, {"rank", "1"}}));
  const Event follows =
      signed_by_user({1'800'000'000, kinds::kFollows,
                      Tags{{"p", hex},
                           {"p", "x"},
                           {"p"},
                           {"t", hex},
                           {"p", hex},
                           {"p", encode_hex(key_of("a").public_key()), "wss://relay"}},
                      ""});
  EXPECT_EQ(parse_follows(follows, 10).size(), 2U);
  EXPECT_EQ(parse_follows(follows, 1).size(), 1U);
}

}  // namespace
}  // namespace nostril
