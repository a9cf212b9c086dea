// All payments over Lightning that a side knows: what is on the disk is what is in memory.
#include "client/lightning_book.h"

#include "tests/support/inference_fixtures.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

namespace nostril::client {
namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

Payment any_payment(test::SeededRng& rng) {
  Payment out;
  rng.fill(out.hash.bytes);
  out.channel.bytes.fill(static_cast<std::uint8_t>(rng.below(3)));
  out.purpose = static_cast<PaymentPurpose>(rng.below(3));
  out.outgoing = rng.below(2) == 0;
  out.state = static_cast<PaymentState>(rng.below(3));
  out.amount = rng.below(1'000'000) + 1;
  out.fees = rng.below(100);
  out.invoice = "lnbcrt" + std::to_string(rng.below(1'000'000));
  out.created_at = static_cast<std::int64_t>(1'700'000'000 + rng.below(1'000));
  out.expires_at = out.created_at + 600;
  out.sent_until = rng.below(2) == 0 ? 0 : out.created_at + 60;
  return out;
}

TEST(LightningRow, ReadsAsWritten) {
  test::SeededRng rng(7);
  for (int i = 0; i < 100; ++i) {
    const Payment payment = any_payment(rng);
    EXPECT_EQ(decode_payment(encode_payment(payment)), payment);
  }
}

TEST(LightningRow, IsRefusedWhenDamaged) {
  test::SeededRng rng(8);
  const std::string good = encode_payment(any_payment(rng));
  EXPECT_FALSE(decode_payment(good.substr(0, good.size() - 1)));
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"hash\":\"", "\"hash\":\"z"},
                                                        {"\"amount\":", "\"amount\":-"},
                                                        {"\"fees\":", "\"fees\":-1"},
                                                        {"\"state\":\"", "\"state\":\"un"},
                                                        {"\"purpose\":\"", "\"purpose\":\"x"},
                                                        {"\"outgoing\":", "\"outgoing\":0"},
                                                        {"\"channel\":\"", "\"chann\":\""},
                                                        {"\"sent_until\":", "\"sent\":"}}) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    EXPECT_FALSE(decode_payment(bad)) << bad;
  }
}

class LightningBookTest : public ::testing::Test {
 protected:
  LightningBookTest() { restart(); }

  void restart() {
    book_.reset();
    journal_.reset();
    auto opened = Journal::open(folder_.path() / "journal", loop_);
    ASSERT_TRUE(opened) << opened.error();
    journal_ = std::move(*opened);
    book_ = std::make_unique<LightningBook>(*journal_);
  }

  void put(const Payment& payment) {
    std::optional<bool> on_disk;
    book_->put(payment, [&](bool good) { on_disk = good; });
    EXPECT_TRUE(test::run_until(loop_, [&] { return on_disk.has_value(); }));
    EXPECT_TRUE(*on_disk);
  }

  test::TempDir folder_;
  net::Loop loop_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<LightningBook> book_;
};

/// Whatever is put, in whatever order, and wherever the process ends: each hash has one row, its
/// newest, and the sums are those of the rows.
TEST_F(LightningBookTest, HoldsOneRowAPaymentAcrossRestarts) {
  test::SeededRng rng(9);
  std::map<PaymentHash, Payment> expected;
  for (int i = 0; i < 60; ++i) {
    Payment payment = any_payment(rng);
    if (!expected.empty() && rng.below(2) == 0) {
      auto known = expected.begin();
      std::advance(known, static_cast<std::ptrdiff_t>(rng.below(expected.size())));
      payment.hash = known->first;
    }
    put(payment);
    expected[payment.hash] = payment;
    if (rng.below(8) == 0) restart();
    ASSERT_EQ(book_->payments().size(), expected.size());
    for (const auto& [hash, row] : expected) {
      ASSERT_NE(book_->find(hash), nullptr);
      ASSERT_EQ(*book_->find(hash), row);
    }
  }
  for (std::uint8_t name = 0; name < 3; ++name) {
    ChannelId channel;
    channel.bytes.fill(name);
    ChannelSums sums;
    for (const auto& [hash, row] : expected) {
      if (row.channel != channel) continue;
      const bool came = row.purpose != PaymentPurpose::Refund && row.state == PaymentState::Settled;
      const bool went = row.purpose == PaymentPurpose::Refund && row.state != PaymentState::Failed;
      if (came) sums.deposited += row.amount;
      if (went) sums.refunded += row.amount;
    }
    EXPECT_EQ(book_->sums(channel), sums);
  }
}

TEST_F(LightningBookTest, ReadsWhatAnotherProcessWrote) {
  test::SeededRng rng(10);
  LightningBook other(*journal_);
  const Payment payment = any_payment(rng);
  put(payment);
  EXPECT_EQ(other.find(payment.hash), nullptr);
  other.reload();
  ASSERT_NE(other.find(payment.hash), nullptr);
  EXPECT_EQ(other.payments(), book_->payments());
}

TEST_F(LightningBookTest, LeavesOutADamagedRowAndKeepsTheOthers) {
  test::SeededRng rng(11);
  const Payment payment = any_payment(rng);
  put(payment);
  std::optional<bool> done;
  ASSERT_TRUE(journal_->commit({{JournalTable::Lightning, Bytes(32, 1), Bytes{'{'}}},
                               [&](bool good) { done = good; }));
  EXPECT_TRUE(test::run_until(loop_, [&] { return done.has_value(); }));
  restart();
  EXPECT_EQ(book_->payments(), std::vector<Payment>{payment});
}

}  // namespace
}  // namespace nostril::client
