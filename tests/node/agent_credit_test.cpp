// How much a node gives to whom has not paid: never more than the offer's credit.
#include "base/hex.h"
#include "client/channel_store.h"
#include "events/client_session.h"
#include "events/kinds.h"
#include "schnorr/hash.h"
#include "settlement/channel.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::node {
namespace {

using test::Answer;
using test::chat;
using test::EngineAnswer;
using test::stream_answer;
using test::World;

constexpr std::int64_t kCredit = 5;
constexpr std::int64_t kPriceOutput = 400'000;  // five tokens are two units
constexpr std::size_t kTokensCovered = 12;      // 4.8, upwards 5; a thirteenth would be 5.2
constexpr std::size_t kLeadingEvents = 1;       // the role, which holds no token

void with_small_credit(NodeConfig& config) {
  config.offer.credit = kCredit;
  config.offer.output_price = kPriceOutput;
  config.limits.receipt_wait_s = 1;
}

EngineAnswer tokens_in_one_read(int count) {
  std::vector<std::string> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back("t" + std::to_string(i) + " ");
  EngineAnswer out = stream_answer(tokens, {0, 0, count});
  out.pieces = {out.body()};
  return out;
}

/// The beginning of that stream with so many tokens.
std::string beginning(std::size_t token_count) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < token_count; ++i) tokens.push_back("t" + std::to_string(i) + " ");
  const auto events = stream_answer(tokens, {}).pieces;
  std::string out;
  for (std::size_t i = 0; i < kLeadingEvents + token_count; ++i) out += events[i];
  return out;
}

/// A client that speaks the protocol and pays when the test says so.
class Miser {
 public:
  explicit Miser(World& world) : world_(world), pool_(world.loop, world.clock) {
    EXPECT_TRUE(pool_.add_relay(world.relay.url()));
    world.rng.fill(salt_);
  }

  ~Miser() { world_.loop.cancel(timer_); }

  Miser(const Miser&) = delete;
  Miser& operator=(const Miser&) = delete;

  /// Asks in a session of its own, over the same channel each time.
  void ask(const std::string& body) {
    pool_.unsubscribe(frames_);
    received.clear();
    partial.clear();
    ended.reset();
    error.reset();
    ClientRequest request;
    world_.rng.fill(request.request.bytes);
    request.method = "POST";
    request.path = "/v1/chat/completions";
    request.headers = {{"content-type", "application/json"}};
    const ByteSpan bytes = as_bytes(body);
    request.body.assign(bytes.begin(), bytes.end());
    request.payment = PaymentTerms{signer_.public_key(), salt_};
    offer_ = world_.offer()->offer();
    // Any time; of tokens what a client would take.
    expected_ = {request.request,
                 sha256(bytes),
                 {},
                 offer_.id,
                 {settlement::usage_max(offer_, as_text(bytes)), 1U << 30U}};
    auto session = ClientSession::start(offer_, request, {}, now(), verifier_, world_.rng);
    ASSERT_TRUE(session);
    session_ = std::make_unique<ClientSession>(std::move(*session));
    Filter filter;
    filter.kinds = {kinds::kFrame};
    filter.tags.push_back({'p', {encode_hex(session_->client_key())}});
    client::SubscriptionCallbacks callbacks;
    bool subscribed = false;
    callbacks.on_stored_end = [&subscribed](const std::string&) { subscribed = true; };
    callbacks.on_event = [this](const VerifiedEvent& event) {
      session_->on_event(event.event(), now());
      drive();
    };
    frames_ = pool_.subscribe({filter}, callbacks);
    ASSERT_TRUE(world_.until([&] { return subscribed; }));
    world_.loop.cancel(timer_);
    timer_ = world_.loop.every(20, [this] {
      session_->on_timer(now());
      drive();
    });
    drive();
  }

  bool finish() {
    return world_.until([this] { return ended || error; });
  }

  /// Signs for all records up to the last one.
  void pay() {
    if (!book_) {
      book_.emplace(
          settlement::ChannelTerms{signer_.public_key(), offer_.node, offer_.asset, salt_},
          Amount::of(1'000'000));
    }
    std::vector<ResponseRecord> records = partial;
    if (ended) records.push_back(*ended);
    for (const ResponseRecord& record : records) {
      expected_.response_hash = record.response_hash;  // judged by the session already
      auto receipt =
          book_->pay(record, expected_, settlement::PriceTable::of(offer_), world_.clock.unix_s());
      ASSERT_TRUE(receipt) << to_string(receipt.error());
      if (*receipt) {
        session_->send_receipt(sign_event(std::move(**receipt), signer_, world_.rng), now());
      }
    }
    drive();
  }

  [[nodiscard]] ChannelId channel() const {
    return settlement::channel_id({signer_.public_key(), offer_.node, offer_.asset, salt_});
  }

  std::string received;
  std::vector<ResponseRecord> partial;
  std::optional<ResponseRecord> ended;
  std::optional<ErrorFrame> error;

