// Proofs of fraud: each kind proves what it should, and nothing once a field is another.
#include "client/fraud_proof.h"

#include "attestation/pack.h"
#include "client/fraud_watch.h"
#include "events/kinds.h"
#include "settlement/channel.h"
#include "tests/support/hand_made_node.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::client {
namespace {

using test::example_offer;
using test::example_record;
using test::key_of;

/// An honest node's book, of which single statements are then made wrong.
class Fraud : public ::testing::Test {
 protected:
  Fraud()
      : node_(key_of("node")),
        offer_(test::signed_offer(example_offer(node_, key_of("N").public_key()), node_, rng_)),
        offer_event_(signed_by(node_, build_offer(offer_))),
        prices_(settlement::PriceTable::of(offer_)),
        book_({key_of("payer").public_key(), node_.public_key(), "msat", {}, {}, false},
              Amount::of(1'000'000)) {
    offer_.id = offer_event_.id;
  }

  Event signed_by(const Keypair& key, EventDraft draft) {
    return sign_event(std::move(draft), key, rng_);
  }

  Event signed_record(const ResponseRecord& record) {
    return signed_by(node_, build_record(record));
  }

  /// The next statement of the book, true in all.
  ResponseRecord state(std::uint8_t request, Usage usage, RecordStatus status = RecordStatus::Ok) {
    ResponseRecord record = example_record(offer_);
    record.request.bytes.fill(request);
    record.usage = usage;
    record.status = status;
    EXPECT_TRUE(book_.statement(record, prices_));
    record.id = signed_record(record).id;
    book_.commit(record, prices_);
    return record;
  }

  FraudVerdict check(FraudKind kind, std::vector<Event> events) {
    return check_fraud_proof({kind, node_.public_key(), std::move(events)},
                             attestation::TrustRoots::vendors(), verifier_);
  }

