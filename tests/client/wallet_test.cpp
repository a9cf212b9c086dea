#include "client/wallet.h"

#include "client/funded_channel.h"
#include "client/lightning_book.h"
#include "schnorr/hash.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::client {
namespace {

using settlement::PayerRefusal;

/// A wallet, and the book of a node that states what it likes.
class WalletTest : public ::testing::Test {
 protected:
  WalletTest() {
    offer_.node = node_.public_key();
    offer_.asset = "msat";
    offer_.id.bytes.fill(3);
    offer_.prices = {{PriceUnit::Output, Amount::of(1'000'000)}};
    restart();
  }

  void restart(std::uint64_t budget = 1000) {
    wallet_.reset();
    journal_.reset();
    auto opened = Journal::open(folder_.path() / "journal", loop_);
    ASSERT_TRUE(opened) << opened.error();
    journal_ = std::move(*opened);
    wallet_ =
        std::make_unique<Wallet>(*journal_, signer_.duplicate(), Amount::of(budget), clock_, rng_);
  }

  settlement::NodeChannel& node_book(const Wallet::Ticket& ticket) {
    settlement::ChannelTerms terms{ticket.terms.signer, node_.public_key(), "msat",
                                   ticket.terms.salt};
    terms.lightning = offer_.lightning.has_value();
    EXPECT_EQ(settlement::channel_id(terms), ticket.channel);
    return books_.try_emplace(ticket.channel, terms, Amount::of(1'000'000)).first->second;
  }

  // What the wallet passes on is the channel's to judge.
  static constexpr settlement::UsageLimit kAnyUsage{{1U << 30U, 1U << 30U, 1U << 30U}, 1U << 30U};

  struct Stated {
    ResponseRecord record;
    Event event;
    settlement::ExpectedAnswer expected;
  };

  Stated state(const Wallet::Ticket& ticket, std::uint64_t tokens) {
    ResponseRecord record;
    record.node = node_.public_key();
    record.created_at = clock_.unix_s();
    rng_.fill(record.request.bytes);
    record.offer = offer_.id;
    record.model = "m";
    record.engine = "vllm";
    record.engine_version = "1";
    record.usage.output = tokens;
    settlement::NodeChannel& book = node_book(ticket);
    const auto prices = settlement::PriceTable::of(offer_);
    EXPECT_TRUE(book.statement(record, prices));
    const Event event = sign_event(build_record(record), node_, rng_);
    record.id = event.id;
    book.commit(record, prices);
    return {record,
            event,
            {record.request, record.request_hash, record.response_hash, record.offer, kAnyUsage}};
  }

  std::shared_ptr<std::optional<Wallet::Payment>> pay(const Stated& stated) {
    const auto out = std::make_shared<std::optional<Wallet::Payment>>();
    wallet_->pay(offer_, stated.record, stated.event, stated.expected,
                 [out](const Wallet::Payment& payment) {
                   EXPECT_FALSE(*out);
                   *out = payment;
                 });
    return out;
  }

  Wallet::Payment paid(const Stated& stated) {
    const auto out = pay(stated);
    EXPECT_TRUE(test::run_until(loop_, [&] { return out->has_value(); }));
    return out->value_or(Wallet::Payment{});
  }

