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

}  // namespace
}  // namespace nostril::settlement::lightning
