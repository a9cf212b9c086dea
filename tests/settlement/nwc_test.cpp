#include "settlement/lightning/nwc.h"

#include "base/hex.h"
#include "base/json.h"

#include <gtest/gtest.h>

namespace nostril::settlement::lightning {
namespace {

const std::string kKey = encode_hex(PublicKey{{0x79, 0xbe}});
const std::string kSecret(63, '0');
const std::string kHash(64, 'a');

std::string uri(const std::string& rest) {
  return "nostr+walletconnect://" + kKey + "?" + rest;
}

TEST(WalletUri, ReadsKeysAndRelays) {
  const auto parsed = parse_wallet_uri(uri(
      "relay=wss%3A%2F%2Fone.example&lud16=me%40example&relay=ws://two&secret=" + kSecret + "1"));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(encode_hex(parsed->wallet), kKey);
  EXPECT_EQ(parsed->relays, (std::vector<std::string>{"wss://one.example", "ws://two"}));
  EXPECT_EQ(encode_hex(parsed->client.public_key()),
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
}

TEST(WalletUri, RefusesWhatLacksOrDoublesSomething) {
  const std::string secret = "&secret=" + kSecret + "1";
  EXPECT_TRUE(parse_wallet_uri(uri("relay=ws://a" + secret)).has_value());
  for (const std::string& bad :
       {uri("relay=ws://a"), uri(secret.substr(1)), uri("relay=http://a" + secret),
        uri("relay=ws://a" + secret + secret), uri("relay=ws://a&secret=" + kSecret + "0"),
        uri("relay=ws://a&secret=" + kSecret), uri("relay=%zz" + secret),
        std::string("nostr+wallet"), std::string(), "nostr+walletconnect://" + kKey,
        "nostr+walletconnect://12?relay=ws://a" + secret}) {
    EXPECT_FALSE(parse_wallet_uri(bad).has_value()) << bad;
  }
  std::string many;
  for (int i = 0; i < 9; ++i) many += "relay=ws://a&";
  EXPECT_FALSE(parse_wallet_uri(uri(many + secret.substr(1))).has_value());
}

TEST(WalletService, ReadsMethodsAndEncryption) {
  Event event;
  event.kind = kWalletInfoKind;
  event.content = "pay_invoice get_balance make_hold_invoice sing";
  event.tags.add({"encryption", "nip04 nip44_v2"});
  event.tags.add({"notifications", "payment_received"});
  const auto service = parse_wallet_service(event);
  ASSERT_TRUE(service.has_value());
  EXPECT_TRUE(service->nip44);
  EXPECT_TRUE(service->has(WalletMethod::PayInvoice));
  EXPECT_TRUE(service->has(WalletMethod::MakeHoldInvoice));
  EXPECT_FALSE(service->has(WalletMethod::LookupInvoice));
  EXPECT_TRUE(service->notifies_received);
  EXPECT_FALSE(service->notifies_sent);
  event.tags = {};
  EXPECT_FALSE(parse_wallet_service(event)->nip44);  // NIP-04 is what absence means
  event.kind = 1;
  EXPECT_FALSE(parse_wallet_service(event).has_value());
}

TEST(WalletRequests, AreWrittenAsNip47Says) {
  EXPECT_EQ(request_text(PayInvoice{"lnbc1"}),
            R"({"method":"pay_invoice","params":{"invoice":"lnbc1"}})");
  EXPECT_EQ(
      request_text(MakeInvoice{5000, "a \"b\"", 600}),
      R"({"method":"make_invoice","params":{"amount":5000,"description":"a \"b\"","expiry":600}})");
  EXPECT_EQ(
      request_text(MakeInvoice{1, "", 60, *from_hex<Digest>(kHash)}),
      R"({"method":"make_hold_invoice","params":{"amount":1,"description":"","expiry":60,"payment_hash":")" +
          kHash + R"("}})");
  EXPECT_EQ(request_text(GetInfo{}), R"({"method":"get_info","params":{}})");
  EXPECT_EQ(request_text(ListTransactions{7, 20}),
            R"({"method":"list_transactions","params":{"from":7,"limit":20}})");
}

