#include "settlement/channel.h"

#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <functional>
#include <iostream>
#include <map>
#include <random>

namespace nostril::settlement {
namespace {

using test::digest_of;
using test::key_of;
using test::verified;

/// A node and a payer with one channel between them.
struct Market {
  Market()
      : node_key(key_of("node")),
        payer_key(key_of("payer")),
        terms{.signer = payer_key.public_key(),
              .node = node_key.public_key(),
              .asset = "msat",
              .salt = {1, 2, 3}},
        offer(test::signed_offer(test::example_offer(node_key, key_of("N").public_key()), node_key,
                                 rng)),
        prices(PriceTable::of(offer)),
        node(terms, Amount::of(1000)),
        payer(terms, Amount::of(1'000'000)) {}

  ResponseRecord state(std::uint8_t request, Usage usage, RecordStatus status = RecordStatus::Ok) {
    ResponseRecord record = test::example_record(offer);
    record.request.bytes.fill(request);
    record.usage = usage;
    record.milliseconds = 0;
    record.status = status;
    EXPECT_TRUE(node.statement(record, prices));
    record.id = sign_event(build_record(record), node_key, rng).id;
    node.commit(record, prices);
    return record;
  }

  [[nodiscard]] ExpectedAnswer expected(const ResponseRecord& record) const {
    return {.request = record.request,
            .request_hash = record.request_hash,
            .response_hash = record.response_hash,
            .offer = record.offer,
            .limit = {{2'000, 2'000, 2'000}, 10'000}};
  }

  auto pay(const ResponseRecord& record) {
    return payer.pay(record, expected(record), prices, 1'800'000'100);
  }

  SignedReceipt sign(const EventDraft& draft) { return sign(draft, payer_key); }

  SignedReceipt sign(const EventDraft& draft, const Keypair& signer) {
    return SignedReceipt::parse(verified(sign_event(draft, signer, rng))).value();
  }

  SystemRng rng;
  Keypair node_key;
  Keypair payer_key;
  ChannelTerms terms;
  Offer offer;
  PriceTable prices;
  NodeChannel node;
  PayerChannel payer;
};

constexpr Usage kUsage{.input = 100, .cached = 0, .output = 50};

TEST(ChannelId, DependsOnEveryTerm) {
  const Market market;
  const ChannelId id = channel_id(market.terms);
  ChannelTerms other = market.terms;
  other.signer = market.terms.node;
  EXPECT_NE(channel_id(other), id);
  other = market.terms;
  other.node = market.terms.signer;
  EXPECT_NE(channel_id(other), id);
  other = market.terms;
  other.asset = "sat";
  EXPECT_NE(channel_id(other), id);
  other = market.terms;
  other.salt[15] = 1;
  EXPECT_NE(channel_id(other), id);
}

TEST(RunningHash, DependsOnEveryField) {
  const Digest h = digest_of("h");
  const EventId record{digest_of("record").bytes};
  const Digest base = next_running_hash(h, 1, record, Amount::of(2), 3, 4);
  EXPECT_NE(next_running_hash(digest_of("g"), 1, record, Amount::of(2), 3, 4), base);
  EXPECT_NE(next_running_hash(h, 2, record, Amount::of(2), 3, 4), base);
  EXPECT_NE(next_running_hash(h, 1, EventId{h.bytes}, Amount::of(2), 3, 4), base);
  EXPECT_NE(next_running_hash(h, 1, record, Amount::of(3), 3, 4), base);
  EXPECT_NE(next_running_hash(h, 1, record, Amount::of(2), 4, 4), base);
  EXPECT_NE(next_running_hash(h, 1, record, Amount::of(2), 3, 5), base);
}

TEST(Channel, StatementsAndReceiptsKeepBothBooksEqual) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  test::SeededRng random(seed);
  Market market;
  for (std::uint8_t query = 1; query < 60; ++query) {
    Usage usage{.input = random.below(2000), .cached = 0, .output = random.below(500)};
    usage.cached = random.below(usage.input + 1);
    if (query % 3 == 0) {  // a statement in the middle of the answer
      const ResponseRecord partial = market.state(
          query, {.input = usage.input, .cached = usage.cached, .output = usage.output / 2},
          RecordStatus::Partial);
      ASSERT_TRUE(market.pay(partial));
    }
    const ResponseRecord record = market.state(query, usage);
    const auto draft = market.pay(record);
    ASSERT_TRUE(draft);
    ASSERT_EQ(market.node.running_hash(), market.payer.snapshot().running_hash);
    ASSERT_EQ(market.node.spent(), market.payer.spent());
    if (!draft->has_value() || random.below(2) == 0) continue;  // some receipts are never sent
    const auto verdict = market.node.accept(market.sign(**draft));
    ASSERT_TRUE(verdict == ReceiptVerdict::Accepted || verdict == ReceiptVerdict::Repeated);
    ASSERT_EQ(market.node.accepted(), market.payer.spent());
  }
}

TEST(NodeChannel, RefusesReceiptsThatPayNothingOfIts) {
  Market market;
  const ResponseRecord first = market.state(1, kUsage);
  const EventDraft paid_first = **market.pay(first);
  const ResponseRecord second = market.state(2, kUsage);
  const EventDraft paid_second = **market.pay(second);

  BalanceReceipt forged = *market.sign(paid_second);
  forged.amount = Amount::of(1);
  EXPECT_EQ(market.node.accept(market.sign(build_receipt(forged))), ReceiptVerdict::WrongAmount);
  forged = *market.sign(paid_second);
  forged.running_hash = digest_of("other");
  EXPECT_EQ(market.node.accept(market.sign(build_receipt(forged))), ReceiptVerdict::UnknownHash);
  forged = *market.sign(paid_second);
  forged.channel.bytes[0] ^= 1;
  EXPECT_EQ(market.node.accept(market.sign(build_receipt(forged))), ReceiptVerdict::WrongChannel);
  EXPECT_EQ(market.node.accept(market.sign(paid_second, key_of("thief"))),
            ReceiptVerdict::WrongSigner);
  const VerifiedEvent offer =
      verified(sign_event(build_offer(market.offer), market.node_key, market.rng));
  EXPECT_FALSE(SignedReceipt::parse(offer));
  EXPECT_TRUE(market.node.accepted().is_zero());

  EXPECT_EQ(market.node.accept(market.sign(paid_second)), ReceiptVerdict::Accepted);
  const Amount accepted = market.node.accepted();
  // Rollback: an older receipt is genuine, and changes nothing.
  EXPECT_EQ(market.node.accept(market.sign(paid_first)), ReceiptVerdict::Repeated);
  EXPECT_EQ(market.node.accept(market.sign(paid_second)), ReceiptVerdict::Repeated);
  EXPECT_EQ(market.node.accepted(), accepted);
  EXPECT_EQ(market.node.paid_record(), second.id);
}

TEST(NodeChannel, ServesWithinItsCreditOnly) {
  Market market;
  market.node.set_credit(Amount::of(45));
  RequestId request;
  // 100 input tokens at 150,000 a million are 15; 50 output at 600,000 a million are 30.
  EXPECT_TRUE(market.node.may_serve(request, kUsage, 0, market.prices));
  EXPECT_FALSE(
      market.node.may_serve(request, {.input = 100, .cached = 0, .output = 51}, 0, market.prices));
  const ResponseRecord record = market.state(1, kUsage);
  EXPECT_EQ(record.cost, Amount::of(45));
  EXPECT_FALSE(
      market.node.may_serve(request, {.input = 1, .cached = 0, .output = 0}, 0, market.prices));
  EXPECT_EQ(market.node.accept(market.sign(**market.pay(record))), ReceiptVerdict::Accepted);
  EXPECT_TRUE(market.node.may_serve(request, kUsage, 0, market.prices));
}

TEST(NodeChannel, RefusesFallingUsageAndAnotherAsset) {
  Market market;
  (void)market.state(1, kUsage, RecordStatus::Partial);
  ResponseRecord record = test::example_record(market.offer);
  record.request.bytes.fill(1);
  record.usage = {.input = 100, .cached = 0, .output = 49};
  record.milliseconds = 0;
  EXPECT_EQ(market.node.statement(record, market.prices).error(), ChargeError::UsageFell);
  Offer offer = market.offer;
  offer.asset = "sat";
  EXPECT_EQ(market.node.statement(record, PriceTable::of(offer)).error(), ChargeError::WrongAsset);
}

TEST(NodeChannel, StopsServingWhenTooManyStatementsAwaitReceipts) {
  Market market;
  market.node.set_credit(Amount::of(1'000'000));
  for (std::size_t query = 1; query <= NodeChannel::kUnpaidStatementsMax; ++query) {
    EXPECT_TRUE(market.node.may_serve({}, kUsage, 0, market.prices)) << query;
    (void)market.state(static_cast<std::uint8_t>(query), kUsage);
  }
  EXPECT_FALSE(market.node.may_serve({}, kUsage, 0, market.prices));
}

TEST(NodeChannel, GoesOnAfterARestart) {
  Market market;
  const EventDraft paid = **market.pay(market.state(1, kUsage));
  EXPECT_EQ(market.node.accept(market.sign(paid)), ReceiptVerdict::Accepted);
  const ResponseRecord unpaid = market.state(2, kUsage);
  market.node = NodeChannel(market.terms, Amount::of(1000), market.node.snapshot());
  EXPECT_EQ(market.node.accept(market.sign(**market.pay(unpaid))), ReceiptVerdict::Accepted);
  const ResponseRecord next = market.state(3, kUsage);
  EXPECT_EQ(next.n, 3U);
  EXPECT_EQ(next.previous, unpaid.id);
  EXPECT_TRUE(market.pay(next));
}

TEST(PayerChannel, SignsNothingForAStatementThatIsWrongAnywhere) {
  using Change = std::function<void(ResponseRecord&)>;
  const std::map<PayerRefusal, std::vector<Change>> cases = {
      {PayerRefusal::WrongNode, {[](auto& r) { r.node.bytes[0] ^= 1; }}},
      {PayerRefusal::WrongChannel, {[](auto& r) { r.channel.bytes[0] ^= 1; }}},
      {PayerRefusal::WrongAsset, {[](auto& r) { r.asset = "sat"; }}},
      {PayerRefusal::WrongNumber, {[](auto& r) { r.n = 1; }}},
      {PayerRefusal::Early, {[](auto& r) { r.n = 3; }}},
      {PayerRefusal::WrongPrevious,
       {[](auto& r) { r.previous.reset(); }, [](auto& r) { r.previous->bytes[0] ^= 1; }}},
      {PayerRefusal::WrongCost,
       {[](auto& r) { r.cost = Amount::of(46); }, [](auto& r) { r.spent = Amount::of(91); },
        [](auto& r) { r.remainder = 1; }, [](auto& r) { r.usage.output += 2; },
        [](auto& r) { r.usage.input = 0; }}},
      {PayerRefusal::Overflow, {[](auto& r) { r.usage.cached = 101; }}},
  };
  for (const auto& [refusal, changes] : cases) {
    for (const Change& change : changes) {
      Market market;
      ASSERT_TRUE(market.pay(market.state(1, kUsage)));
      ResponseRecord record = market.state(2, kUsage);
      const ResponseRecord genuine = record;
      change(record);
      record.id.bytes[0] ^= 1;
      const auto answer =
          market.payer.pay(record, market.expected(genuine), market.prices, 1'800'000'100);
      ASSERT_FALSE(answer) << to_string(refusal);
      EXPECT_EQ(answer.error(), refusal)
          << to_string(refusal) << " got " << to_string(answer.error());
      EXPECT_TRUE(market.pay(genuine)) << to_string(refusal) << ": the book moved";
    }
  }
}

TEST(PayerChannel, SignsNothingForAnAnswerThatItDidNotGet) {
  using Change = std::function<void(ExpectedAnswer&)>;
  const std::map<PayerRefusal, Change> cases = {
      {PayerRefusal::WrongOffer, [](auto& e) { e.offer.bytes[0] ^= 1; }},
      {PayerRefusal::WrongRequest, [](auto& e) { e.request_hash.bytes[0] ^= 1; }},
      {PayerRefusal::WrongResponseHash, [](auto& e) { e.response_hash.bytes[0] ^= 1; }},
      {PayerRefusal::OverLimit, [](auto& e) { e.limit.usage.input = kUsage.input - 1; }},
  };
  for (const auto& [refusal, change] : cases) {
    Market market;
    const ResponseRecord record = market.state(1, kUsage);
    ExpectedAnswer expected = market.expected(record);
    change(expected);
    const auto answer = market.payer.pay(record, expected, market.prices, 1'800'000'100);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error(), refusal);
  }
}

TEST(PayerChannel, SignsNothingForMoreThanTheRequestCanHaveUsed) {
  const UsageLimit exact{kUsage, 0};
  Market market;
  const ResponseRecord record = market.state(1, kUsage);
  ExpectedAnswer expected = market.expected(record);
  const auto refusal = [&] {
    return market.payer.pay(record, expected, market.prices, 1'800'000'100).error();
  };
  expected.limit = exact;
  --expected.limit.usage.output;
  EXPECT_EQ(refusal(), PayerRefusal::OverLimit);
  expected.limit = exact;
  --expected.limit.usage.input;
  EXPECT_EQ(refusal(), PayerRefusal::OverLimit);
  expected.limit = exact;
  EXPECT_TRUE(market.payer.pay(record, expected, market.prices, 1'800'000'100));
  EXPECT_FALSE(exact.covers(kUsage, 1));
}

TEST(PayerChannel, StaysWithinItsBudget) {
  Market market;
  market.payer.set_budget(Amount::of(89));
  EXPECT_TRUE(market.pay(market.state(1, kUsage)));
  const ResponseRecord record = market.state(2, kUsage);
  EXPECT_EQ(market.pay(record).error(), PayerRefusal::OverBudget);
  market.payer.set_budget(Amount::of(90));
  EXPECT_TRUE(market.pay(record));
}

TEST(PayerChannel, TheSameStatementAgainGivesTheSameReceipt) {
  Market market;
  const ResponseRecord record = market.state(1, kUsage);
  const auto once = market.pay(record);
  const auto twice = market.pay(record);
  ASSERT_TRUE(once && twice);
  EXPECT_EQ((*once)->tags, (*twice)->tags);
}

TEST(PayerChannel, AFreeAnswerNeedsNoReceipt) {
  Market market;
  market.prices = PriceTable();
  const auto draft = market.pay(market.state(1, kUsage));
  ASSERT_TRUE(draft);
  EXPECT_FALSE(draft->has_value());
}

TEST(PayerChannel, AdoptsOnlyItsOwnNewerReceipt) {
  Market market;
  (void)market.pay(market.state(1, kUsage));
  const Digest previous = market.node.running_hash();
  const ResponseRecord second = market.state(2, kUsage);
  const SignedReceipt receipt = market.sign(**market.pay(second));
  EXPECT_EQ(market.node.accept(receipt), ReceiptVerdict::Accepted);
  EXPECT_EQ(market.node.paid_previous_hash(), previous);

  PayerChannel fresh(market.terms, Amount::of(1'000'000));
  ResponseRecord wrong = second;
  wrong.usage.output += 1;
  EXPECT_FALSE(fresh.resync(wrong, previous, receipt));
  wrong = second;
  wrong.spent = Amount::of(91);
  EXPECT_FALSE(fresh.resync(wrong, previous, receipt));
  EXPECT_FALSE(fresh.resync(second, digest_of("h"), receipt));
  EXPECT_FALSE(
      fresh.resync(second, previous, market.sign(build_receipt(*receipt), key_of("thief"))));
  EXPECT_TRUE(fresh.resync(second, previous, receipt));
  EXPECT_FALSE(fresh.resync(second, previous, receipt));  // nothing newer
  const ResponseRecord third = market.state(3, kUsage);
  EXPECT_TRUE(fresh.pay(third, market.expected(third), market.prices, 1'800'000'100));
  EXPECT_EQ(fresh.spent(), market.node.spent());
}

// ---- On a chain ---------------------------------------------------------------------------------

TEST(ChannelOnAChain, HasTheContractsNameAndHoldsTheNode) {
  ChannelTerms terms{{{1}}, {{2}}, "eip155:31337/slip44:60", {3}};
  const ChannelId unsettled = channel_id(terms);
  terms.chain = ChainTerms{{31337, {{4}}}, {{5}}, {{6}}, {}};
  const ChannelId on_the_chain = channel_id(terms);
  EXPECT_NE(on_the_chain, unsettled);
  EXPECT_EQ(on_the_chain, evm::channel_id(terms.chain->place, on_chain(terms)));
  terms.node.bytes[0] ^= 1;
  EXPECT_NE(channel_id(terms), on_the_chain);
}

TEST(ChannelOnAChain, ServesNoMoreThanItsBacking) {
  Market market;
  const Usage usage{.input = 0, .output = 40};
  const RequestId request{{1}};
  ASSERT_TRUE(market.node.may_serve(request, usage, 0, market.prices));
  const Amount cost = *market.node.exposure(request, usage, 0, market.prices);
  ASSERT_FALSE(cost.is_zero());
  market.node.set_backing(cost);
  EXPECT_TRUE(market.node.may_serve(request, usage, 0, market.prices));
  market.node.set_backing(*Amount::from(cost.value() - 1));
  EXPECT_FALSE(market.node.may_serve(request, usage, 0, market.prices));
}

}  // namespace
}  // namespace nostril::settlement