 private:
  [[nodiscard]] Moment now() const { return {world_.clock.monotonic_ms(), world_.clock.unix_s()}; }

  void drive() {
    while (auto note = session_->next_note()) {
      if (const auto* data = std::get_if<ClientNote::Data>(&*note)) {
        received += as_text(data->bytes);
        session_->consumed(data->bytes.size(), now());
      } else if (const auto* wanted = std::get_if<ClientNote::NeedReceipt>(&*note)) {
        partial.push_back(wanted->record);
      } else if (const auto* end = std::get_if<ClientNote::Ended>(&*note)) {
        ended = end->record;
      } else if (const auto* refused = std::get_if<ClientNote::Error>(&*note)) {
        error = refused->error;
      } else if (const auto* failed = std::get_if<ClientNote::Failed>(&*note)) {
        ADD_FAILURE() << to_string(failed->failure);
      }
    }
    for (const Event& event : session_->take_events()) pool_.publish(event);
  }

  World& world_;
  client::RelayPool pool_;
  Verifier verifier_;
  Keypair signer_ = Keypair::generate(world_.rng);
  std::array<std::uint8_t, 16> salt_{};
  Offer offer_;
  settlement::ExpectedAnswer expected_;
  std::optional<settlement::PayerChannel> book_;
  std::unique_ptr<ClientSession> session_;
  client::SubscriptionId frames_ = client::SubscriptionId::None;
  net::TimerId timer_ = net::TimerId::None;
};

settlement::ChannelSnapshot book_of(World& world, const ChannelId& channel) {
  const auto stored = client::get_channel(*world.node_journal, channel);
  EXPECT_TRUE(stored);
  return stored ? stored->snapshot : settlement::ChannelSnapshot{};
}

TEST(AgentCredit, OfAnEngineThatSendsAllAtOnceOnlyWhatTheCreditCoversLeaves) {
  World world(with_small_credit);
  world.engine.set_answer(tokens_in_one_read(500));
  ASSERT_TRUE(world.wait_for_offer());
  Miser miser(world);
  miser.ask(chat("x", true));
  ASSERT_TRUE(miser.finish());

  EXPECT_EQ(miser.received, beginning(kTokensCovered));
  ASSERT_TRUE(miser.ended);
  EXPECT_EQ(miser.ended->status, RecordStatus::Unpaid);
  EXPECT_EQ(miser.ended->usage, (Usage{0, 0, kTokensCovered}));
  EXPECT_EQ(miser.ended->spent, Amount::of(kCredit));
  EXPECT_EQ(miser.ended->response_hash, sha256(as_bytes(miser.received)));
  ASSERT_EQ(miser.partial.size(), 1U);
  EXPECT_EQ(miser.partial[0].spent, Amount::of(kCredit));
  EXPECT_EQ(world.engine.running(), 0U);
}

TEST(AgentCredit, AnUnpaidAnswerStopsTheEngineAndIsBookedAsUnpaid) {
  World world(with_small_credit);
  EngineAnswer endless = tokens_in_one_read(500);
  endless.end = EngineAnswer::End::Hang;
  world.engine.set_answer(endless);
  ASSERT_TRUE(world.wait_for_offer());
  Miser miser(world);
  miser.ask(chat("x", true));
  ASSERT_TRUE(miser.finish());
  EXPECT_TRUE(world.until([&] { return world.engine.aborted() == 1; }));

  const auto records = client::all_records(*world.node_journal, miser.channel(), 10);
  ASSERT_EQ(records.size(), 2U);
  const auto last = parse_record(records[1]);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->status, RecordStatus::Unpaid);
  EXPECT_EQ(last->n, 2U);
  EXPECT_TRUE(last->cost.is_zero()) << "the partial statement had charged all of it";
  const auto book = book_of(world, miser.channel());
  EXPECT_EQ(book.n, 2U);
  EXPECT_EQ(book.last_record, last->id);
  EXPECT_EQ(book.accepted, Amount{});
  EXPECT_EQ(book.micro, Uint128{kTokensCovered} * kPriceOutput);
  EXPECT_TRUE(client::all_receipts(*world.node_journal, miser.channel(), 10).empty());
}

TEST(AgentCredit, WhoOwesAllOfItIsServedAgainOnceALateReceiptCame) {
  World world(with_small_credit);
  world.engine.set_answer(tokens_in_one_read(500));
  ASSERT_TRUE(world.wait_for_offer());
  Miser miser(world);
  miser.ask(chat("x", true));
  ASSERT_TRUE(miser.finish());
  ASSERT_TRUE(miser.ended);
  const std::size_t asked = world.engine.asked();

  {
    Miser other(world);  // another channel owes nothing
    other.ask(chat("x", true));
    ASSERT_TRUE(other.finish());
    EXPECT_TRUE(other.ended);
  }
  ASSERT_EQ(world.engine.asked(), asked + 1);
  miser.pay();
  ASSERT_TRUE(
      world.until([&] { return book_of(world, miser.channel()).accepted == Amount::of(kCredit); }));
  miser.ask(chat("y", true));
  ASSERT_TRUE(world.until([&] { return !miser.partial.empty(); }));
  // A whole credit again, and what was left of the unit that was rounded upwards.
  EXPECT_EQ(miser.received, beginning(kTokensCovered + 1));
  EXPECT_EQ(miser.partial[0].spent, Amount::of(2 * kCredit));
}

