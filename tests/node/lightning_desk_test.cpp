// Deposits and refunds of a node: what is credited and what goes back, whatever the wallet service
// does, and wherever the node ends.
#include "node/lightning_desk.h"

#include "tests/support/hand_made_wallet.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

constexpr std::int64_t kNow = 1'700'000'100;
constexpr Msat kMost = 1'000'000;

// ---- Rail ---------------------------------------------------------------------------------------

TEST(DepositRail, NamesChannelsOfItsOwnAndBacksThem) {
  Offer offer;
  offer.node.bytes.fill(9);
  offer.asset = "msat";
  const PaymentTerms payment{PublicKey{{3}}, {1, 2}};
  DepositRail rail(500);
  const auto terms = rail.channel(payment, offer);
  ASSERT_TRUE(terms);
  EXPECT_TRUE(terms->lightning);
  settlement::ChannelTerms plain = *terms;
  plain.lightning = false;
  EXPECT_NE(settlement::channel_id(*terms), settlement::channel_id(plain));
  EXPECT_EQ(rail.backing(*terms), Amount::of(500)) << "nothing is followed yet";
  EXPECT_EQ(rail.backing(plain), std::nullopt) << "of a free offer";

  const test::TempDir folder;
  net::Loop loop;
  auto journal = client::Journal::open(folder.path() / "journal", loop);
  ASSERT_TRUE(journal);
  client::LightningBook book(**journal);
  rail.follow(book);
  Payment deposit;
  deposit.hash = {{1}};
  deposit.channel = settlement::channel_id(*terms);
  deposit.amount = 7'000;
  book.put(deposit);
  EXPECT_EQ(rail.backing(*terms), Amount::of(500)) << "not settled";
  deposit.state = PaymentState::Settled;
  book.put(deposit);
  book.put(deposit);  // the same news again
  EXPECT_EQ(rail.backing(*terms), Amount::of(7'500));
  Payment refund = deposit;
  refund.hash = {{2}};
  refund.purpose = PaymentPurpose::Refund;
  refund.outgoing = true;
  refund.amount = 3'000;
  refund.state = PaymentState::Waiting;
  book.put(refund);
  EXPECT_EQ(rail.backing(*terms), Amount::of(4'500)) << "it may be gone already";
  refund.state = PaymentState::Failed;
  book.put(refund);
  EXPECT_EQ(rail.backing(*terms), Amount::of(7'500));
}

// ---- Desk ---------------------------------------------------------------------------------------

class LightningDeskTest : public ::testing::Test {
 protected:
  LightningDeskTest() {
    config_.lightning.nwc_file = (folder_.path() / "nwc").string();
    config_.lightning.network = "bcrt";
    config_.lightning.deposit_max = kMost;
    wallet_.write(config_.lightning.nwc_file);
    EXPECT_TRUE(test::run_until(loop_, [this] { return wallet_.ready(); }));
    wallet_.introduce();
    restart();
  }

  /// As after a power cut: nothing is left but what the journal has on the disk.
  void restart() {
    desk_.reset();
    journal_.reset();
    auto opened = client::Journal::open(folder_.path() / "journal", loop_);
    ASSERT_TRUE(opened) << opened.error();
    journal_ = std::move(*opened);
    desk_ = std::make_unique<LightningDesk>(
        config_, *journal_, node_.public_key(), loop_, clock_, rng_,
        LightningDesk::Callbacks{[this](const auto&) { return Amount::of(spent_); },
                                 [this] { ++backing_changes_; }});
  }

  using Answered = Result<DeskState, ErrorCode>;

  Answered ask(const DeskWish& wish) {
    std::optional<Answered> out;
    desk_->handle(wish_text(wish), [&](const Result<std::string, AnswerRefusal>& text) {
      EXPECT_FALSE(out) << "answered twice";
      if (!text) {
        out = failure(text.error().code);
        return;
      }
      const auto state = parse_state(*text);
      EXPECT_TRUE(state) << *text;
      if (state) out = *state;
    });
    EXPECT_TRUE(test::run_until(loop_, [&] { return out.has_value(); }));
    return out.value_or(Answered(failure(ErrorCode::Internal)));
  }

  [[nodiscard]] DeskChannel channel() const { return {signer_.public_key(), {1, 2, 3}}; }

  [[nodiscard]] ChannelId id() const {
    settlement::ChannelTerms terms{signer_.public_key(), node_.public_key(), "msat",
                                   channel().salt};
    terms.lightning = true;
    return settlement::channel_id(terms);
  }

  ChannelSums sums() { return desk_->book().sums(id()); }

  static PaymentHash hash_of(const DeskState& state) {
    const auto invoice = parse_bolt11(state.invoice.value_or(""));
    EXPECT_TRUE(invoice);
    return invoice ? invoice->payment_hash : PaymentHash{};
  }

  void must_deposit(Msat amount) {
    const Msat before = sums().deposited;
    const auto state = ask(AskDeposit{channel(), amount});
    ASSERT_TRUE(state);
    wallet_.receive(hash_of(*state));
    EXPECT_TRUE(look_until([&] { return sums().deposited == before + amount; }));
  }

  /// The desk's looks are seconds apart, by the test's clock.
  bool look_until(const std::function<bool()>& condition) {
    return test::run_until(loop_, [&] {
      clock_.advance_ms(50);
      return condition();
    });
  }

  struct Refund {
    AskRefund wish;
    PaymentHash hash;
  };

  Refund refund_of(Msat amount, const Keypair& signer) {
    Digest preimage;
    rng_.fill(preimage.bytes);
    const PaymentHash hash = sha256(preimage.bytes);
    wallet_.secrets[hash] = preimage;
    const RefundOrder order{signer.public_key(), clock_.unix_s(), id(), amount,
                            wallet_.invoice_of(amount, preimage, "back")};
    return {{channel(), sign_event(build_refund(order), signer, rng_)}, hash};
  }

  Refund refund_of(Msat amount) { return refund_of(amount, signer_); }

  test::TempDir folder_;
  FakeClock clock_{kNow};
  test::SeededRng rng_{20};
  net::Loop loop_;
  test::TestRelay relay_{loop_};
  test::HandMadeWallet wallet_{loop_, clock_, rng_, relay_.url()};
  Keypair node_ = Keypair::generate(rng_);
  Keypair signer_ = Keypair::generate(rng_);
  NodeConfig config_;
  std::unique_ptr<client::Journal> journal_;
  std::unique_ptr<LightningDesk> desk_;
  std::uint64_t spent_ = 0;
  int backing_changes_ = 0;
};

TEST_F(LightningDeskTest, CreditsADepositOnceWhenItIsThere) {
  const auto first = ask(AskDeposit{channel(), 5'000});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->payment, PaymentState::Waiting);
  const auto again = ask(AskDeposit{channel(), 5'000});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->invoice, first->invoice) << "the same wish";
  EXPECT_EQ(sums().deposited, 0U);
  restart();
  wallet_.receive(hash_of(*first), true);
  wallet_.receive(hash_of(*first), true);  // told twice
  EXPECT_TRUE(look_until([&] { return sums().deposited == 5'000; }));
  const int changes = backing_changes_;
  wallet_.receive(hash_of(*first), true);
  for (int i = 0; i < 100; ++i) look_until([] { return true; });
  test::run_for(loop_, 700);
  EXPECT_EQ(sums().deposited, 5'000U);
  EXPECT_EQ(backing_changes_, changes);
  restart();
  EXPECT_EQ(sums().deposited, 5'000U);
  const auto more = ask(AskDeposit{channel(), 5'000});
  ASSERT_TRUE(more);
  EXPECT_NE(more->invoice, first->invoice) << "that one was paid";
}

TEST_F(LightningDeskTest, GivesOutNoInvoiceThatAPayerWouldRefuse) {
  wallet_.network = "bc";
  EXPECT_FALSE(ask(AskDeposit{channel(), 5'000}));
  wallet_.network = "bcrt";
  wallet_.other_description = "nostril deposit of somebody else";
  EXPECT_FALSE(ask(AskDeposit{channel(), 5'000}));
  wallet_.other_description.reset();
  wallet_.other_amount = 4'999;
  EXPECT_FALSE(ask(AskDeposit{channel(), 5'000}));
  wallet_.other_amount.reset();
  wallet_.refusals["make_invoice"] = "INTERNAL";
  EXPECT_FALSE(ask(AskDeposit{channel(), 5'000}));
  wallet_.refusals.clear();
  EXPECT_TRUE(desk_->book().payments().empty());
  EXPECT_EQ(ask(AskDeposit{channel(), kMost + 1}).error(), ErrorCode::BadRequest);
  EXPECT_TRUE(ask(AskDeposit{channel(), kMost}));
}

TEST_F(LightningDeskTest, BoundsDepositsThatNobodyHasPaid) {
  for (Msat i = 1; i <= LightningDesk::kChannelWaitingMax; ++i) {
    EXPECT_TRUE(ask(AskDeposit{channel(), i * 1'000}));
  }
  EXPECT_EQ(ask(AskDeposit{channel(), 9'000}).error(), ErrorCode::Busy);
  EXPECT_TRUE(ask(AskDeposit{channel(), 1'000})) << "known";
  const DeskChannel other{signer_.public_key(), {9}};
  EXPECT_TRUE(ask(AskDeposit{other, 9'000})) << "another channel";
}

TEST_F(LightningDeskTest, PaysARefundOnceHoweverOftenItIsOrdered) {
  must_deposit(50'000);
  spent_ = 20'000;
  const Refund refund = refund_of(30'000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ask(refund.wish));
  EXPECT_TRUE(
      look_until([&] { return desk_->book().find(refund.hash)->state == PaymentState::Settled; }));
  restart();
  EXPECT_EQ(ask(refund.wish)->payment, PaymentState::Settled);
  test::run_for(loop_, 700);
  EXPECT_EQ(wallet_.pay_requests.at(refund.hash), 1);
  EXPECT_EQ(sums().refunded, 30'000U);
  EXPECT_EQ(ask(refund_of(1).wish).error(), ErrorCode::PaymentRequired);
}

TEST_F(LightningDeskTest, PaysNoOrderThatIsNotRight) {
  must_deposit(50'000);
  const Keypair other = Keypair::generate(rng_);
  EXPECT_FALSE(ask(refund_of(1'000, other).wish));
  EXPECT_EQ(ask(refund_of(50'001).wish).error(), ErrorCode::PaymentRequired);
  spent_ = 49'500;
  EXPECT_EQ(ask(refund_of(501).wish).error(), ErrorCode::PaymentRequired);
  Refund changed = refund_of(400);
  changed.wish.order.sig.bytes[5] ^= 1;
  EXPECT_FALSE(ask(changed.wish));
  changed = refund_of(400);
  changed.wish.channel.salt = {7};  // an order for one channel, shown for another
  EXPECT_FALSE(ask(changed.wish));
  // The node's own invoice, of a deposit.
  const auto own = ask(AskDeposit{channel(), 300});
  const RefundOrder order{signer_.public_key(), clock_.unix_s(), id(), 300, *own->invoice};
  EXPECT_FALSE(ask(AskRefund{channel(), sign_event(build_refund(order), signer_, rng_)}));
  // An invoice that asks for more than the order says, or that is of another network.
  Digest preimage{{4}};
  for (const std::string& invoice :
       {wallet_.invoice_of(401, preimage, "back"), wallet_.invoice_of(400, preimage, "back", "bc"),
        std::string("lnbcrt1")}) {
    const RefundOrder bad{signer_.public_key(), clock_.unix_s(), id(), 400, invoice};
    EXPECT_FALSE(ask(AskRefund{channel(), sign_event(build_refund(bad), signer_, rng_)}));
  }
  EXPECT_TRUE(wallet_.pay_requests.empty());
  EXPECT_EQ(sums().refunded, 0U);
}

/// The node ends after the row is on the disk and before its wallet has acted on the request.
TEST_F(LightningDeskTest, SendsARefundAgainOnlyWhenTheFirstRequestIsOverAndUnknown) {
  must_deposit(50'000);
  wallet_.silent = {"pay_invoice"};
  const Refund refund = refund_of(10'000);
  EXPECT_TRUE(ask(refund.wish));
  // The request is on its way still when the desk has answered.
  EXPECT_TRUE(test::run_until(loop_, [&] { return wallet_.passed_over == 1; }));
  restart();
  EXPECT_EQ(sums().refunded, 10'000U) << "booked before the wallet was asked";
  wallet_.silent.clear();
  const auto state = [&] { return desk_->book().find(refund.hash)->state; };
  test::run_for(loop_, 1'200);  // it was looked up, and is not known
  EXPECT_EQ(wallet_.pay_requests.size(), 0U);
  EXPECT_EQ(state(), PaymentState::Waiting);
  EXPECT_EQ(ask(refund.wish)->payment, PaymentState::Waiting);
  clock_.advance_ms((kPayRequestS + kClockSlackS + 1) * 1'000);
  EXPECT_TRUE(look_until([&] { return state() == PaymentState::Settled; }));
  EXPECT_EQ(wallet_.pay_requests.at(refund.hash), 1);
}

/// … and after it has, without its answer.
TEST_F(LightningDeskTest, LooksUpARefundWhoseAnswerWasLost) {
  must_deposit(50'000);
  wallet_.lost = {"pay_invoice"};
  const Refund refund = refund_of(10'000);
  EXPECT_TRUE(ask(refund.wish));
  EXPECT_TRUE(look_until([&] { return wallet_.pay_requests.contains(refund.hash); }));
  restart();
  EXPECT_TRUE(
      look_until([&] { return desk_->book().find(refund.hash)->state == PaymentState::Settled; }));
  clock_.advance_ms((kPayRequestS + kClockSlackS + 1) * 1'000);
  test::run_for(loop_, 700);
  EXPECT_EQ(wallet_.pay_requests.at(refund.hash), 1);
  EXPECT_EQ(sums().refunded, 10'000U);
}

TEST_F(LightningDeskTest, BelievesNoPreimageThatIsNotTheInvoices) {
  must_deposit(50'000);
  wallet_.wrong_preimage = true;
  wallet_.refusals["lookup_invoice"] = "INTERNAL";
  const Refund refund = refund_of(10'000);
  EXPECT_TRUE(ask(refund.wish));
  EXPECT_TRUE(look_until([&] { return wallet_.pay_requests.contains(refund.hash); }));
  test::run_for(loop_, 700);
  EXPECT_EQ(desk_->book().find(refund.hash)->state, PaymentState::Waiting);
  EXPECT_EQ(sums().refunded, 10'000U) << "it may be gone";
}

TEST_F(LightningDeskTest, ARefusedRefundIsBackBehindTheChannel) {
  must_deposit(50'000);
  wallet_.refusals["pay_invoice"] = "INSUFFICIENT_BALANCE";
  const Refund refund = refund_of(10'000);
  EXPECT_TRUE(ask(refund.wish));
  EXPECT_TRUE(
      look_until([&] { return desk_->book().find(refund.hash)->state == PaymentState::Failed; }));
  EXPECT_EQ(sums(), (ChannelSums{50'000, 0}));
  wallet_.refusals.clear();
  EXPECT_EQ(ask(refund.wish)->payment, PaymentState::Failed) << "never again under this hash";
  EXPECT_TRUE(ask(refund_of(50'000).wish));
}

/// Deposits, refunds, spending, lost answers and power cuts in any order: what is credited is what
/// the wallet received, what goes back was deposited and not spent, and no hash is paid twice.
TEST_F(LightningDeskTest, NothingIsCreditedTwiceNorRefundedThatIsNotThere) {
  std::vector<PaymentHash> unpaid;
  std::vector<Refund> refunds;
  Msat received = 0;
  for (int step = 0; step < 120; ++step) {
    switch (rng_.below(8)) {
      case 0:
      case 1:
        if (const auto state = ask(AskDeposit{channel(), 1'000 + rng_.below(9'000)})) {
          const PaymentHash hash = hash_of(*state);
          if (!std::ranges::count(unpaid, hash)) unpaid.push_back(hash);
        }
        break;
      case 2:
      case 3:
        if (!unpaid.empty()) {
          const std::size_t at = rng_.below(unpaid.size());
          const PaymentHash hash = unpaid[at];
          unpaid.erase(unpaid.begin() + static_cast<std::ptrdiff_t>(at));
          if (rng_.below(3) == 0) {  // the news comes while the node is away, and again
            wallet_.receive(hash, true);
            restart();
          }
          received += wallet_.book.at(hash).amount;
          ASSERT_TRUE(look_until([&] {
            wallet_.receive(hash, true);
            return sums().deposited == received;
          }));
        }
        break;
      case 4:
        refunds.push_back(refund_of(1 + rng_.below(6'000)));
        static_cast<void>(ask(refunds.back().wish));
        break;
      case 5:
        if (!refunds.empty()) {
          static_cast<void>(ask(refunds[rng_.below(refunds.size())].wish));
        }
        break;
      case 6: {
        const Msat left = refundable(sums(), Amount::of(spent_));
        spent_ += rng_.below(left / 2 + 1);
        break;
      }
      default:
        wallet_.lost =
            rng_.below(2) == 0 ? std::set<std::string>{"pay_invoice"} : std::set<std::string>{};
        restart();
    }
    const ChannelSums now = sums();
    ASSERT_LE(now.deposited, received);
    ASSERT_LE(now.refunded + spent_, now.deposited);
  }
  wallet_.lost.clear();
  EXPECT_TRUE(look_until([&] { return sums().deposited == received; }));
  const auto decided = [&] {
    return std::ranges::none_of(desk_->book().payments(), [](const Payment& one) {
      return one.outgoing && one.state == PaymentState::Waiting;
    });
  };
  EXPECT_TRUE(look_until(decided));
  Msat paid = 0;
  for (const auto& [hash, times] : wallet_.pay_requests) {
    EXPECT_EQ(times, 1);
    paid += wallet_.book.at(hash).amount;
  }
  EXPECT_EQ(sums().refunded, paid);
  EXPECT_LE(paid + spent_, received);
  EXPECT_GT(paid, 0U);
}

}  // namespace
}  // namespace nostril::node
