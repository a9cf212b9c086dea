// What a NIP-47 client does when its wallet service answers, does not, or lies: over a relay, with
// a service whose answers the test writes.
#include "client/wallet_connect.h"

#include "settlement/lightning/payment.h"
#include "tests/support/hand_made_wallet.h"
#include "tests/support/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nostril::client {
namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kNow = 1'700'000'100;

class WalletConnectTest : public ::testing::Test {
 protected:
  WalletConnectTest() {
    EXPECT_TRUE(test::run_until(loop_, [this] { return service_.ready(); }));
    connect();
  }

  void connect() {
    wallet_ =
        std::make_unique<WalletConnect>(loop_, clock_, rng_, service_.connection(), std::string());
  }

  std::shared_ptr<std::optional<WalletReply>> ask(WalletRequest request,
                                                  std::optional<std::int64_t> expires_at = {}) {
    const auto out = std::make_shared<std::optional<WalletReply>>();
    wallet_->ask(
        std::move(request),
        [out](const WalletReply& reply) {
          EXPECT_FALSE(*out) << "answered twice";
          *out = reply;
        },
        expires_at);
    return out;
  }

  WalletReply asked(WalletRequest request, std::optional<std::int64_t> expires_at = {}) {
    const auto out = ask(std::move(request), expires_at);
    EXPECT_TRUE(test::run_until(loop_, [&] { return out->has_value(); }));
    return out->value_or(WalletReply{});
  }

  FakeClock clock_{kNow};
  SystemRng rng_;
  net::Loop loop_;
  test::TestRelay relay_{loop_};
  test::HandMadeWallet service_{loop_, clock_, rng_, relay_.url()};
  std::unique_ptr<WalletConnect> wallet_;
};

TEST_F(WalletConnectTest, AsksAndHears) {
  service_.introduce();
  const auto balance = asked(GetBalance{});
  ASSERT_TRUE(balance.answer) << balance.problem;
  EXPECT_EQ(std::get<WalletBalance>(*balance.answer).balance, 1234U);
  const auto unknown = asked(LookupInvoice{{{1}}});
  ASSERT_TRUE(unknown.error);
  EXPECT_EQ(unknown.error->code, WalletErrorCode::NotFound);
  EXPECT_FALSE(unknown.answer);
}

TEST_F(WalletConnectTest, SaysNothingBeforeTheServiceHasSaidWhatItIs) {
  const auto out = ask(GetBalance{});
  test::run_for(loop_, 100);
  EXPECT_FALSE(*out);
  EXPECT_EQ(relay_.seen_count(kWalletRequestKind), 0U);
  clock_.advance_ms(WalletConnect::kAnswerMsMax);
  EXPECT_TRUE(test::run_until(loop_, [&] { return out->has_value(); }));
  EXPECT_FALSE((*out)->sent);
  service_.introduce();
  EXPECT_TRUE(asked(GetBalance{}).answer);
}

