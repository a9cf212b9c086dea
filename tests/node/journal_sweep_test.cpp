// What the journal lets go, and what it must not.
#include "node/journal_sweep.h"

#include "node/channel_book.h"
#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <utility>

namespace nostril::node {
namespace {

using client::JournalTable;
using test::key_of;
using test::World;

constexpr std::int64_t kNow = 1'790'000'000;
constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kKept = 90 * kDay;

std::size_t rows_of(client::Journal& journal, JournalTable table) {
  std::size_t out = 0;
  journal.scan(table, {}, [&out](ByteSpan, ByteSpan) { return ++out != 0; });
  return out;
}

class JournalSweepTest : public testing::Test {
 protected:
  void SetUp() override {
    auto journal = client::Journal::open(folder_.path() / "journal", loop_);
    ASSERT_TRUE(journal) << journal.error();
    journal_ = std::move(*journal);
    sweep_ = std::make_unique<JournalSweep>(
        *journal_, [this](const ChannelId& id) { return in_use_.contains(id); }, clock_);
    offer_ = test::example_offer(node_, key_of("encryption").public_key());
  }

  std::shared_ptr<ChannelBook> book_of(const std::string& payer) {
    return std::make_shared<ChannelBook>(
        settlement::ChannelTerms{key_of(payer).public_key(), node_.public_key(), "msat", {}},
        Amount::of(1'000'000));
  }

  void state(ChannelBook& book, std::int64_t at_s) {
    ResponseRecord record = test::example_record(offer_);
    rng_.fill(record.request.bytes);
    record.node = node_.public_key();
    record.created_at = at_s;
    const auto event =
        book.state(record, settlement::PriceTable::of(offer_), node_, rng_, at_s * 1000);
    ASSERT_TRUE(event);
    commit({client::put_record(record, *event), book.row()});
  }

  void pay(ChannelBook& book, const std::string& payer, std::int64_t at_s) {
    BalanceReceipt receipt;
    receipt.created_at = at_s;
    receipt.channel = book.channel().id();
    receipt.amount = book.channel().spent();
    receipt.running_hash = book.channel().running_hash();
    const Event event = sign_event(build_receipt(receipt), key_of(payer), rng_);
    const auto verified = VerifiedEvent::verify(check_id(event).value(), verifier_);
    ASSERT_TRUE(verified);
    ASSERT_EQ(book.accept(*SignedReceipt::parse(*verified)), settlement::ReceiptVerdict::Accepted);
    commit({client::put_receipt(receipt, event), book.row()});
  }

  void commit(std::vector<client::JournalChange> changes) {
    bool done = false;
    ASSERT_TRUE(journal_->commit(std::move(changes), [&](bool good) { done = good; }));
    ASSERT_TRUE(test::run_until(loop_, [&] { return done; }));
  }

