#include "node/exchange_store.h"

#include "tests/face/keys.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

using client::JournalTable;
using face::SigningAlgorithm;
using test::run_until;

constexpr std::int64_t kNow = 1'790'000'000;

Exchange exchange(const std::string& id, const Digest& caller = {}, std::int64_t at_s = kNow) {
  Exchange out;
  out.id = id;
  out.receipt_id = "rcpt-" + id;
  out.caller = caller;
  out.at_s = at_s;
  out.model = "org/model:v1";
  out.request = sha256("request of " + id);
  out.response = sha256("response to " + id);
  out.aci_receipt = R"({"id":"rcpt"})";
  return out;
}

class ExchangeStoreTest : public testing::Test {
 protected:
  void SetUp() override { open({}); }

  void open(const ExchangeLimits& limits) {
    store_.reset();
    journal_.reset();
    auto journal = client::Journal::open(folder_.path() / "journal", loop_);
    ASSERT_TRUE(journal) << journal.error();
    journal_ = std::move(*journal);
    store_ = std::make_unique<ExchangeStore>(*journal_, limits, clock_);
  }

  void commit(std::vector<client::JournalChange> changes) {
    bool done = false;
    ASSERT_TRUE(journal_->commit(std::move(changes), [&](bool good) { done = good; }));
    ASSERT_TRUE(run_until(loop_, [&] { return done; }));
  }

  void put(const Exchange& one) { commit(store_->put(one)); }

  [[nodiscard]] std::size_t rows(JournalTable table) {
    std::size_t out = 0;
    journal_->scan(table, {}, [&out](ByteSpan, ByteSpan) { return ++out != 0; });
    return out;
  }

  test::TempDir folder_;
  net::Loop loop_;
  FakeClock clock_{kNow};
  std::unique_ptr<client::Journal> journal_;
  std::unique_ptr<ExchangeStore> store_;
};

TEST_F(ExchangeStoreTest, ServesAllFormsOfASignatureAfterARestart) {
  const face::LegacySigner signer = face::test::signer();
  Exchange made = exchange("chatcmpl-1");
  made.signatures = sign_exchange(made, signer);
  put(made);
  open({});
  const auto found = store_->find({}, "chatcmpl-1");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->aci_receipt, made.aci_receipt);
  for (const auto algorithm : {SigningAlgorithm::Ecdsa, SigningAlgorithm::Ed25519}) {
    for (const bool with_model : {true, false}) {
      const face::ChatSignature* one = found->signature(algorithm, with_model);
      ASSERT_NE(one, nullptr);
      const auto text = face::verify_chat_signature(to_json(*one));
      ASSERT_TRUE(text) << to_string(text.error());
      EXPECT_EQ(text->model.has_value(), with_model);
      EXPECT_EQ(text->request, made.request);
      EXPECT_EQ(text->response, made.response);
    }
  }
}

TEST_F(ExchangeStoreTest, FindsByReceiptAndOnlyForItsCaller) {
  const Digest alice = sha256("alice");
  put(exchange("a", alice));
  EXPECT_TRUE(store_->find(alice, "a"));
  EXPECT_TRUE(store_->find_receipt(alice, "rcpt-a"));
  EXPECT_FALSE(store_->find({}, "a"));
  EXPECT_FALSE(store_->find(sha256("bob"), "a"));
  EXPECT_FALSE(store_->find_receipt(sha256("bob"), "rcpt-a"));
  EXPECT_FALSE(store_->find(alice, "rcpt-a"));
  EXPECT_FALSE(store_->find_receipt(alice, "a"));
  EXPECT_FALSE(store_->find(alice, ""));
}

TEST_F(ExchangeStoreTest, NewerExchangeOfTheSameIdIsFound) {
  Exchange first = exchange("chatcmpl-123");
  first.receipt_id = "r1";
  Exchange second = exchange("chatcmpl-123");
  second.receipt_id = "r2";
  second.response = sha256("second");
  put(first);
  put(second);
  EXPECT_EQ(store_->find({}, "chatcmpl-123")->response, second.response);
  EXPECT_EQ(store_->find_receipt({}, "r1")->response, first.response);
  open({});  // the count goes on
  Exchange third = exchange("chatcmpl-123");
  third.response = sha256("third");
  put(third);
  EXPECT_EQ(store_->find({}, "chatcmpl-123")->response, third.response);
  EXPECT_EQ(rows(JournalTable::Exchanges), 3U);
}

