#include "node/answer_store.h"

#include "tests/support/temp_dir.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>

namespace nostril::node {
namespace {

using Why = AnswerKept::Why;
using test::TempDir;

RequestId request_id(std::uint8_t value) {
  RequestId out;
  out.bytes.fill(value);
  return out;
}

class AnswerStoreTest : public ::testing::Test {
 protected:
  AnswerStoreTest() { open({}); }

  /// As after a restart.
  void open(const AnswerLimits& limits) {
    store_.reset();
    journal_.reset();
    auto opened = client::Journal::open(folder_.path() / "journal", loop_);
    ASSERT_TRUE(opened);
    journal_ = std::move(*opened);
    store_ = std::make_unique<AnswerStore>(*journal_, limits, clock_, rng_);
  }

  void commit(std::vector<client::JournalChange> changes) {
    bool on_disk = false;
    ASSERT_TRUE(journal_->commit(std::move(changes), [&](bool good) { on_disk = good; }));
    ASSERT_TRUE(test::run_until(loop_, [&] { return on_disk; }));
  }

  StoredAnswer answer(std::string body) {
    return {{404, "text/\"odd\""},
            sign_event({1'700'000'000, 1, {}, "record"}, Keypair::generate(rng_), rng_),
            std::move(body)};
  }

  void put(std::uint8_t id, const std::string& body) {
    commit(store_->put(request_id(id), as_bytes("request"), answer(body)));
  }

  Why why(std::uint8_t id, std::string_view request = "request") {
    const auto found = store_->find(request_id(id), as_bytes(request));
    const auto* none = std::get_if<Why>(&found);
    EXPECT_NE(none, nullptr);
    return none == nullptr ? Why::Unknown : *none;
  }

  std::optional<std::string> body(std::uint8_t id) {
    const auto found = store_->find(request_id(id), as_bytes("request"));
    const auto* kept = std::get_if<StoredAnswer>(&found);
    return kept == nullptr ? std::nullopt : std::optional(kept->body);
  }

  TempDir folder_;
  net::Loop loop_;
  SystemRng rng_;
  test::ShiftedClock clock_;
  std::unique_ptr<client::Journal> journal_;
  std::unique_ptr<AnswerStore> store_;
};

TEST_F(AnswerStoreTest, GivesBackWhatWasPutAlsoAfterARestart) {
  const StoredAnswer put = answer(std::string("line\n\nnot utf-8: \xff\x00 end", 24));
  commit(store_->put(request_id(1), as_bytes("request"), put));
  for (int round = 0; round < 2; ++round) {
    const auto found = store_->find(request_id(1), as_bytes("request"));
    const auto* kept = std::get_if<StoredAnswer>(&found);
    ASSERT_NE(kept, nullptr);
    EXPECT_EQ(kept->head, put.head);
    EXPECT_EQ(kept->record.id, put.record.id);
    EXPECT_EQ(kept->body, put.body);
    EXPECT_EQ(why(2), Why::Unknown);
    EXPECT_EQ(why(1, "another"), Why::OtherRequest);
    open({});
  }
}

TEST_F(AnswerStoreTest, WhatWasChargedWithoutABodyIsKnownAndNotMadeAgain) {
  commit(store_->put_charged(request_id(1)));
  EXPECT_EQ(why(1), Why::NotKept);
  open({});
  EXPECT_EQ(why(1), Why::NotKept);
  put(1, "whole after all");
  EXPECT_EQ(body(1), "whole after all");
}

TEST_F(AnswerStoreTest, TheDiskHoldsNoAnswerInTheClear) {
  put(1, "a secret answer of some length, so that chance finds it nowhere");
  std::ifstream file(folder_.path() / "journal" / "data.mdb", std::ios::binary);
  const std::string disk{std::istreambuf_iterator<char>(file), {}};
  ASSERT_GT(disk.size(), 4096U);
  EXPECT_EQ(disk.find("secret answer"), std::string::npos);
}

TEST_F(AnswerStoreTest, ForgetsWhatHasExpiredAndWhatIsDamagedAFewAtATime) {
  open({.kept_s = 100});
  put(1, "a");
  put(2, "b");
  commit({{client::JournalTable::Answers, Bytes(16, 3), Bytes{1, 2, 3}}});
  open({.kept_s = 100});
  EXPECT_EQ(store_->count(), 3U);
  commit(store_->expired(10));
  EXPECT_EQ(store_->count(), 2U) << "the damaged row went";
  clock_.set_date(clock_.unix_s() + 101);
  EXPECT_EQ(why(1), Why::Unknown);
  commit(store_->expired(1));
  EXPECT_EQ(store_->count(), 1U);
  commit(store_->expired(10));
  open({});
  EXPECT_EQ(store_->count(), 0U);
  EXPECT_EQ(store_->bytes(), 0U);
}

TEST_F(AnswerStoreTest, AtItsBoundTheOldestLoseTheirBodiesFirstAndAreStillNotMadeAgain) {
  const AnswerLimits limits{.kept_s = 1'000, .bytes_max = 10'000};
  open(limits);
  for (std::uint8_t id = 1; id <= 6; ++id) {
    put(id, std::string(2'000, 'x'));
    clock_.set_date(clock_.unix_s() + 1);
    EXPECT_LE(store_->bytes(), limits.bytes_max);
  }
  EXPECT_EQ(why(1), Why::NotKept);
  EXPECT_EQ(body(6), std::string(2'000, 'x'));
  const std::uint64_t bytes = store_->bytes();
  open(limits);
  EXPECT_EQ(store_->bytes(), bytes);
  EXPECT_EQ(why(1), Why::NotKept);
  EXPECT_TRUE(body(6));
  for (std::uint8_t id = 7; id < 250; ++id) commit(store_->put_charged(request_id(id)));
  EXPECT_LE(store_->bytes(), limits.bytes_max);
  EXPECT_EQ(why(249), Why::NotKept);
  EXPECT_EQ(why(1), Why::Unknown) << "in the end rows go, too";
}

TEST_F(AnswerStoreTest, ARequestIsAnsweredByOneSessionAtATime) {
  EXPECT_TRUE(store_->begin(request_id(1)));
  EXPECT_FALSE(store_->begin(request_id(1)));
  EXPECT_TRUE(store_->begin(request_id(2)));
  store_->end(request_id(1));
  EXPECT_TRUE(store_->begin(request_id(1)));
}

}  // namespace
}  // namespace nostril::node
