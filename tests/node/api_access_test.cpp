#include "node/api_access.h"

#include "base/base64.h"
#include "base/hex.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

using client::api_key_hash;
using client::ApiBudget;
using client::ApiKey;
using test::key_of;

constexpr std::int64_t kNow = 1'800'000'020;
constexpr const char* kUrl = "https://node.example:8443";
constexpr const char* kBody = R"({"model":"qwen3-32b","max_tokens":100,"messages":[]})";

class ApiGateTest : public testing::Test {
 protected:
  void SetUp() override {
    auto journal = client::Journal::open(folder_.path() / "journal", loop_);
    ASSERT_TRUE(journal);
    journal_ = std::move(*journal);
    books_ = std::make_unique<ChannelBooks>(*journal_, rail_);
    offer_.offer = test::example_offer(node_, key_of("encryption").public_key());
    offer_.prices = settlement::PriceTable::of(offer_.offer);
  }

  void list(const ApiBudget& budget, const std::string& key = "nk-alice") {
    ApiKey alice{"alice", api_key_hash(key), std::nullopt, budget};
    ASSERT_TRUE(write_api_keys(keys_file_, std::vector<ApiKey>{alice}));
  }

  [[nodiscard]] ApiGateSettings settings(ApiMode mode) const {
    return {mode, keys_file_, {"https://other.example", kUrl}, "msat", offer_.offer.credit};
  }