TEST_F(WalletConnectTest, RefusesNip04AndMethodsThatAreNotThere) {
  service_.introduce("pay_invoice get_balance", "nip04");
  const auto old = asked(GetBalance{});
  EXPECT_FALSE(old.sent);
  EXPECT_THAT(old.problem, HasSubstr("NIP-04"));
  clock_.advance_ms(1'000);  // the newer word counts
  service_.introduce("get_balance");
  bool heard = false;
  for (int i = 0; i < 100 && !heard; ++i) {
    heard = asked(GetBalance{}).answer.has_value();
    test::run_for(loop_, 5);
  }
  EXPECT_TRUE(heard);
  const auto pays = asked(PayInvoice{"lnbc1"});
  EXPECT_FALSE(pays.sent);
  EXPECT_THAT(pays.problem, HasSubstr("no pay_invoice"));
}

TEST_F(WalletConnectTest, KeepsRequestsSecretAndTimed) {
  service_.introduce();
  EXPECT_TRUE(asked(GetBalance{}).answer);
  const auto& seen = relay_.seen();
  const auto request = std::ranges::find(seen, kWalletRequestKind, &Event::kind);
  ASSERT_NE(request, seen.end());
  const std::string text = to_json(*request);
  EXPECT_THAT(text, Not(HasSubstr("get_balance")));
  EXPECT_THAT(text, HasSubstr(R"(["encryption","nip44_v2"])"));
  EXPECT_THAT(text, HasSubstr(R"(["expiration",")" + std::to_string(kNow + kPayRequestS) + '"'));
}

TEST_F(WalletConnectTest, WhatIsNotAnsweredMayHaveBeenActedOn) {
  service_.introduce();
  service_.silent = {"get_balance"};
  const auto out = ask(GetBalance{});
  EXPECT_TRUE(test::run_until(loop_, [&] { return service_.requests == 1; }));
  clock_.advance_ms(WalletConnect::kAnswerMsMax);
  EXPECT_TRUE(test::run_until(loop_, [&] { return out->has_value(); }));
  EXPECT_TRUE((*out)->sent);
  EXPECT_FALSE((*out)->answer || (*out)->error);
}

TEST_F(WalletConnectTest, DoesNotSendWhatIsTooLate) {
  service_.introduce();
  EXPECT_TRUE(asked(GetBalance{}).answer);
  const auto late = asked(PayInvoice{"lnbc1"}, kNow);
  EXPECT_FALSE(late.sent);
  EXPECT_EQ(relay_.seen_count(kWalletRequestKind), 1U);
}

TEST_F(WalletConnectTest, TakesNoAnswerThatIsNotTheServicesToThisQuestion) {
  service_.introduce();
  EXPECT_TRUE(asked(GetBalance{}).answer);
  const std::string good = R"({"result_type":"get_balance","result":{"balance":99}})";
  std::optional<EventId> question;
  service_.on_asked = [&](const Event& request) { question = request.id; };
  const auto out = ask(GetBalance{});
  EXPECT_TRUE(test::run_until(loop_, [&] { return question.has_value(); }));

  service_.answer(EventId{{5}}, good);  // to another question
  // Somebody else's word, though he names the question and encrypts to the client.
  const Keypair other = Keypair::generate(rng_);
  const WalletUri connection = service_.connection();
  const auto key = ConversationKey::derive(other, connection.client.public_key());
  EventDraft forged;
  forged.created_at = kNow;
  forged.kind = kWalletResponseKind;
  forged.tags.add({"p", encode_hex(connection.client.public_key())});
  forged.tags.add({"e", encode_hex(*question)});
  forged.content = nip44_encrypt(*key, good, rng_);
  Event event = sign_event(std::move(forged), other, rng_);
  relay_.inject(event);
  event.pubkey = connection.wallet;  // and with the service's name on it
  relay_.inject(event);
  test::run_for(loop_, 150);
  EXPECT_FALSE(*out);

  service_.answer(*question, R"({"result_type":"pay_invoice","result":{"preimage":"00"}})");
  EXPECT_TRUE(test::run_until(loop_, [&] { return out->has_value(); }));
  EXPECT_FALSE((*out)->answer) << "an answer of another form says nothing";
  EXPECT_TRUE((*out)->sent);
  service_.answer(*question, good);  // too late: it has been answered
  test::run_for(loop_, 100);
}

TEST_F(WalletConnectTest, BoundsWhatItIsAsked) {
  std::vector<std::shared_ptr<std::optional<WalletReply>>> all;
  for (std::size_t i = 0; i < WalletConnect::kQuestionsMax; ++i) all.push_back(ask(GetBalance{}));
  const auto more = ask(GetBalance{});
  ASSERT_TRUE(more->has_value());
  EXPECT_THAT((*more)->problem, HasSubstr("too many"));
  wallet_.reset();  // calls nothing back
  test::run_for(loop_, 50);
  for (const auto& one : all) EXPECT_FALSE(*one);
}

TEST_F(WalletConnectTest, TellsNews) {
  service_.introduce();
  EXPECT_TRUE(asked(GetBalance{}).answer);
  std::vector<PaymentHash> news;
  wallet_->on_news(
      [&](const WalletNotification& one) { news.push_back(one.transaction.payment_hash); });
  const auto made = asked(MakeInvoice{5'000, "x", 600});
  ASSERT_TRUE(made.answer) << made.problem;
  const auto hash = std::get<WalletTransaction>(*made.answer).payment_hash;
  service_.receive(hash, true);
  EXPECT_TRUE(test::run_until(loop_, [&] { return !news.empty(); }));
  EXPECT_EQ(news, std::vector<PaymentHash>{hash});
}

TEST(WalletFile, IsReadOnlyWhereOthersMayNot) {
  const test::TempDir folder;
  const std::filesystem::path file = folder.path() / "nwc";
  EXPECT_FALSE(read_wallet_uri(file));
  const std::string secret(63, '0');
  const std::string line = "nostr+walletconnect://" +
                           std::string(
                               "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16"
                               "f81798?relay=ws://a&secret=") +
                           secret + "1";
  std::ofstream(file) << line << "\n";
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  const auto open = read_wallet_uri(file);
  ASSERT_FALSE(open);
  EXPECT_THAT(open.error(), HasSubstr("chmod 600"));
  std::filesystem::permissions(file, std::filesystem::perms(0600));
  EXPECT_TRUE(read_wallet_uri(file));
  std::ofstream(file) << line << "0\n";
  const auto bad = read_wallet_uri(file);
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error(), Not(HasSubstr(secret)));
  EXPECT_FALSE(read_wallet_uri(folder.path()));
}

}  // namespace
}  // namespace nostril::client