TEST_F(ExchangeStoreTest, ErasesWhatIsTooOldWithItsNames) {
  open({.age_s_max = 100});
  for (int i = 0; i < 20; ++i) put(exchange(std::to_string(i)));
  clock_.advance_ms(99'000);
  put(exchange("young", {}, clock_.unix_s()));
  EXPECT_TRUE(store_->find({}, "0"));
  clock_.advance_ms(1'000);
  EXPECT_FALSE(store_->find({}, "0"));  // before it is erased
  commit(store_->sweep());
  EXPECT_EQ(rows(JournalTable::Exchanges), 1U);
  EXPECT_EQ(rows(JournalTable::ExchangeNames), 2U);
  EXPECT_TRUE(store_->find({}, "young"));
  EXPECT_TRUE(store_->sweep().empty());
}

TEST_F(ExchangeStoreTest, StaysWithinItsBytesAndKeepsTheNewest) {
  constexpr std::uint64_t kBytes = 256U << 10;
  open({.bytes_max = kBytes});
  Exchange big = exchange("big");
  big.aci_receipt = std::string(Exchange::kReceiptBytesMax, 'r');
  for (int i = 0; i < 200; ++i) {
    // Several between two commits.
    std::vector<client::JournalChange> changes;
    for (int k = 0; k < 4; ++k) {
      big.id = std::to_string(i) + "." + std::to_string(k);
      for (auto& change : store_->put(big)) changes.push_back(std::move(change));
    }
    commit(std::move(changes));
    const std::uint64_t used = journal_->used_bytes(JournalTable::Exchanges) +
                               journal_->used_bytes(JournalTable::ExchangeNames);
    ASSERT_LE(used, kBytes + 8 * (Exchange::kReceiptBytesMax + 4096)) << i;
  }
  EXPECT_TRUE(store_->find({}, "199.3"));
  EXPECT_TRUE(store_->find({}, "199.0"));
  EXPECT_FALSE(store_->find({}, "0.0"));
  EXPECT_GE(rows(JournalTable::Exchanges), 8U);
}

TEST_F(ExchangeStoreTest, KeepsNothingBeyondItsLimits) {
  Exchange one = exchange(std::string(Exchange::kIdBytesMax + 1, 'i'));
  one.aci_receipt = std::string(Exchange::kReceiptBytesMax + 1, 'r');
  one.model = std::string(Exchange::kModelBytesMax + 1, 'm');
  one.receipt_id = "r";
  put(exchange("\xC3"));
  EXPECT_FALSE(store_->find({}, "\xC3"));
  one.signatures = sign_exchange(one, face::test::signer());
  put(one);
  EXPECT_FALSE(store_->find({}, one.id));
  const auto found = store_->find_receipt({}, "r");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->aci_receipt.empty());
  EXPECT_TRUE(found->signatures.empty());
}

TEST(ExchangeRow, ReadsBackAsItWasWritten) {
  Exchange one = exchange("a\"b\n\xC3\xA9", sha256("c"));
  one.signatures = sign_exchange(one, face::test::signer());
  const std::string row = encode_exchange(one);
  EXPECT_LE(row.size(), 2048U);
  const auto again = decode_exchange(row);
  ASSERT_TRUE(again);
  EXPECT_EQ(encode_exchange(*again), row);
}

TEST(ExchangeRow, RefusesWhatItDidNotWrite) {
  Exchange one = exchange("a");
  one.signatures = sign_exchange(one, face::test::signer());
  const std::string row = encode_exchange(one);
  const auto changed = [&row](std::string_view from, std::string_view to) {
    std::string out = row;
    const std::size_t at = out.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return out.replace(at, from.size(), to);
  };
  for (const char* name : {"v", "id", "receipt_id", "caller", "at", "model", "request", "response",
                           "signatures", "aci_receipt", "algo", "address", "signature"}) {
    const std::string key = "\"" + std::string(name) + "\":";
    EXPECT_FALSE(decode_exchange(changed(key, "\"x\":"))) << name;
  }
  EXPECT_FALSE(decode_exchange(changed("\"v\":1", "\"v\":2")));
  EXPECT_FALSE(decode_exchange(changed("ecdsa", "rsa")));
  EXPECT_FALSE(decode_exchange(changed(encode_hex(one.request), "00")));
  EXPECT_FALSE(decode_exchange(row.substr(1)));
  EXPECT_FALSE(decode_exchange(row + "{}"));
  EXPECT_FALSE(decode_exchange(""));
  one.id = std::string(Exchange::kIdBytesMax + 1, 'i');
  EXPECT_FALSE(decode_exchange(encode_exchange(one)));
}

}  // namespace

}  // namespace nostril::node