  void open(ApiMode mode) {
    gate_.reset();
    gate_ = std::make_unique<ApiGate>(
        settings(mode),
        ApiGateParts{clock_, rng_, verifier_, *journal_, *books_, node_.public_key()});
    clock_.advance_ms(20'000);  // past the time of which a restart knows nothing
  }

  [[nodiscard]] static net::HttpRequest request(net::HttpHeaders headers = {}) {
    net::HttpRequest out;
    out.method = "POST";
    out.target = out.path = "/v1/chat/completions";
    out.body = kBody;
    out.headers = std::move(headers);
    return out;
  }

  [[nodiscard]] static net::HttpRequest with_key(std::string key) {
    return request({{"Authorization", "Bearer " + std::move(key)}});
  }

  /// Signed by `who`, for exactly this request.
  net::HttpRequest signed_by(const std::string& who, net::HttpRequest of = request()) {
    const EventDraft draft{
        clock_.unix_s(),
        kNip98Kind,
        {{"u", kUrl + of.target}, {"method", of.method}, {"payload", encode_hex(sha256(of.body))}},
        std::to_string(++nonce_)};
    const std::string json = to_json(sign_event(draft, key_of(who), rng_));
    of.headers.add("Authorization", "Nostr " + encode_base64(as_bytes(json)));
    return of;
  }

  Result<ApiCaller, ApiRefusal> admit(const net::HttpRequest& of) {
    return gate_->admit(of, peer_);
  }

  [[nodiscard]] int status(const net::HttpRequest& of) {
    const auto caller = admit(of);
    return caller ? 200 : caller.error().status;
  }

  /// An answer of that use under the booking, as the server books it.
  ResponseRecord answer(ApiBooking& booking, const Usage& usage) {
    ResponseRecord record = test::example_record(offer_.offer);
    rng_.fill(record.request.bytes);
    record.node = node_.public_key();
    record.usage = usage;
    record.status = RecordStatus::Ok;
    const auto event = booking.book->state(record, offer_.prices, node_, rng_, 0);
    EXPECT_TRUE(event);
    std::vector<client::JournalChange> changes = {client::put_record(record, *event),
                                                  booking.book->row()};
    if (booking.hold) booking.hold->settle(record, changes);
    bool done = false;
    EXPECT_TRUE(journal_->commit(std::move(changes), [&](bool good) { done = good; }));
    EXPECT_TRUE(test::run_until(loop_, [&] { return done; }));
    return record;
  }

  /// The payer's receipt for all that the book states.
  std::string receipt_for(const ChannelBook& book, const std::string& who) {
    BalanceReceipt receipt;
    receipt.created_at = kNow;
    receipt.channel = book.channel().id();
    receipt.amount = book.channel().spent();
    receipt.running_hash = book.channel().running_hash();
    const Event event = sign_event(build_receipt(receipt), key_of(who), rng_);
    return encode_base64(as_bytes(to_json(event)));
  }

  test::TempDir folder_;
  std::filesystem::path keys_file_ = folder_.path() / "keys.toml";
  net::Loop loop_;
  FakeClock clock_{kNow};
  SystemRng rng_;
  Verifier verifier_;
  Keypair node_ = key_of("node");
  net::PeerAddress peer_;
  LiveOffer offer_;
  std::unique_ptr<client::Journal> journal_;
  UnsettledRail rail_;
  std::unique_ptr<ChannelBooks> books_;
  std::unique_ptr<ApiGate> gate_;
  int nonce_ = 0;
};

TEST_F(ApiGateTest, AdmitsListedKeysOnly) {
  list({});
  open(ApiMode::Keys);
  const auto caller = admit(with_key("nk-alice"));
  ASSERT_TRUE(caller);
  EXPECT_FALSE(caller->id.is_zero());
  EXPECT_EQ(admit(request({{"x-api-key", "nk-alice"}}))->id, caller->id);
  EXPECT_EQ(status(request()), 401);
  EXPECT_EQ(status(with_key("nk-bob")), 401);
  EXPECT_EQ(status(with_key("")), 401);
  EXPECT_EQ(status(request({{"Authorization", "Basic bmstYWxpY2U6"}})), 401);
  EXPECT_EQ(status(request({{"Authorization", "Bearer nk-alice"}, {"X-Api-Key", "nk-bob"}})), 401);
  EXPECT_EQ(
      status(request({{"Authorization", "Bearer nk-alice"}, {"Authorization", "Bearer nk-alice"}})),
      401);
  EXPECT_EQ(status(signed_by("bob")), 401);
}

TEST_F(ApiGateTest, ARevokedKeyIsNobodysWithinASecond) {
  list({});
  open(ApiMode::Keys);
  const auto caller = admit(with_key("nk-alice"));
  ASSERT_TRUE(caller);
  ASSERT_TRUE(client::write_api_keys(keys_file_, {}));
  clock_.advance_ms(1000);
  EXPECT_EQ(status(with_key("nk-alice")), 401);
  EXPECT_EQ(gate_->book(*caller, offer_, kBody).error().status, 401);
}

TEST_F(ApiGateTest, AnotherModeAndOtherUrlsCountFromTheNextRequestOn) {
  list({});
  open(ApiMode::Keys);
  EXPECT_EQ(status(request()), 401);
  gate_->reconfigure(settings(ApiMode::Open));
  EXPECT_EQ(status(request()), 200);
  gate_->reconfigure(settings(ApiMode::Nostr));
  EXPECT_EQ(status(request()), 401);
  EXPECT_EQ(status(signed_by("bob")), 200);
  ApiGateSettings elsewhere = settings(ApiMode::Nostr);
  elsewhere.urls = {"https://other.example"};
  gate_->reconfigure(std::move(elsewhere));
  EXPECT_EQ(status(signed_by("bob")), 401);
  EXPECT_EQ(status(with_key("nk-alice")), 200);
}

TEST_F(ApiGateTest, AnotherKeysFileIsReadAtOnceUnlessItDoesNotRead) {
  list({});
  open(ApiMode::Keys);
  ApiGateSettings moved = settings(ApiMode::Keys);
  moved.keys_file = folder_.path() / "others.toml";
  std::ofstream(moved.keys_file) << "[[key]]\nname = 1\n";
  gate_->reconfigure(moved);
  EXPECT_EQ(status(with_key("nk-alice")), 200) << "the old keys stay in force";
  gate_->reconfigure(settings(ApiMode::Keys));
  const ApiKey bob{"bob", api_key_hash("nk-bob"), std::nullopt, {}};
  ASSERT_TRUE(write_api_keys(moved.keys_file, std::vector{bob}));
  gate_->reconfigure(moved);
  EXPECT_EQ(status(with_key("nk-alice")), 401);
  EXPECT_EQ(status(with_key("nk-bob")), 200);
}

TEST_F(ApiGateTest, ChargesWhatWasUsedAndKeepsItOverARestart) {
  // A request of so many bytes may come to 8192 + 52 + 100 tokens.
  list({.tokens = 9'000});
  open(ApiMode::Keys);
  const auto caller = admit(with_key("nk-alice"));
  ASSERT_TRUE(caller);
  {
    auto booking = gate_->book(*caller, offer_, kBody);
    ASSERT_TRUE(booking) << booking.error().message;
    EXPECT_EQ(gate_->book(*caller, offer_, kBody).error().status, 402);  // while the first runs
    answer(*booking, {.input = 200, .output = 300});
  }
  { EXPECT_TRUE(gate_->book(*caller, offer_, kBody)); }  // given back unused
  {
    auto booking = gate_->book(*caller, offer_, kBody);
    ASSERT_TRUE(booking);
    answer(*booking, {.input = 200, .output = 300});
  }
  open(ApiMode::Keys);
  const auto refused = gate_->book(*caller, offer_, kBody);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 402);
  EXPECT_EQ(refused.error().code, "insufficient_quota");
}

TEST_F(ApiGateTest, AnAmountIsReservedByThePrices) {
  // 8244 tokens for 0.15 and 100 for 0.6 msat each.
  list({.amount = 1'297});
  open(ApiMode::Keys);
  const auto caller = admit(with_key("nk-alice"));
  auto booking = gate_->book(*caller, offer_, kBody);
  ASSERT_TRUE(booking) << booking.error().message;
  booking = gate_->book(*caller, offer_, std::string(kBody) + "       ");
  EXPECT_EQ(booking.error().status, 402);
}

TEST_F(ApiGateTest, AnAccountOutlivesAnyNumberOfAnswers) {
  list({});
  open(ApiMode::Keys);
  const auto caller = admit(with_key("nk-alice"));
  ASSERT_TRUE(caller);
  ChannelId channel;
  for (std::size_t i = 0; i < settlement::NodeChannel::kUnpaidStatementsMax + 10; ++i) {
    auto booking = gate_->book(*caller, offer_, kBody);
    ASSERT_TRUE(booking);
    ASSERT_TRUE(booking->book->channel().may_serve({}, {.output = 1}, 0, offer_.prices)) << i;
    if (i == 0) channel = booking->book->channel().id();
    EXPECT_EQ(booking->book->channel().id(), channel);
    answer(*booking, {.input = 1'000'000, .output = 1'000});
  }
  auto one = gate_->book(*caller, offer_, kBody);
  auto other = gate_->book(*caller, offer_, kBody);
  EXPECT_NE(one->book->channel().id(), other->book->channel().id());
}

TEST_F(ApiGateTest, AnybodyMayAskWhereItIsOpenButNotWithWrongCredentials) {
  list({.tokens = 1});
  open(ApiMode::Open);
  const auto caller = admit(request());
  ASSERT_TRUE(caller);
  EXPECT_TRUE(caller->id.is_zero());
  EXPECT_TRUE(gate_->book(*caller, offer_, kBody));
  EXPECT_NE(admit(request())->cache_salt, caller->cache_salt);
  EXPECT_TRUE(admit(with_key("sk-what-an-sdk-always-sends"))->id.is_zero());
  // A listed key keeps its budget.
  EXPECT_EQ(gate_->book(*admit(with_key("nk-alice")), offer_, kBody).error().status, 402);
  auto forged = signed_by("bob");
  forged.body += " ";
  EXPECT_EQ(status(forged), 401);
}

TEST_F(ApiGateTest, ASignatureServesOneRequestOnce) {
  open(ApiMode::Nostr);
  const auto good = signed_by("bob");
  EXPECT_EQ(status(good), 200);
  EXPECT_EQ(status(good), 401);
  auto other_body = signed_by("bob");
  other_body.body = R"({"model":"qwen3-32b","max_tokens":4000})";
  EXPECT_EQ(status(other_body), 401);
  auto other_target = signed_by("bob");
  other_target.target += "?a=1";
  EXPECT_EQ(status(other_target), 401);
  auto late = signed_by("bob");
  clock_.advance_ms(61'000);
  EXPECT_EQ(status(late), 401);
  EXPECT_EQ(status(request()), 401);
}

TEST_F(ApiGateTest, AKeyThatPaysHasTheOffersCreditAndReceipts) {
  open(ApiMode::Nostr);
  const auto caller = admit(signed_by("bob"));
  ASSERT_TRUE(caller && caller->payer);
  auto booking = gate_->book(*caller, offer_, kBody);
  ASSERT_TRUE(booking);
  const std::shared_ptr<ChannelBook> book = booking->book;
  const ResponseRecord record = answer(*booking, {.input = 60'000, .output = 1'000});
  EXPECT_EQ(record.cost, Amount::of(9'600));
  EXPECT_FALSE(book->channel().may_serve({}, {.output = 1'000}, 0, offer_.prices));

  // The receipt comes with the next request, of the same key.
  auto paying = request({{"X-Last-Signed-Query", receipt_for(*book, "bob")},
                         {"X-User-ID", encode_hex(key_of("bob").public_key())},
                         {"X-Query-Chain-ID", encode_hex(book->channel().id())}});
  const auto payer = admit(signed_by("bob", paying));
  ASSERT_TRUE(payer) << payer.error().message;
  ASSERT_TRUE(gate_->book(*payer, offer_, kBody));
  EXPECT_EQ(book->channel().accepted(), Amount::of(9'600));
  EXPECT_TRUE(gate_->book(*payer, offer_, kBody));  // the same again is fine
  EXPECT_TRUE(book->channel().may_serve({}, {.output = 1'000}, 0, offer_.prices));
}

TEST_F(ApiGateTest, RefusesBalancesThatAreNotTheSigners) {
  open(ApiMode::Nostr);
  const auto caller = admit(signed_by("bob"));
  auto booking = gate_->book(*caller, offer_, kBody);
  answer(*booking, {.input = 60'000, .output = 1'000});
  const ChannelBook& book = *booking->book;
  const auto with = [&](const char* name, std::string value) {
    return signed_by("bob", request({{name, std::move(value)}}));
  };
  EXPECT_EQ(status(with("X-User-ID", encode_hex(key_of("eve").public_key()))), 400);
  EXPECT_EQ(status(with("X-User-ID", "0xabc")), 400);
  EXPECT_EQ(status(with("X-Query-Chain-ID", std::string(64, '0'))), 400);
  EXPECT_EQ(status(with("X-Channel-Salt", "00")), 400);
  EXPECT_EQ(status(with("X-Last-Signed-Query", "e30=")), 400);
  EXPECT_EQ(status(with("X-Last-Signed-Query", std::string(kBalanceReceiptBytesMax + 4, 'A'))),
            400);
  std::string json(as_text(*decode_base64(receipt_for(book, "bob"))));
  json[json.size() - 10] = json[json.size() - 10] == '0' ? '1' : '0';  // inside of the signature
  EXPECT_EQ(status(with("X-Last-Signed-Query", encode_base64(as_bytes(json)))), 400);
  // Of another key: well formed, and pays nothing.
  const auto eves = admit(with("X-Last-Signed-Query", receipt_for(book, "eve")));
  ASSERT_TRUE(eves);
  EXPECT_EQ(gate_->book(*eves, offer_, kBody).error().status, 402);
  EXPECT_TRUE(book.channel().accepted().is_zero());
  auto twice = request({{"X-User-ID", encode_hex(key_of("bob").public_key())},
                        {"X-User-ID", encode_hex(key_of("bob").public_key())}});
  EXPECT_EQ(status(signed_by("bob", twice)), 400);
}

TEST_F(ApiGateTest, TellsTheBalanceInHeadersAndByItsRoute) {
  open(ApiMode::Nostr);
  const auto caller = admit(signed_by("bob"));
  auto booking = gate_->book(*caller, offer_, kBody);
  const ResponseRecord record = answer(*booking, {.input = 60'000, .output = 1'000});
  ApiExchange exchange;
  exchange.caller = *caller;
  exchange.model = offer_.offer.model;
  net::HttpHeaders headers;
  gate_->add_headers(exchange, headers);
  EXPECT_EQ(headers.find("X-User-ID"), encode_hex(key_of("bob").public_key()));
  EXPECT_EQ(headers.find("X-Query-Chain-ID"), encode_hex(booking->book->channel().id()));
  EXPECT_EQ(headers.find("X-Total-Tokens-Used"), "61000");
  EXPECT_EQ(headers.find("X-Cost-Per-Token"),
            "input=150000;cached=30000;output=600000;per=1000000;asset=msat");
  EXPECT_EQ(headers.find("X-Outstanding-Balance"), "9600");
  EXPECT_EQ(headers.find("Cache-Control"), "no-store");
  const auto json = decode_base64(*headers.find("X-Last-Signed-Query"));
  ASSERT_TRUE(json);
  auto event = parse_event(as_text(*json));
  ASSERT_TRUE(event);
  EXPECT_EQ(headers.find("X-Server-Signature"), encode_hex(event->event().sig));
  const auto verified = VerifiedEvent::verify(*std::move(event), verifier_);
  ASSERT_TRUE(verified);
  EXPECT_EQ(parse_record(verified->event())->id, record.id);

  net::HttpRequest get;
  get.method = "GET";
  get.target = get.path = "/v1/balance";
  net::HttpResponse told;
  gate_->balance_route().answer(signed_by("bob", get), peer_,
                                [&](net::HttpResponse response) { told = std::move(response); });
  ASSERT_EQ(told.status, 200) << told.body;
  const auto body = Json::parse(told.body);
  EXPECT_EQ(body->find_string("spent"), "9600");
  EXPECT_EQ(body->find_string("accepted"), "0");
  EXPECT_EQ(body->find_string("running_hash"), encode_hex(booking->book->channel().running_hash()));
  EXPECT_TRUE(body->find("paid")->is_null());
  gate_->balance_route().answer(get, peer_,
                                [&](net::HttpResponse response) { told = std::move(response); });
  EXPECT_EQ(told.status, 401);
}

}  // namespace

}  // namespace nostril::node