  void expect_proven(FraudKind kind, std::vector<Event> events, std::string_view words) {
    const FraudProof proof{kind, node_.public_key(), std::move(events)};
    const FraudVerdict verdict =
        check_fraud_proof(proof, attestation::TrustRoots::vendors(), verifier_);
    EXPECT_TRUE(verdict.proven) << verdict.reason;
    EXPECT_NE(verdict.reason.find(words), std::string::npos) << verdict.reason;
    // The event alone holds it.
    const auto drafts = build_fraud_proof(proof, 1'800'000'100);
    ASSERT_EQ(drafts.size(), 1U);
    const auto read = parse_fraud_proof(signed_by(key_of("anybody"), drafts.front()));
    ASSERT_TRUE(read);
    EXPECT_TRUE(check_fraud_proof(*read, attestation::TrustRoots::vendors(), verifier_).proven);
    // A byte of any signature, and the word that another node did it.
    for (std::size_t i = 0; i < proof.events.size(); ++i) {
      FraudProof forged = proof;
      forged.events[i].sig.bytes[40] ^= 1;
      EXPECT_FALSE(check_fraud_proof(forged, attestation::TrustRoots::vendors(), verifier_).proven);
    }
    FraudProof other = proof;
    other.node = key_of("honest").public_key();
    EXPECT_FALSE(check_fraud_proof(other, attestation::TrustRoots::vendors(), verifier_).proven);
    FraudProof fewer = proof;
    fewer.events.pop_back();
    EXPECT_FALSE(check_fraud_proof(fewer, attestation::TrustRoots::vendors(), verifier_).proven);
  }

  void expect_nothing(FraudKind kind, std::vector<Event> events, std::string_view words) {
    const FraudVerdict verdict = check(kind, std::move(events));
    EXPECT_FALSE(verdict.proven) << verdict.reason;
    EXPECT_NE(verdict.reason.find(words), std::string::npos) << verdict.reason;
  }

  test::SeededRng rng_{14};
  Verifier verifier_;
  Keypair node_;
  Offer offer_;
  Event offer_event_;
  settlement::PriceTable prices_;
  settlement::NodeChannel book_;
};

// ---- Two answers --------------------------------------------------------------------------------

TEST_F(Fraud, TwoAnswersForOneRequest) {
  const ResponseRecord a = state(1, {100, 0, 50});
  ResponseRecord b = a;
  b.response_hash = test::digest_of("another");
  b.accepted_at_ms += 5'000;
  b.ended_at_ms += 5'000;
  expect_proven(FraudKind::TwoAnswers, {signed_record(a), signed_record(b)}, "two answers");
  expect_proven(FraudKind::TwoAnswers, {signed_record(b), signed_record(a)}, "two answers");
}

TEST_F(Fraud, TwoAnswersAreNoneWhen) {
  const ResponseRecord a = state(1, {100, 0, 50});
  const Event first = signed_record(a);
  expect_nothing(FraudKind::TwoAnswers, {first, first}, "one record");
  const auto tampered = [&](const std::function<void(ResponseRecord&)>& change) {
    ResponseRecord b = a;
    b.response_hash = test::digest_of("another");
    change(b);
    return std::vector{first, signed_record(b)};
  };
  expect_nothing(FraudKind::TwoAnswers,
                 tampered([](ResponseRecord& b) { b.request.bytes[0] ^= 1; }), "different");
  for (const RecordStatus status :
       {RecordStatus::Partial, RecordStatus::Cancelled, RecordStatus::ClientLost,
        RecordStatus::Unpaid, RecordStatus::Error, RecordStatus::EngineDied}) {
    expect_nothing(FraudKind::TwoAnswers, tampered([&](ResponseRecord& b) { b.status = status; }),
                   "not whole");
  }
  expect_nothing(FraudKind::TwoAnswers, tampered([](ResponseRecord& b) { b.usage = {}; }),
                 "no engine's");
  // An hour later the id means nothing any more.
  expect_nothing(FraudKind::TwoAnswers, tampered([&](ResponseRecord& b) {
                   b.accepted_at_ms = a.ended_at_ms + kAnswersKeptMsMin;
                   b.first_at_ms = b.accepted_at_ms;
                   b.ended_at_ms = b.accepted_at_ms + 1;
                 }),
                 "over");
  EXPECT_TRUE(check(FraudKind::TwoAnswers, tampered([&](ResponseRecord& b) {
                      b.accepted_at_ms = a.ended_at_ms + kAnswersKeptMsMin - 1;
                      b.ended_at_ms = b.accepted_at_ms + 1;
                    }))
                  .proven);
}

// ---- Price and cost -----------------------------------------------------------------------------

TEST_F(Fraud, AChargeAboveTheOffersPrices) {
  ResponseRecord a = state(1, {1'000'000, 0, 0});
  ASSERT_EQ(a.spent, Amount::of(150'000));
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(a)}, "no more than");
  expect_nothing(FraudKind::Cost, {offer_event_, signed_record(a)}, "its sums are");
  a.spent = Amount::of(150'001);
  a.cost = a.spent;
  expect_proven(FraudKind::Price, {offer_event_, signed_record(a)}, "150000 at most");
  expect_proven(FraudKind::Cost, {offer_event_, signed_record(a)}, "usage times price");
  // Less than the price is no overcharge, but no honest sum either.
  a.spent = Amount::of(149'999);
  a.cost = a.spent;
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(a)}, "no more than");
  expect_proven(FraudKind::Cost, {offer_event_, signed_record(a)}, "usage times price");
}

TEST_F(Fraud, OfALaterStatementItTakesTheOneBefore) {
  const ResponseRecord first = state(1, {1'000, 0, 10});
  ResponseRecord second = state(2, {2'000, 0, 20});
  const Event before = signed_record(first);
  ASSERT_EQ(second.previous, before.id);
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(second), before}, "no more");
  expect_nothing(FraudKind::Cost, {offer_event_, signed_record(second), before}, "its sums");
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(second)}, "missing");
  second.spent = *Amount::from(second.spent.value() + 1);
  expect_proven(FraudKind::Cost, {offer_event_, signed_record(second), before}, "calls the cost");
  second.cost = *Amount::from(second.cost.value() + 1);
  expect_proven(FraudKind::Price, {offer_event_, signed_record(second), before}, "at most");
  // Another request may have been stated in part before, so less can't be proven wrong.
  second.spent = first.spent;
  second.remainder = first.remainder;
  second.cost = {};
  expect_nothing(FraudKind::Cost, {offer_event_, signed_record(second), before}, "its sums");
}

TEST_F(Fraud, WhatWasStatedOfAnAnswerIsNotChargedAgain) {
  const ResponseRecord part = state(1, {1'000'000, 0, 10}, RecordStatus::Partial);
  const ResponseRecord other = state(2, {1'000, 0, 10});
  ResponseRecord whole = state(1, {1'000'000, 0, 20});
  const Event stated = signed_record(part);
  const Event before = signed_record(other);
  const Event honest = signed_record(whole);
  expect_nothing(FraudKind::Price, {offer_event_, honest, before, stated}, "no more");
  expect_nothing(FraudKind::Cost, {offer_event_, honest, before, stated}, "its sums");
  whole.cost = *Amount::from(whole.cost.value() + 100'000);
  whole.spent = *Amount::from(whole.spent.value() + 100'000);
  // Without the part it could be the first word of this answer.
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(whole), before}, "no more");
  expect_proven(FraudKind::Price, {offer_event_, signed_record(whole), before, stated}, "at most");
  // The same id long after is another answer: nobody can be framed with an old part.
  whole.accepted_at_ms += 90'000'000;
  whole.first_at_ms += 90'000'000;
  whole.ended_at_ms += 90'000'000;
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(whole), before, stated},
                 "nothing to do");
}

TEST_F(Fraud, AStatementRightAfterAPartIsExact) {
  const ResponseRecord part = state(1, {1'000'000, 0, 0}, RecordStatus::Partial);
  ResponseRecord whole = state(1, {1'000'000, 0, 1'000'000});
  const Event stated = signed_record(part);
  expect_nothing(FraudKind::Cost, {offer_event_, signed_record(whole), stated}, "its sums");
  ResponseRecord less = whole;
  less.spent = *Amount::from(less.spent.value() - 1);
  less.cost = *Amount::from(less.cost.value() - 1);
  expect_proven(FraudKind::Cost, {offer_event_, signed_record(less), stated}, "usage times price");
  less = whole;
  less.usage.input -= 1;
  expect_proven(FraudKind::Cost, {offer_event_, signed_record(less), stated}, "takes back");
}

TEST_F(Fraud, APriceInAnotherAsset) {
  ResponseRecord a = state(1, {100, 0, 50});
  a.asset = "wei";
  expect_proven(FraudKind::Price, {offer_event_, signed_record(a)}, "charges in wei");
}

TEST_F(Fraud, RecordsThatDoNotBelongTogetherProveNothing) {
  const ResponseRecord first = state(1, {1'000, 0, 10});
  const ResponseRecord second = state(2, {2'000, 0, 20});
  const ResponseRecord third = state(3, {2'000, 0, 20});
  expect_nothing(FraudKind::Price,
                 {offer_event_, signed_record(third), signed_record(second), signed_record(first)},
                 "nothing to do");
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(second), signed_record(third)},
                 "not one before");
  ResponseRecord elsewhere = first;
  elsewhere.channel = {test::digest_of("another channel").bytes};
  expect_nothing(FraudKind::Price, {offer_event_, signed_record(second), signed_record(elsewhere)},
                 "not one before");
  Offer cheaper = offer_;
  cheaper.prices = {{PriceUnit::Output, Amount::of(1)}};
  expect_nothing(FraudKind::Price, {signed_by(node_, build_offer(cheaper)), signed_record(first)},
                 "not made under this offer");
}

// ---- Rollback -----------------------------------------------------------------------------------

TEST_F(Fraud, TwoHistoriesOfOneChannel) {
  const ResponseRecord first = state(1, {1'000, 0, 10});
  const ResponseRecord second = state(2, {2'000, 0, 20});
  const ResponseRecord third = state(3, {2'000, 0, 20});
  const Event a = signed_record(first);
  const Event b = signed_record(second);
  const Event c = signed_record(third);
  expect_nothing(FraudKind::Rollback, {a, a}, "one record");
  expect_nothing(FraudKind::Rollback, {a, b}, "one history");
  expect_nothing(FraudKind::Rollback, {c, a}, "one history");
  ResponseRecord again = second;
  again.request.bytes.fill(9);
  expect_proven(FraudKind::Rollback, {b, signed_record(again)}, "the number 2");
  ResponseRecord other = second;
  other.previous = EventId{test::digest_of("never seen").bytes};
  expect_proven(FraudKind::Rollback, {a, signed_record(other)}, "names another one");
  ResponseRecord fallen = third;
  fallen.spent = Amount::of(1);
  fallen.cost = Amount::of(1);
  expect_proven(FraudKind::Rollback, {signed_record(fallen), a}, "was spent");
  again.channel = {test::digest_of("another channel").bytes};
  expect_nothing(FraudKind::Rollback, {b, signed_record(again)}, "different channels");
}

// ---- Evidence -----------------------------------------------------------------------------------

class EvidenceFraud : public ::testing::Test {
 protected:
  EvidenceFraud() : node_("ws://127.0.0.1:1") {}

  FraudVerdict check(const Event& offer, const Event& attestation) {
    return check_fraud_proof(
        {FraudKind::Evidence, node_.identity.public_key(), {offer, attestation}},
        attestation::TrustRoots::vendors(), verifier_);
  }

  AttestationEvent sound() {
    AttestationEvent out = node_.attestation_of(node_.statement);
    node_.offer.attestation = out.digest;
    return out;
  }

  test::HandMadeNode node_;
  Verifier verifier_;
};

TEST_F(EvidenceFraud, SoundEvidenceProvesNothingUnderAnyRoots) {
  const AttestationEvent attestation = sound();
  const FraudVerdict verdict = check(node_.signed_offer(), node_.signed_attestation(attestation));
  EXPECT_FALSE(verdict.proven) << verdict.reason;
  // Nor does its age.
  node_.offer.created_at += 1'000'000;
  node_.offer.expires_at += 1'000'000;
  const FraudVerdict old = check(node_.signed_offer(), node_.signed_attestation(attestation));
  EXPECT_FALSE(old.proven) << old.reason;
}

TEST_F(EvidenceFraud, AnOfferThatSaysOtherThanItsAttestation) {
  const Event attestation = node_.signed_attestation(sound());
  const Offer honest = node_.offer;
  const auto expect_caught = [&](std::string_view what) {
    const FraudVerdict verdict = check(node_.signed_offer(), attestation);
    EXPECT_TRUE(verdict.proven) << what << ": " << verdict.reason;
    node_.offer = honest;
  };
  node_.offer.weights = sha256(as_bytes("other weights"));
  expect_caught("weights");
  node_.offer.encryption_key = test::key_of("other N").public_key();
  expect_caught("N");
  node_.offer.encryption_key_expires_at -= 1;
  expect_caught("expiry");
  node_.offer.tee = "tdx";
  expect_caught("tee");
  node_.offer.attestation = test::digest_of("another");
  const FraudVerdict verdict = check(node_.signed_offer(), attestation);
  EXPECT_FALSE(verdict.proven);
}

TEST_F(EvidenceFraud, EvidenceOfSomethingElse) {
  // The quote commits to another key than the statement that it stands beside.
  attestation::Statement other = node_.statement;
  other.encryption_key = test::key_of("other N").public_key();
  AttestationEvent attestation = sound();
  attestation.evidence = node_.attestation_of(other).evidence;
  FraudVerdict verdict = check(node_.signed_offer(), node_.signed_attestation(attestation));
  EXPECT_TRUE(verdict.proven) << verdict.reason;
  EXPECT_NE(verdict.reason.find("encryption_key"), std::string::npos) << verdict.reason;
  // One bit of the quote's body.
  auto evidence = attestation::unpack_evidence(sound().evidence).value();
  evidence.cpu_quote.at(200) ^= 1;
  attestation.evidence = attestation::pack_evidence(evidence);
  verdict = check(node_.signed_offer(), node_.signed_attestation(attestation));
  EXPECT_TRUE(verdict.proven) << verdict.reason;
  EXPECT_NE(verdict.reason.find("signature"), std::string::npos) << verdict.reason;
}

TEST_F(EvidenceFraud, WhatCannotBeReadOrIsMissingIsNoFraud) {
  AttestationEvent attestation = sound();
  attestation.evidence = "bm90IGV2aWRlbmNl";
  FraudVerdict verdict = check(node_.signed_offer(), node_.signed_attestation(attestation));
  EXPECT_FALSE(verdict.proven);
  EXPECT_NE(verdict.reason.find("can't read"), std::string::npos) << verdict.reason;
  auto evidence = attestation::unpack_evidence(sound().evidence).value();
  evidence.collateral.reset();
  attestation.evidence = attestation::pack_evidence(evidence);
  verdict = check(node_.signed_offer(), node_.signed_attestation(attestation));
  EXPECT_FALSE(verdict.proven) << verdict.reason;
}

// ---- Found while answers come -------------------------------------------------------------------

class FraudFound : public Fraud {
 protected:
  FraudFound() { watch_.on_offer(test::verified(offer_event_)); }

  void expect_fraud(const ResponseRecord& record, FraudKind kind) {
    const auto found = watch_.on_record(signed_record(record));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->proof.kind, kind) << found->reason;
  }

  void expect_fine(const ResponseRecord& record) {
    const auto found = watch_.on_record(signed_record(record));
    EXPECT_FALSE(found) << found->reason;
  }

  FraudWatch watch_{attestation::TrustRoots::vendors()};
};

TEST_F(FraudFound, AnHonestNodesRecordsInAnyOrderAndTwice) {
  const ResponseRecord first = state(1, {1'000, 0, 10}, RecordStatus::Partial);
  const ResponseRecord second = state(2, {2'000, 0, 20});
  const ResponseRecord third = state(1, {1'000, 0, 30});
  for (const auto* record : {&first, &third, &second, &first, &second, &third}) {
    expect_fine(*record);
  }
}

TEST_F(FraudFound, FindsEachFraudInRecords) {
  const ResponseRecord first = state(1, {1'000'000, 0, 10});
  expect_fine(first);
  ResponseRecord dear = state(2, {1'000'000, 0, 20});
  dear.cost = *Amount::from(dear.cost.value() * 2);
  dear.spent = *Amount::from(first.spent.value() + dear.cost.value());
  expect_fraud(dear, FraudKind::Price);
  ResponseRecord again = first;
  again.response_hash = test::digest_of("another");
  expect_fraud(again, FraudKind::TwoAnswers);
  ResponseRecord back = first;
  back.request.bytes.fill(9);
  expect_fraud(back, FraudKind::Rollback);
}

TEST_F(FraudFound, FindsAWrongSumWhenTheStatementBeforeComesLater) {
  const ResponseRecord first = state(1, {1'000'000, 0, 10});
  ResponseRecord second = state(2, {1'000'000, 0, 20});
  second.cost = *Amount::from(second.cost.value() + 5);
  expect_fine(second);
  expect_fraud(first, FraudKind::Cost);
}

}  // namespace
}  // namespace nostril::client
