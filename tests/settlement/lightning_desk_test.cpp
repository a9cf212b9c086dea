#include "base/rng.h"
#include "schnorr/keys.h"
#include "settlement/lightning/desk.h"

#include <gtest/gtest.h>

namespace nostril::settlement::lightning {
namespace {

const DeskChannel kChannel{PublicKey{{3}}, {1, 2, 3}};

template <typename T>
T read_back(const DeskWish& wish) {
  const auto parsed = parse_wish(wish_text(wish));
  EXPECT_TRUE(parsed.has_value());
  const T* out = parsed ? std::get_if<T>(&*parsed) : nullptr;
  EXPECT_NE(out, nullptr);
  return out == nullptr ? T{} : *out;
}

TEST(LightningDesk, WishesReadAsWritten) {
  EXPECT_EQ(read_back<AskState>(AskState{kChannel}).channel, kChannel);
  const auto deposit = read_back<AskDeposit>(AskDeposit{kChannel, 5'000'000});
  EXPECT_EQ(deposit.channel, kChannel);
  EXPECT_EQ(deposit.amount, 5'000'000U);
  SystemRng rng;
  const Keypair signer = Keypair::generate(rng);
  const RefundOrder order{signer.public_key(), 1'700'000'000, ChannelId{{9}}, 77, "lnbc1"};
  const Event event = sign_event(build_refund(order), signer, rng);
  const auto refund = read_back<AskRefund>(AskRefund{kChannel, event});
  EXPECT_EQ(parse_refund(refund.order), order);
}

TEST(LightningDesk, RefusesOtherWishes) {
  for (const char* bad : {"", "{}", R"({"signer":"00","salt":"00"})", "[1]"}) {
    EXPECT_FALSE(parse_wish(bad).has_value()) << bad;
  }
  std::string text = wish_text(AskDeposit{kChannel, 5});
  for (const char* amount : {"0", "05", "-5", "5.0", "2100000000000000001"}) {
    std::string bad = text;
    bad.replace(bad.find("\"5\""), 3, '"' + std::string(amount) + '"');
    EXPECT_FALSE(parse_wish(bad).has_value()) << bad;
  }
  text.insert(text.size() - 1, R"(,"refund":{})");
  EXPECT_FALSE(parse_wish(text).has_value());
  EXPECT_FALSE(parse_wish(std::string(kDeskBytesMax + 1, ' ')).has_value());
}

TEST(LightningDesk, RefundOrdersHaveOneForm) {
  SystemRng rng;
  const Keypair signer = Keypair::generate(rng);
  const RefundOrder order{signer.public_key(), 1'700'000'000, ChannelId{{9}}, 77, "lnbc1"};
  const auto changed = [&](auto change) {
    EventDraft draft = build_refund(order);
    change(draft);
    return parse_refund(sign_event(std::move(draft), signer, rng)).has_value();
  };
  EXPECT_TRUE(changed([](EventDraft&) {}));
  EXPECT_FALSE(changed([](EventDraft& draft) { draft.kind = 1472; }));
  EXPECT_FALSE(changed([](EventDraft& draft) { draft.content = "x"; }));
  EXPECT_FALSE(changed([](EventDraft& draft) { draft.tags.add({"x", "y"}); }));
  EXPECT_FALSE(changed([](EventDraft& draft) {
    draft.tags = {{"d", "9"}, {"refund", "77"}, {"bolt11", "l"}};
  }));
  const std::string id(64, '1');
  EXPECT_FALSE(changed([&](EventDraft& draft) {
    draft.tags = {{"d", id}, {"amount", "77"}, {"bolt11", "l"}};
  }));
  EXPECT_FALSE(changed([&](EventDraft& draft) {
    draft.tags = {{"d", id}, {"refund", "0"}, {"bolt11", "l"}};
  }));
  EXPECT_FALSE(changed([&](EventDraft& draft) {
    draft.tags = {{"refund", "7"}, {"d", id}, {"bolt11", "l"}};
  }));
}

TEST(LightningDesk, StatesReadAsWritten) {
  const DeskState whole{{10, 4}, Amount::of(6), "lnbc1", PaymentState::Waiting};
  EXPECT_EQ(parse_state(state_text(whole)), whole);
  const DeskState bare{{1, 0}, Amount::of(0), std::nullopt, std::nullopt};
  EXPECT_EQ(parse_state(state_text(bare)), bare);
  EXPECT_FALSE(parse_state(R"({"deposited":"1","refunded":"0"})").has_value());
  EXPECT_FALSE(
      parse_state(R"({"deposited":"1","refunded":"0","spent":"1","payment":"maybe"})").has_value());
}

TEST(LightningDesk, ADepositIsPaidOnlyWhenItsInvoiceFits) {
  constexpr std::int64_t kNow = 1'700'000'000;
  const ChannelId channel{{9}};
  Invoice good;
  good.network = Network::Regtest;
  good.amount = 500;
  good.created_at = kNow;
  good.description = deposit_description(channel);
  const auto problem = [&](auto change) {
    Invoice invoice = good;
    change(invoice);
    return problem_of_deposit(invoice, channel, 500, "bcrt", kNow).has_value();
  };
  EXPECT_FALSE(problem([](Invoice&) {}));
  EXPECT_TRUE(problem([](Invoice& invoice) { invoice.network = Network::Bitcoin; }));
  EXPECT_TRUE(problem([](Invoice& invoice) { invoice.amount = 501; }));
  EXPECT_TRUE(problem([](Invoice& invoice) { invoice.amount.reset(); }));
  EXPECT_TRUE(
      problem([](Invoice& invoice) { invoice.description = deposit_description(ChannelId{{8}}); }));
  EXPECT_TRUE(problem([](Invoice& invoice) { invoice.expiry_s = 10; }));
}

}  // namespace
}  // namespace nostril::settlement::lightning
