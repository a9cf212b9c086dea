// What stands behind channels on a chain, and when a node claims.
#include "node/claims.h"

#include "base/clock.h"
#include "client/channel_store.h"
#include "node/contract_rail.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <memory>

namespace nostril::node {
namespace {

using settlement::evm::Mirror;

constexpr std::int64_t kNow = 1'800'000'000;

// ---- Rail ---------------------------------------------------------------------------------------

class ContractRailTest : public ::testing::Test {
 protected:
  ContractRailTest() {
    offer_.node.bytes.fill(9);
    offer_.asset = "eip155:31337/erc20:0x" + std::string(40, '5');
    offer_.rail = EvmRail{{{7}}, {{4}}};
    payment_.signer.bytes.fill(3);
    payment_.payer = EthereumAddress{{1}};
  }

  settlement::ChannelTerms terms() { return *rail_.channel(payment_, offer_); }

  void see(const std::vector<settlement::evm::ContractLog>& confirmed,
           const std::vector<settlement::evm::ContractLog>& fresh = {}) {
    const auto place = terms().chain->place;
    auto view = std::make_shared<ChainView>(
        ChainView{Mirror(place), Mirror(place), static_cast<std::uint64_t>(clock_.unix_s())});
    for (const auto& log : confirmed) view->confirmed.apply(log);
    view->newest = view->confirmed;
    for (const auto& log : fresh) view->newest.apply(log);
    rail_.update(view);
  }

  settlement::evm::ContractLog opened(std::uint64_t locked) {
    return settlement::evm::OpenedLog{id(), settlement::on_chain(terms()), Amount::of(locked)};
  }

  ChannelId id() { return settlement::channel_id(terms()); }