  /// One pass over the three tables.
  void pass() {
    clock_.advance_ms(JournalSweep::kPauseMs);
    for (int i = 0; i < 3; ++i) commit(sweep_->next(kKept, 1'000));
  }

  [[nodiscard]] std::size_t rows(JournalTable table) { return rows_of(*journal_, table); }

  test::TempDir folder_;
  net::Loop loop_;
  FakeClock clock_{kNow};
  SystemRng rng_;
  Verifier verifier_;
  Keypair node_ = key_of("node");
  Offer offer_;
  std::set<ChannelId> in_use_;
  std::unique_ptr<client::Journal> journal_;
  std::unique_ptr<JournalSweep> sweep_;
};

TEST_F(JournalSweepTest, OldRecordsAndReceiptsGoAndWhatAPayerSignedStaysInItsChannel) {
  const auto book = book_of("alice");
  for (const std::int64_t at_s : {kNow - 2 * kKept, kNow - kKept - kDay, kNow - kDay}) {
    state(*book, at_s);
    pay(*book, "alice", at_s);
  }
  const auto before = client::get_channel(*journal_, book->channel().id());
  pass();
  EXPECT_EQ(rows(JournalTable::Records), 1U);
  EXPECT_EQ(rows(JournalTable::Receipts), 1U);
  clock_.advance_ms(2 * kKept * 1'000);
  pass();
  EXPECT_EQ(rows(JournalTable::Records), 0U);
  EXPECT_EQ(rows(JournalTable::Receipts), 0U);
  const auto after = client::get_channel(*journal_, book->channel().id());
  ASSERT_TRUE(after) << "the claim";
  ASSERT_TRUE(after->paid);
  EXPECT_EQ(after->paid->receipt.id, before->paid->receipt.id);
  EXPECT_EQ(after->snapshot, before->snapshot);
}

TEST_F(JournalSweepTest, AReceiptCantStayForEverByItsDate) {
  const auto book = book_of("alice");
  state(*book, kNow);
  pay(*book, "alice", kNow + 50 * kKept);
  pass();
  EXPECT_EQ(rows(JournalTable::Receipts), 0U);
  EXPECT_EQ(rows(JournalTable::Channels), 1U);
}

TEST_F(JournalSweepTest, AChannelThatNobodySignedForGoesWhenItIsOldAndNotInUse) {
  const auto fresh = book_of("alice");
  const auto old = book_of("bob");
  const auto running = book_of("carol");
  state(*fresh, kNow - kDay);
  state(*old, kNow - kKept - kDay);
  state(*running, kNow - kKept - kDay);
  in_use_.insert(running->channel().id());
  pass();
  EXPECT_TRUE(client::get_channel(*journal_, fresh->channel().id()));
  EXPECT_FALSE(client::get_channel(*journal_, old->channel().id()));
  EXPECT_TRUE(client::get_channel(*journal_, running->channel().id()));
  in_use_.clear();
  pass();
  EXPECT_FALSE(client::get_channel(*journal_, running->channel().id()));
}

TEST_F(JournalSweepTest, APassGoesOnWhereItStoppedAndThenRests) {
  const auto book = book_of("alice");
  for (int i = 0; i < 5; ++i) state(*book, kNow - kKept - kDay);
  std::size_t found = 0;
  for (int i = 0; i < 3; ++i) found += sweep_->next(kKept, 2).size();
  EXPECT_EQ(found, 5U);
  static_cast<void>(sweep_->next(kKept, 2));        // receipts: none
  EXPECT_EQ(sweep_->next(kKept, 2).size(), 1U);     // the channel
  EXPECT_TRUE(sweep_->next(kKept, 1'000).empty());  // a pause
  clock_.advance_ms(JournalSweep::kPauseMs - 1);
  EXPECT_TRUE(sweep_->next(kKept, 1'000).empty());
  clock_.advance_ms(1);
  EXPECT_EQ(sweep_->next(kKept, 1'000).size(), 5U) << "nothing was committed: found again";
}

/// A node whose journal is swept: of a request that was answered and paid, no record, no receipt.
class SweptNode : public testing::Test {
 protected:
  explicit SweptNode(std::int64_t answers_kept_s = 7 * kDay)
      : world_([answers_kept_s](NodeConfig& config) {
          config.limits.records_days = 1;
          config.limits.answers_kept_s = answers_kept_s;
        }) {
    world_.engine.set_answer(test::plain_answer("once", {10, 0, 3}));
    world_.rng.fill(id_.bytes);
  }

  void ask_and_forget() {
    ASSERT_TRUE(world_.wait_for_offer());
    old_ = world_.offer();
    first_ = world_.query(body_, id_);
    ASSERT_TRUE(world_.finish(first_));
    ASSERT_TRUE(first_->result->verified()) << first_->result->detail;
    ASSERT_TRUE(
        world_.until([&] { return rows_of(*world_.node_journal, JournalTable::Receipts) == 1; }));
    // A pass rests an hour of the monotonic clock; a start begins one.
    world_.stop_node();
    world_.clock.set_date(world_.clock.unix_s() + 2 * kDay);
    world_.start_node();
    ASSERT_TRUE(world_.until([&] {
      return rows_of(*world_.node_journal, JournalTable::Records) == 0 &&
             rows_of(*world_.node_journal, JournalTable::Receipts) == 0;
    }));
    ASSERT_TRUE(world_.until([&] { return world_.offer() && world_.offer() != old_; }));
  }

  std::shared_ptr<test::Answer> ask_again() {
    const auto again = std::make_shared<test::Answer>();
    client::QueryRequest request;
    request.path = "/v1/chat/completions";
    request.body = body_;
    request.request = id_;
    request.earlier_offers = {old_->offer()};
    request.options.again = true;
    client::QueryCallbacks callbacks;
    callbacks.on_data = [again](ByteSpan bytes) { again->body += as_text(bytes); };
    callbacks.on_end = [again](const client::QueryResult& result) { again->result = result; };
    world_.user->inference.start(world_.offer(), request, callbacks);
    EXPECT_TRUE(world_.finish(again));
    return again;
  }

  void expect_charged_once() {
    EXPECT_EQ(world_.engine.asked(), 1U);
    const auto channel = client::get_channel(*world_.node_journal, first_->result->record->channel);
    ASSERT_TRUE(channel);
    EXPECT_EQ(channel->snapshot.n, 1U);
    EXPECT_EQ(channel->snapshot.accepted, first_->result->record->spent);
  }

  World world_;
  const std::string body_ = test::chat("x", false);
  RequestId id_;
  std::shared_ptr<const client::VerifiedOffer> old_;
  std::shared_ptr<test::Answer> first_;
};

TEST_F(SweptNode, TheSameRequestGetsTheSameAnswerAndIsChargedOnce) {
  ask_and_forget();
  const auto again = ask_again();
  ASSERT_TRUE(again->result->verified()) << again->result->detail;
  EXPECT_EQ(again->body, first_->body);
  EXPECT_EQ(again->result->record_event->id, first_->result->record_event->id);
  expect_charged_once();
  const auto next = world_.query(test::chat("y", false));
  ASSERT_TRUE(world_.finish(next));
  ASSERT_TRUE(next->result->verified()) << next->result->detail;
  EXPECT_EQ(next->result->record->n, 2U) << "the channel goes on";
}

class ForgetfulNode : public SweptNode {
 protected:
  ForgetfulNode() : SweptNode(3'600) {}
};

TEST_F(ForgetfulNode, RefusesTheSameRequestWhenItsAnswerIsGoneToo) {
  ask_and_forget();
  const auto again = ask_again();
  EXPECT_EQ(again->result->failure, client::QueryFailure::Refused);
  ASSERT_TRUE(again->result->error);
  EXPECT_EQ(again->result->error->code, ErrorCode::NotFound);
  EXPECT_EQ(again->body, "");
  expect_charged_once();
}

}  // namespace
}  // namespace nostril::node