  test::TempDir folder_;
  SystemClock clock_;
  SystemRng rng_;
  net::Loop loop_;
  Keypair signer_ = Keypair::generate(rng_);
  Keypair node_ = Keypair::generate(rng_);
  Offer offer_;
  std::map<ChannelId, settlement::NodeChannel> books_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Wallet> wallet_;
};

TEST_F(WalletTest, ARestartKeepsWhatWasSpent) {
  const auto first = *wallet_->open(offer_);
  const auto payment = paid(state(first, 5));
  ASSERT_TRUE(payment.receipt);
  EXPECT_EQ(parse_receipt(*payment.receipt)->amount, Amount::of(5));
  wallet_->close(first, true);
  restart();
  const auto second = *wallet_->open(offer_);
  EXPECT_EQ(second.channel, first.channel);
  const auto next = paid(state(second, 2));
  ASSERT_TRUE(next.receipt);
  EXPECT_EQ(parse_receipt(*next.receipt)->amount, Amount::of(7));
}

TEST_F(WalletTest, ACrashInMidAnswerLeavesTheChannel) {
  const auto first = *wallet_->open(offer_);
  ASSERT_FALSE(paid(state(first, 5)).refusal);
  static_cast<void>(state(first, 1));  // stated, and never seen here
  restart();
  const auto second = *wallet_->open(offer_);
  EXPECT_NE(second.channel, first.channel);
  EXPECT_FALSE(paid(state(second, 2)).refusal);
}

TEST_F(WalletTest, AnAnswerWithoutItsRecordLeavesTheChannelForTheNext) {
  const auto a = *wallet_->open(offer_);
  const auto b = *wallet_->open(offer_);
  EXPECT_EQ(a.channel, b.channel);
  wallet_->close(a, false);
  const auto c = *wallet_->open(offer_);
  EXPECT_NE(c.channel, b.channel);
  EXPECT_FALSE(paid(state(b, 1)).refusal) << "what runs on the old one is still paid";
  wallet_->close(b, true);
  wallet_->close(c, true);
  restart();
  EXPECT_EQ(wallet_->open(offer_)->channel, c.channel);
}

TEST_F(WalletTest, TheBudgetHoldsOverAllChannelsOfANode) {
  restart(10);
  const auto a = *wallet_->open(offer_);
  ASSERT_FALSE(paid(state(a, 6)).refusal);
  wallet_->close(a, false);
  const auto b = *wallet_->open(offer_);
  EXPECT_NE(a.channel, b.channel);
  EXPECT_EQ(paid(state(b, 5)).refusal, PayerRefusal::OverBudget);
}

TEST_F(WalletTest, ARecordWaitsForTheOneBeforeIt) {
  const auto ticket = *wallet_->open(offer_);
  const Stated first = state(ticket, 1);
  const Stated second = state(ticket, 2);
  const Stated third = state(ticket, 3);
  const auto late = pay(third);
  const auto later = pay(second);
  test::run_for(loop_, 50);
  EXPECT_FALSE(*late);
  EXPECT_FALSE(*later);
  ASSERT_FALSE(paid(first).refusal);
  ASSERT_TRUE(test::run_until(loop_, [&] { return late->has_value() && later->has_value(); }));
  EXPECT_EQ(parse_receipt(*(*later)->receipt)->amount, Amount::of(3));
  EXPECT_EQ(parse_receipt(*(*late)->receipt)->amount, Amount::of(6));
}

TEST_F(WalletTest, TheSameRecordAgainIsPaidByTheSameReceipt) {
  const auto ticket = *wallet_->open(offer_);
  const Stated stated = state(ticket, 4);
  const auto first = paid(stated);
  const auto second = paid(stated);
  ASSERT_TRUE(first.receipt && second.receipt);
  EXPECT_EQ(first.receipt->id, second.receipt->id);
}

TEST_F(WalletTest, RefusesWhatIsWrongAndSignsNothing) {
  const auto ticket = *wallet_->open(offer_);
  Stated dear = state(ticket, 4);
  dear.record.cost = dear.record.spent = Amount::of(5);
  EXPECT_EQ(paid(dear).refusal, PayerRefusal::WrongCost);
  Stated foreign = dear;
  foreign.record.channel.bytes[0] ^= 1;
  EXPECT_EQ(paid(foreign).refusal, PayerRefusal::WrongChannel);
  Stated other = dear;
  other.expected.response_hash.bytes[0] ^= 1;
  EXPECT_EQ(paid(other).refusal, PayerRefusal::WrongResponseHash);
  EXPECT_TRUE(all_receipts(*journal_, ticket.channel, 10).empty());
}

TEST_F(WalletTest, PaysANodeOnAChainOnlyOverAChannelThatIsOpenThere) {
  offer_.asset = "eip155:31337/slip44:60";
  offer_.rail = EvmRail{{{7}}, {{4}}};
  EXPECT_FALSE(wallet_->open(offer_));
  FundedChannel row;
  row.terms = {signer_.public_key(), offer_.node, offer_.asset, {1}};
  row.terms.chain = settlement::chain_terms(offer_, EthereumAddress{{1}});
  row.locked = Amount::of(10);
  const auto keep = [&](FundedState state) {
    row.state = state;
    bool kept = false;
    ASSERT_TRUE(journal_->commit({put_funded(row)}, [&](bool good) { kept = good; }));
    ASSERT_TRUE(test::run_until(loop_, [&] { return kept; }));
  };
  keep(FundedState::Opening);
  EXPECT_FALSE(wallet_->open(offer_));
  keep(FundedState::Open);
  const auto ticket = wallet_->open(offer_);
  ASSERT_TRUE(ticket);
  EXPECT_EQ(ticket->channel, settlement::channel_id(row.terms));
  EXPECT_EQ(ticket->terms.payer, row.terms.chain->payer);
  keep(FundedState::Closing);
  EXPECT_FALSE(wallet_->open(offer_));
  keep(FundedState::Open);
  offer_.rail->payee.bytes[1] ^= 1;  // another payee than the one that the money is locked for
  EXPECT_FALSE(wallet_->open(offer_));
}

TEST_F(WalletTest, TakesOverItsOwnNewerReceiptFromTheNode) {
  const auto ticket = *wallet_->open(offer_);
  const auto before = ticket;
  Wallet::Payment first;
  const Stated stated = state(ticket, 4);
  const Digest previous = settlement::first_running_hash(ticket.channel);
  first = paid(stated);
  ASSERT_TRUE(first.receipt);
  // A journal from before that payment, as from a backup: same channel, nothing spent.
  test::TempDir backup;
  auto opened = Journal::open(backup.path() / "journal", loop_);
  ASSERT_TRUE(opened);
  bool stored = false;
  const settlement::ChannelTerms terms{ticket.terms.signer, node_.public_key(), "msat",
                                       ticket.terms.salt};
  settlement::PayerChannel fresh(terms, Amount::of(1000));
  ASSERT_TRUE((*opened)->commit({put_channel({terms, fresh.snapshot(), {}, {}})},
                                [&](bool good) { stored = good; }));
  ASSERT_TRUE(test::run_until(loop_, [&] { return stored; }));
  Wallet old(**opened, signer_.duplicate(), Amount::of(1000), clock_, rng_);
  ASSERT_EQ(old.open(offer_)->channel, before.channel);
  Verifier verifier;
  // Not ours: a receipt by another key changes nothing.
  Event forged = *first.receipt;
  forged.sig.bytes[1] ^= 1;
  old.resync(offer_, {stated.event, forged, previous}, verifier);
  Offer other_node = offer_;
  other_node.node = signer_.public_key();
  old.resync(other_node, {stated.event, *first.receipt, previous}, verifier);
  old.resync(offer_, {stated.event, *first.receipt, previous}, verifier);
  const Stated next = state(ticket, 1);
  const auto out = std::make_shared<std::optional<Wallet::Payment>>();
  old.pay(offer_, next.record, next.event, next.expected,
          [out](const Wallet::Payment& payment) { *out = payment; });
  ASSERT_TRUE(test::run_until(loop_, [&] { return out->has_value(); }));
  ASSERT_FALSE((*out)->refusal);
  EXPECT_EQ(parse_receipt(*(*out)->receipt)->amount, Amount::of(5));
}

// ---- Paid after the fact ------------------------------------------------------------------------

class StepWalletTest : public WalletTest {
 protected:
  StepWalletTest() { offer_.lightning = LightningRail{"bcrt", Amount::of(10), Amount::of(1'000)}; }

  void deposit(
      const ChannelId& channel, std::uint64_t amount,
      settlement::lightning::PaymentState state = settlement::lightning::PaymentState::Settled) {
    LightningBook book(*journal_);
    settlement::lightning::Payment payment;
    rng_.fill(payment.hash.bytes);
    payment.channel = channel;
    payment.outgoing = true;
    payment.purpose = settlement::lightning::PaymentPurpose::Step;
    payment.state = state;
    payment.amount = amount;
    bool done = false;
    book.put(payment, [&](bool on_disk) { done = on_disk; });
    EXPECT_TRUE(test::run_until(loop_, [&] { return done; }));
  }
};

TEST_F(StepWalletTest, MakesNoChannelThatNobodyPays) {
  EXPECT_FALSE(wallet_->open(offer_));
  wallet_->allow_steps();
  EXPECT_TRUE(wallet_->open(offer_));
  offer_.node = signer_.public_key();
  offer_.lightning->step = Amount();
  EXPECT_FALSE(wallet_->open(offer_)) << "paid in advance: the user decides how much";
}

TEST_F(StepWalletTest, LeavesNoDebtBehindForANewChannel) {
  wallet_->allow_steps();
  const auto first = *wallet_->open(offer_);
  ASSERT_FALSE(paid(state(first, 10)).refusal);
  wallet_->close(first, true);
  EXPECT_FALSE(wallet_->open(offer_)) << "at its bound";
  deposit(first.channel, 4);
  const auto second = wallet_->open(offer_);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->channel, first.channel);
  ASSERT_FALSE(paid(state(*second, 4)).refusal);
  EXPECT_EQ(paid(state(*second, 1)).refusal, PayerRefusal::OverBudget);
}

TEST_F(StepWalletTest, SignsFurtherWhenADepositCameInMidAnswer) {
  wallet_->allow_steps();
  const auto ticket = *wallet_->open(offer_);
  ASSERT_FALSE(paid(state(ticket, 10)).refusal);
  deposit(ticket.channel, 10);
  ASSERT_FALSE(paid(state(ticket, 10)).refusal);
  EXPECT_EQ(paid(state(ticket, 1)).refusal, PayerRefusal::OverBudget);
}

TEST_F(StepWalletTest, TakesAPaymentThatIsNotDecidedForOneThatTheNodeMayHave) {
  wallet_->allow_steps();
  const auto ticket = *wallet_->open(offer_);
  ASSERT_FALSE(paid(state(ticket, 9)).refusal);
  deposit(ticket.channel, 9, settlement::lightning::PaymentState::Waiting);
  ASSERT_FALSE(paid(state(ticket, 10)).refusal);
  EXPECT_EQ(paid(state(ticket, 1)).refusal, PayerRefusal::OverBudget);
}

}  // namespace
}  // namespace nostril::client
