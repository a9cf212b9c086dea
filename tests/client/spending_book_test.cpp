#include "client/spending_book.h"

#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

namespace nostril::client {
namespace {

constexpr std::int64_t kNoon = 1'795'262'400;  // 2026-11-21T12:00:00Z

ResponseRecord record_of(std::int64_t at_s, std::uint64_t cost, std::uint64_t output,
                         RecordStatus status = RecordStatus::Ok) {
  ResponseRecord out;
  out.node = test::key_of("node").public_key();
  out.model = "m";
  out.asset = "msat";
  out.created_at = at_s;
  out.accepted_at_ms = at_s * 1000;
  out.first_at_ms = at_s * 1000 + 250;
  out.ended_at_ms = at_s * 1000 + 900;
  out.cost = Amount::of(cost);
  out.usage.output = output;
  out.status = status;
  return out;
}

Json days_of(const SpendingBook& book) {
  JsonWriter w;
  book.write_days(w);
  return Json::parse(w.text()).value_or(Json());
}

Json answers_of(const SpendingBook& book, const PublicKey& node) {
  JsonWriter w;
  book.write_answers(w, node);
  return Json::parse(w.text()).value_or(Json());
}

TEST(SpendingBook, AddsUpByDayInUtc) {
  SpendingBook book;
  book.add(record_of(kNoon, 3, 10));
  book.add(record_of(kNoon + 43'199, 4, 20));
  book.add(record_of(kNoon + 43'200, 5, 30));
  const Json days = days_of(book);
  ASSERT_EQ(days.items().size(), 2U);
  EXPECT_EQ(days.items()[0].find_string("day"), "2026-11-21");
  EXPECT_EQ(days.items()[0].find_string("cost"), "7");
  EXPECT_EQ(days.items()[0].find_integer("answers"), 2);
  EXPECT_EQ(days.items()[0].find_integer("output"), 30);
  EXPECT_EQ(days.items()[1].find_string("day"), "2026-11-22");
}

TEST(SpendingBook, CountsAPartialStatementsCostButNotItsUsageTwice) {
  SpendingBook book;
  book.add(record_of(kNoon, 3, 10, RecordStatus::Partial));
  book.add(record_of(kNoon, 2, 16));
  const Json days = days_of(book);
  ASSERT_EQ(days.items().size(), 1U);
  EXPECT_EQ(days.items()[0].find_string("cost"), "5");
  EXPECT_EQ(days.items()[0].find_integer("answers"), 1);
  EXPECT_EQ(days.items()[0].find_integer("output"), 16);
  EXPECT_EQ(answers_of(book, record_of(0, 0, 0).node).items().size(), 1U);
}

TEST(SpendingBook, KeepsANodesNewestAnswersWithTheirTimes) {
  SpendingBook book;
  for (std::size_t i = 0; i < SpendingBook::kAnswersMax + 5; ++i) {
    book.add(record_of(kNoon + static_cast<std::int64_t>(i), 1, 1));
  }
  ResponseRecord silent = record_of(kNoon + 1'000, 0, 0, RecordStatus::Error);
  silent.first_at_ms = 0;
  book.add(silent);
  const Json answers = answers_of(book, silent.node);
  ASSERT_EQ(answers.items().size(), SpendingBook::kAnswersMax);
  EXPECT_EQ(answers.items()[0].find_integer("at"), kNoon + 6);
  EXPECT_EQ(answers.items()[0].find_integer("first_ms"), 250);
  EXPECT_EQ(answers.items().back().find_integer("first_ms"), -1);
  EXPECT_EQ(answers.items().back().find_string("status"), "error");
}

TEST(SpendingBook, SurvivesRecordsOfAnyTimeAndSize) {
  SpendingBook book;
  for (int i = 0; i < 2; ++i) {
    ResponseRecord huge = record_of(kNoon, 1, UINT64_MAX);
    huge.created_at = INT64_MAX;
    book.add(huge);
  }
  ResponseRecord old = record_of(kNoon, 1, 1);
  old.created_at = INT64_MIN;
  book.add(old);
  const Json days = days_of(book);
  ASSERT_EQ(days.items().size(), 2U);
  EXPECT_EQ(days.items()[0].find_string("day"), "1970-01-01");
  EXPECT_EQ(days.items()[1].find_string("day"), "9999-12-31");
  EXPECT_EQ(days.items()[1].find_integer("output"), INT64_MAX);
}

}  // namespace
}  // namespace nostril::client