TEST(AgentCredit, WhoOwesAllOfItIsRefusedBeforeTheEngineIsAsked) {
  World world(with_small_credit);
  world.engine.set_answer(tokens_in_one_read(500));
  ASSERT_TRUE(world.wait_for_offer());
  Miser miser(world);
  miser.ask(chat("x", true));
  ASSERT_TRUE(miser.finish());
  ASSERT_TRUE(miser.ended);
  const std::size_t asked = world.engine.asked();
  miser.ask(chat("y", true));
  ASSERT_TRUE(miser.finish());
  ASSERT_TRUE(miser.error);
  EXPECT_EQ(miser.error->code, ErrorCode::PaymentRequired);
  EXPECT_EQ(world.engine.asked(), asked);
}

TEST(AgentCredit, ManyAnswersOfOnePayerThatPaysShareASmallCredit) {
  World world(with_small_credit);
  const EngineAnswer scripted = tokens_in_one_read(60);
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  std::vector<std::shared_ptr<Answer>> answers;
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 5; ++i) answers.push_back(world.query(chat("x", true)));
    // The next ones come while these owe all that they may.
    const auto& last = answers.back();
    ASSERT_TRUE(world.until([&] { return !last->body.empty() || last->result; }));
  }
  for (const auto& answer : answers) {
    ASSERT_TRUE(world.finish(answer));
    EXPECT_TRUE(answer->result->verified()) << answer->result->detail;
    EXPECT_EQ(answer->body, scripted.body());
  }
  EXPECT_EQ(world.engine.asked(), answers.size());
}

/// The spent amounts of a channel's statements never rise by more than the credit at a time: each
/// of them was paid before the next one.
void expect_small_steps(World& world, const ChannelId& channel) {
  const auto records = client::all_records(*world.node_journal, channel, 1000);
  EXPECT_GT(records.size(), 3U);
  for (const Event& event : records) {
    const auto record = parse_record(event);
    ASSERT_TRUE(record);
    EXPECT_LE(record->cost, Amount::of(kCredit));
  }
}

TEST(AgentCredit, AFastEnginesLongAnswerArrivesWholeReceiptByReceipt) {
  World world(with_small_credit);
  const EngineAnswer scripted = tokens_in_one_read(200);
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_EQ(answer->result->record->spent, Amount::of(80));
  expect_small_steps(world, answer->result->record->channel);
}

TEST(AgentCredit, AnAnswerInOnePieceAboveTheCreditIsPaidInInstalments) {
  World world(with_small_credit);
  const EngineAnswer scripted = test::plain_answer("long", {100, 7, 70});
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", false));
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_EQ(answer->result->record->usage, (Usage{100, 7, 70}));
  EXPECT_EQ(answer->result->record->spent, Amount::of(38));  // 9.3 + 0.35 + 28, upwards
  expect_small_steps(world, answer->result->record->channel);

  Miser miser(world);
  miser.ask(chat("x", false));
  ASSERT_TRUE(miser.finish());
  ASSERT_TRUE(miser.ended);
  EXPECT_EQ(miser.ended->status, RecordStatus::Unpaid);
  EXPECT_EQ(miser.received, "");
  EXPECT_LE(miser.ended->spent, Amount::of(kCredit));
}

TEST(AgentCredit, APromptThatIsCountedAtTheEndOnlyIsPaidInInstalments) {
  World world(with_small_credit);
  const EngineAnswer scripted = stream_answer({"a", "b"}, {500, 0, 2});
  world.engine.set_answer(scripted);
  ASSERT_TRUE(world.wait_for_offer());
  const auto answer = world.query(chat("x", true));
  ASSERT_TRUE(world.finish(answer));
  ASSERT_TRUE(answer->result->verified()) << answer->result->detail;
  EXPECT_EQ(answer->body, scripted.body());
  EXPECT_EQ(answer->result->record->usage, (Usage{500, 0, 2}));
  EXPECT_EQ(answer->result->record->spent, Amount::of(51));  // 50 + 0.8, upwards
  expect_small_steps(world, answer->result->record->channel);
}

TEST(AgentCredit, ACreditThatCoversNoTokenIsNoOffer) {
  World world([](NodeConfig& config) {
    config.offer.credit = 1;
    config.offer.output_price = 1'000'001;
  });
  ASSERT_EQ(world.fatal.size(), 1U);
  EXPECT_NE(world.fatal[0].find("offer.credit"), std::string::npos);
}

}  // namespace
}  // namespace nostril::node
