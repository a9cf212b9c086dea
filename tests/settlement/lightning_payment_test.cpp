#include "schnorr/hash.h"
#include "settlement/lightning/payment.h"

#include <gtest/gtest.h>

namespace nostril::settlement::lightning {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;
const Digest kPreimage{{5}};

Payment outgoing() {
  Payment out;
  out.hash = sha256(kPreimage.bytes);
  out.outgoing = true;
  out.amount = 1000;
  out.expires_at = kNow + 600;
  return out;
}

WalletTransaction found(TransactionState state, std::optional<Digest> preimage = {}) {
  WalletTransaction out;
  out.state = state;
  out.payment_hash = outgoing().hash;
  out.preimage = preimage;
  out.amount = 1000;
  out.fees = 7;
  return out;
}

TEST(LightningPayment, IsSentOnceAndNotAgainBeforeTheFirstRequestIsOver) {
  Payment payment = outgoing();
  EXPECT_TRUE(may_send(payment, false, kNow));
  note_sent(payment, kNow);
  EXPECT_EQ(payment.sent_until, kNow + kPayRequestS);
  EXPECT_FALSE(may_send(payment, false, kNow + 1));
  EXPECT_FALSE(may_send(payment, true, kNow + kPayRequestS + kClockSlackS)) << "it may still come";
  EXPECT_FALSE(may_send(payment, false, kNow + kPayRequestS + kClockSlackS + 1)) << "not looked up";
  EXPECT_TRUE(may_send(payment, true, kNow + kPayRequestS + kClockSlackS + 1));
  EXPECT_FALSE(may_send(payment, true, payment.expires_at));
}

TEST(LightningPayment, IsSettledByItsPreimageOnly) {
  Payment payment = outgoing();
  EXPECT_FALSE(note_paid(payment, Digest{{6}}, 1));
  EXPECT_EQ(payment.state, PaymentState::Waiting);
  note_lookup(payment, found(TransactionState::Settled), kNow);
  note_lookup(payment, found(TransactionState::Settled, Digest{{6}}), kNow);
  EXPECT_EQ(payment.state, PaymentState::Waiting);
  note_lookup(payment, found(TransactionState::Settled, kPreimage), kNow);
  EXPECT_EQ(payment.state, PaymentState::Settled);
  EXPECT_EQ(payment.fees, 7U);
  EXPECT_FALSE(may_send(payment, true, kNow + 300));
}

TEST(LightningPayment, FailsOnlyWhenNothingCanPayItAnyMore) {
  Payment payment = outgoing();
  note_sent(payment, kNow);
  note_lookup(payment, found(TransactionState::Failed), kNow + 5);
  EXPECT_EQ(payment.state, PaymentState::Waiting) << "the request may be taken up again";
  note_refused(payment, WalletErrorCode::PaymentFailed);
  note_refused(payment, WalletErrorCode::Internal);
  note_unknown(payment, kNow + 300);
  EXPECT_EQ(payment.state, PaymentState::Waiting);
  note_lookup(payment, found(TransactionState::Failed), kNow + kPayRequestS + kClockSlackS + 1);
  EXPECT_EQ(payment.state, PaymentState::Failed);

  Payment refused = outgoing();
  note_sent(refused, kNow);
  note_refused(refused, WalletErrorCode::InsufficientBalance);
  EXPECT_EQ(refused.state, PaymentState::Failed);

  Payment unknown = outgoing();
  note_unknown(unknown, unknown.expires_at + kClockSlackS);
  EXPECT_EQ(unknown.state, PaymentState::Waiting);
  note_unknown(unknown, unknown.expires_at + kClockSlackS + 1);
  EXPECT_EQ(unknown.state, PaymentState::Failed);
}

TEST(LightningPayment, IncomingCountsWhenAllOfItIsHere) {
  Payment payment = outgoing();
  payment.outgoing = false;
  WalletTransaction less = found(TransactionState::Settled);
  less.amount = 999;
  note_lookup(payment, less, kNow);
  note_lookup(payment, found(TransactionState::Pending), kNow);
  note_lookup(payment, found(TransactionState::Expired), kNow);
  EXPECT_EQ(payment.state, PaymentState::Waiting);
  WalletTransaction other = found(TransactionState::Settled);
  other.payment_hash = Digest{{1}};
  note_lookup(payment, other, kNow);
  EXPECT_EQ(payment.state, PaymentState::Waiting);
  EXPECT_FALSE(may_send(payment, true, kNow));
  EXPECT_FALSE(note_paid(payment, kPreimage, 0));
  Payment late = payment;
  note_lookup(late, found(TransactionState::Pending), kNow + 13 * 86'400);
  EXPECT_EQ(late.state, PaymentState::Waiting);
  note_lookup(late, found(TransactionState::Pending), kNow + 15 * 86'400);
  EXPECT_EQ(late.state, PaymentState::Failed);
  note_lookup(payment, found(TransactionState::Settled), kNow);
  EXPECT_EQ(payment.state, PaymentState::Settled);
  note_lookup(payment, found(TransactionState::Failed), kNow + 10'000);
  EXPECT_EQ(payment.state, PaymentState::Settled);
}

TEST(ChannelSums, CountDepositsThatCameAndRefundsThatMayHaveGone) {
  const ChannelId channel{{1}};
  const auto one = [&](PaymentPurpose purpose, PaymentState state, Msat amount, ChannelId of) {
    Payment out;
    out.channel = of;
    out.purpose = purpose;
    out.state = state;
    out.amount = amount;
    return out;
  };
  const std::vector<Payment> all = {
      one(PaymentPurpose::Deposit, PaymentState::Settled, 1000, channel),
      one(PaymentPurpose::Deposit, PaymentState::Waiting, 2000, channel),
      one(PaymentPurpose::Deposit, PaymentState::Failed, 4000, channel),
      one(PaymentPurpose::Deposit, PaymentState::Settled, 500, channel),
      one(PaymentPurpose::Deposit, PaymentState::Settled, 9000, ChannelId{{2}}),
      one(PaymentPurpose::Refund, PaymentState::Waiting, 100, channel),
      one(PaymentPurpose::Refund, PaymentState::Failed, 200, channel),
      one(PaymentPurpose::Refund, PaymentState::Settled, 300, channel),
  };
  const ChannelSums sums = sums_of(all, channel);
  EXPECT_EQ(sums, (ChannelSums{1500, 400}));
  EXPECT_EQ(backing_of(sums, 50), Amount::of(1150));
  EXPECT_EQ(refundable(sums, Amount::of(1000)), 100U);
  EXPECT_EQ(refundable(sums, Amount::of(1100)), 0U);
  EXPECT_EQ(refundable(sums, Amount::of(5000)), 0U);
  EXPECT_EQ((ChannelSums{5, 6}).left(), 0U);
}

// ---- Paying by itself ---------------------------------------------------------------------------

TEST(PayPolicy, PaysWhatIsOwedWithinItsLimits) {
  const auto paid = [](Msat amount, std::int64_t at, PaymentState state = PaymentState::Settled,
                       PaymentPurpose purpose = PaymentPurpose::Step) {
    Payment out;
    out.outgoing = true;
    out.amount = amount;
    out.created_at = at;
    out.state = state;
    out.purpose = purpose;
    return out;
  };
  const PayPolicy policy{1'000, 2'500};
  const Amount most = Amount::of(5'000);
  EXPECT_EQ(payable(policy, {}, 700, most, kNow), 700U);
  EXPECT_EQ(payable(policy, {}, 5'000, most, kNow), 1'000U) << "at once";
  EXPECT_EQ(payable(policy, {}, 5'000, Amount::of(300), kNow), 300U) << "the node takes no more";
  EXPECT_EQ(payable(policy, {}, 0, most, kNow), 0U);
  const std::vector<Payment> today = {
      paid(1'000, kNow - 86'399), paid(900, kNow - 5, PaymentState::Waiting),
      paid(1'000, kNow - 86'400),                                          // yesterday's
      paid(1'000, kNow - 1, PaymentState::Failed),                         // never paid
      paid(9'000, kNow, PaymentState::Settled, PaymentPurpose::Deposit)};  // the user's own
  EXPECT_EQ(paid_in_a_day(today, kNow), 1'900U);
  EXPECT_EQ(payable(policy, today, 5'000, most, kNow), 600U) << "what is left of the day";
  std::vector<Payment> all = today;
  all.push_back(paid(600, kNow));
  EXPECT_EQ(payable(policy, all, 5'000, most, kNow), 0U);
  EXPECT_EQ(payable(policy, all, 5'000, most, kNow + 1), 1'000U) << "the first is a day old";
  all.push_back(paid(2'500, kNow + 9'000));  // the clock was set back
  EXPECT_EQ(payable(policy, all, 5'000, most, kNow + 1), 0U);
  for (const PayPolicy& off : {PayPolicy{}, PayPolicy{1'000, 0}, PayPolicy{0, 1'000}}) {
    EXPECT_FALSE(off.pays());
    EXPECT_EQ(payable(off, {}, 700, most, kNow), 0U);
  }
}

TEST(PayPolicy, OwesWhatNoDepositCovers) {
  EXPECT_EQ(owed({1'000, 200}, Amount::of(900)), 100U);
  EXPECT_EQ(owed({1'000, 200}, Amount::of(800)), 0U);
  EXPECT_EQ(owed({}, Amount::of(5)), 5U);
  EXPECT_EQ(owed({}, *Amount::from(Amount::kMax)), kMsatMax);
  EXPECT_TRUE(is_near(500, Amount::of(1'000)));
  EXPECT_FALSE(is_near(499, Amount::of(1'000)));
  EXPECT_FALSE(is_near(0, Amount()));
  EXPECT_TRUE(is_near(1, *Amount::from(2)));
}

}  // namespace
}  // namespace nostril::settlement::lightning