  FakeClock clock_{kNow};
  ContractRail rail_{clock_};
  Offer offer_;
  PaymentTerms payment_;
};

TEST_F(ContractRailTest, BacksWhatIsLockedAndConfirmed) {
  EXPECT_EQ(rail_.backing(terms()), Amount());  // no view yet
  see({}, {opened(100)});
  EXPECT_EQ(rail_.backing(terms()), Amount());
  see({opened(100)}, {settlement::evm::LockedLog{id(), Amount::of(150)}});
  EXPECT_EQ(rail_.backing(terms()), Amount::of(100));
  see({opened(100)}, {settlement::evm::LockedLog{id(), Amount::of(60)}});
  EXPECT_EQ(rail_.backing(terms()), Amount::of(60));
}

TEST_F(ContractRailTest, BacksNothingOnceACloseWasAskedForInAnyBlock) {
  see({opened(100)}, {settlement::evm::CloseRequestedLog{id(), 5}});
  EXPECT_EQ(rail_.backing(terms()), Amount());
}

TEST_F(ContractRailTest, BacksNothingWithAnOldView) {
  see({opened(100)});
  clock_.advance_ms(ContractRail::kViewAgeSMax * 1000);
  EXPECT_EQ(rail_.backing(terms()), Amount::of(100));
  clock_.advance_ms(1000);
  EXPECT_EQ(rail_.backing(terms()), Amount());
}

TEST_F(ContractRailTest, WantsAPayerAndNamesTheNodeInTheChannel) {
  const ChannelId before = id();
  offer_.node.bytes[0] ^= 1;
  EXPECT_NE(id(), before);
  payment_.payer.reset();
  EXPECT_FALSE(rail_.channel(payment_, offer_));
}

// ---- When to claim ------------------------------------------------------------------------------

Claimable worth(std::uint64_t amount, std::uint64_t close_at = 0) {
  Claimable out;
  out.worth = Amount::of(amount);
  out.close_at = close_at;
  return out;
}

TEST(ReasonToClaim, IsNoneWithoutAnythingToClaim) {
  EXPECT_EQ(reason_to_claim({}, {Amount::of(1), 0}, 1'000, true), std::nullopt);
}

TEST(ReasonToClaim, WaitsForSumOrTime) {
  const ClaimPolicy policy{Amount::of(100), 60};
  const std::vector<Claimable> some = {worth(60), worth(39)};
  EXPECT_EQ(reason_to_claim(some, policy, 59, false), std::nullopt);
  EXPECT_EQ(reason_to_claim(some, policy, 60, false), ClaimReason::Time);
  EXPECT_EQ(reason_to_claim(some, policy, 0, true), ClaimReason::Asked);
  const std::vector<Claimable> enough = {worth(60), worth(40)};
  EXPECT_EQ(reason_to_claim(enough, policy, 0, false), ClaimReason::Sum);
}

TEST(ReasonToClaim, DoesNotWaitWhereAChannelCloses) {
  const std::vector<Claimable> closing = {worth(1, 99)};
  EXPECT_EQ(reason_to_claim(closing, {Amount::of(100), 60}, 0, false), ClaimReason::Closing);
}

// ---- What to claim ------------------------------------------------------------------------------

class FindClaimableTest : public ::testing::Test {
 protected:
  FindClaimableTest() {
    auto opened = client::Journal::open(folder_.path() / "journal", loop_);
    CHECK(opened.has_value());
    journal_ = std::move(*opened);
  }

  /// A channel with so much locked and claimed, and a receipt for `paid`.
  ChannelId add(std::uint8_t salt, std::uint64_t locked, std::uint64_t claimed,
                std::uint64_t paid) {
    settlement::ChannelTerms terms{signer_.public_key(), {{9}}, "a", {salt}};
    terms.chain = settlement::ChainTerms{place_, {{1}}, payee_, token_};
    const ChannelId id = settlement::channel_id(terms);
    mirror_.apply(settlement::evm::OpenedLog{id, settlement::on_chain(terms), Amount::of(locked)});
    if (claimed > 0) mirror_.apply(settlement::evm::ClaimedLog{id, Amount::of(claimed)});
    BalanceReceipt receipt;
    receipt.signer = signer_.public_key();
    receipt.created_at = kNow;
    receipt.channel = id;
    receipt.amount = Amount::of(paid);
    client::StoredChannel row;
    row.terms = terms;
    row.snapshot.accepted = receipt.amount;
    const Event event = sign_event(build_receipt(receipt), signer_, rng_);
    row.paid = ChannelResync{record_event(), event, {}};
    bool kept = false;
    EXPECT_TRUE(journal_->commit({client::put_channel(row)}, [&](bool good) { kept = good; }));
    EXPECT_TRUE(test::run_until(loop_, [&] { return kept; }));
    return id;
  }

  Event record_event() {
    const Offer offer = test::example_offer(test::key_of("node"), test::key_of("N").public_key());
    return sign_event(build_record(test::example_record(offer)), test::key_of("node"), rng_);
  }

  std::vector<Claimable> find(std::uint64_t least = 1) {
    return find_claimable(*journal_, place_, mirror_, payee_, token_, Amount::of(least));
  }

  test::TempDir folder_;
  net::Loop loop_;
  SystemRng rng_;
  Keypair signer_ = Keypair::generate(rng_);
  settlement::evm::ContractPlace place_{31337, {{7}}};
  EthereumAddress payee_{{4}};
  EthereumAddress token_{{5}};
  Mirror mirror_{place_};
  std::unique_ptr<client::Journal> journal_;
};

TEST_F(FindClaimableTest, CountsWhatIsNewAndLocked) {
  add(1, 100, 30, 80);
  add(2, 100, 80, 80);   // nothing new
  add(3, 100, 20, 500);  // worth what is locked
  add(4, 100, 0, 3);     // less than is worth a row
  const auto found = find(5);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].worth, Amount::of(80));
  EXPECT_EQ(found[1].worth, Amount::of(50));
}

TEST_F(FindClaimableTest, PutsClosingChannelsFirst) {
  add(1, 100, 0, 90);
  const ChannelId closing = add(2, 100, 0, 10);
  mirror_.apply(settlement::evm::CloseRequestedLog{closing, 99});
  const auto found = find();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].id, closing);
}

TEST_F(FindClaimableTest, LeavesOtherPayeesAndTokensAlone) {
  add(1, 100, 0, 90);
  payee_.bytes[0] ^= 1;
  EXPECT_TRUE(find().empty());
  payee_.bytes[0] ^= 1;
  token_.bytes[0] ^= 1;
  EXPECT_TRUE(find().empty());
}

}  // namespace
}  // namespace nostril::node