TEST(WalletAnswers, PaidOnlyWithAPreimage) {
  const auto answer = parse_wallet_answer(
      PayInvoice{}, R"({"result_type":"pay_invoice","error":null,"result":{"preimage":")" + kHash +
                        R"(","fees_paid":21}})");
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ(std::get<Paid>(**answer).fees, 21U);
  for (const char* bad :
       {R"({"result_type":"pay_invoice","result":{}})",
        R"({"result_type":"pay_invoice","result":{"preimage":""}})",
        R"({"result_type":"pay_invoice","result":{"preimage":"zz"}})",
        R"({"result_type":"pay_invoice"})", R"({"result_type":"pay_invoice","result":[]})",
        R"({"result":{"preimage":"00"}})", "[]", "", "{"}) {
    EXPECT_FALSE(parse_wallet_answer(PayInvoice{}, bad).has_value()) << bad;
  }
  EXPECT_FALSE(
      parse_wallet_answer(PayInvoice{}, R"({"result_type":"pay_invoice","result":{"preimage":")" +
                                            kHash + R"(","fees_paid":-1}})")
          .has_value());
}

TEST(WalletAnswers, AnAnswerToAnotherMethodIsNone) {
  EXPECT_FALSE(
      parse_wallet_answer(GetBalance{}, R"({"result_type":"get_info","result":{"balance":5}})")
          .has_value());
}

TEST(WalletAnswers, ErrorsKeepTheirCodeAndPrintableWords) {
  const auto answer = parse_wallet_answer(
      GetBalance{},
      R"({"result_type":"get_balance","error":{"code":"QUOTA_EXCEEDED","message":"no\u001b[31m"}})");
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, WalletErrorCode::QuotaExceeded);
  EXPECT_EQ(answer->error().message, "no?[31m");
  const auto other =
      parse_wallet_answer(GetBalance{}, R"({"result_type":"get_balance","error":{"code":"NEW"}})");
  ASSERT_TRUE(other && !*other);
  EXPECT_EQ(other->error().code, WalletErrorCode::Other);
}

std::string transaction(const std::string& members) {
  return R"({"result_type":"lookup_invoice","result":{"payment_hash":")" + kHash + "\"," + members +
         "}}";
}

TEST(WalletAnswers, ReadsTransactions) {
  const auto read = [](const std::string& members) -> std::optional<WalletTransaction> {
    const auto answer = parse_wallet_answer(LookupInvoice{}, transaction(members));
    if (!answer || !*answer) return std::nullopt;
    return std::get<WalletTransaction>(**answer);
  };
  const auto settled =
      read(R"("type":"outgoing","state":"settled","amount":9,"fees_paid":1,"preimage":")" + kHash +
           "\"");
  ASSERT_TRUE(settled.has_value());
  EXPECT_FALSE(settled->incoming);
  EXPECT_EQ(settled->state, TransactionState::Settled);
  EXPECT_TRUE(settled->preimage.has_value());
  EXPECT_EQ(read(R"("type":"incoming","amount":9,"settled_at":5)")->state,
            TransactionState::Settled);
  EXPECT_EQ(read(R"("type":"incoming","amount":9,"settled_at":null,"preimage":null)")->state,
            TransactionState::Pending);
  for (const char* bad : {R"("type":"sideways","amount":9)", R"("amount":"9")", R"("amount":-9)",
                          R"("amount":1e3)", R"("state":"gone","amount":9)", R"("type":"incoming")",
                          R"("amount":9,"preimage":"0")", R"("amount":2100000000000000001)"}) {
    EXPECT_FALSE(read(bad).has_value()) << bad;
  }
}

TEST(WalletAnswers, ListsHaveABound) {
  std::string list;
  const std::string one = R"({"type":"incoming","payment_hash":")" + kHash + R"(","amount":1})";
  for (std::size_t i = 0; i < WalletLimits::kTransactionsMax; ++i)
    list += (i == 0 ? "" : ",") + one;
  const auto text = [](const std::string& items) {
    return R"({"result_type":"list_transactions","result":{"transactions":[)" + items + "]}}";
  };
  const auto answer = parse_wallet_answer(ListTransactions{}, text(list));
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ(std::get<std::vector<WalletTransaction>>(**answer).size(),
            WalletLimits::kTransactionsMax);
  EXPECT_FALSE(parse_wallet_answer(ListTransactions{}, text(list + "," + one)).has_value());
}

TEST(WalletNotifications, SayWhatCame) {
  const auto news = parse_wallet_notification(
      R"({"notification_type":"payment_received","notification":{"type":"incoming","payment_hash":")" +
      kHash + R"(","amount":3}})");
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->news, WalletNews::Received);
  EXPECT_EQ(news->transaction.amount, 3U);
  EXPECT_FALSE(
      parse_wallet_notification(R"({"notification_type":"x","notification":{}})").has_value());
}

}  // namespace
}  // namespace nostril::settlement::lightning
