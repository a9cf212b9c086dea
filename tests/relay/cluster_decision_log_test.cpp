// Decisions that are told again: nothing that was decided otherwise since.
#include "relay/cluster/decision_log.h"
#include "tests/relay/store_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace nostril::relay {
namespace {

using test::TempDir;

std::string id_of(std::size_t number) {
  return fmt::format("{:032x}", number);
}

ModerationChange kind_change(std::uint32_t kind, std::optional<std::string> text) {
  return {ModerationList::DisallowedKinds, item_of(kind), std::move(text)};
}

ModerationMessage decision(std::size_t number, std::vector<ModerationChange> changes) {
  ModerationMessage out;
  out.id = id_of(number);
  out.relay = "relay-1";
  out.decided_at_s = 1'000 + static_cast<std::int64_t>(number);
  out.changes = std::move(changes);
  return out;
}

std::unique_ptr<DecisionLog> open(const std::filesystem::path& folder) {
  auto out = DecisionLog::open(folder);
  EXPECT_TRUE(out) << out.error();
  return std::move(*out);
}

TEST(DecidedAgain, LeavesOutWhatWasDecidedOtherwiseSince) {
  const auto first = decision(1, {kind_change(1, "no"), kind_change(2, "no")});
  const auto later = std::vector{decision(2, {kind_change(2, std::nullopt)})};
  const auto again = decided_again(first, later);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->changes, std::vector{kind_change(1, "no")});
  EXPECT_TRUE(again->is_again);
  EXPECT_EQ(again->id, id_of_again(first.id));
  EXPECT_EQ(again->decided_at_s, first.decided_at_s);
  EXPECT_EQ(parse_moderation(to_json(*again)), *again);
}

TEST(DecidedAgain, IsNothingWhenAllOfItIsOver) {
  const auto first = decision(1, {kind_change(1, "no")});
  EXPECT_EQ(decided_again(first, std::vector{decision(2, {kind_change(1, "otherwise")})}),
            std::nullopt);
  auto erases = first;
  erases.erased_ids.emplace_back();
  const auto again =
      decided_again(erases, std::vector{decision(2, {kind_change(1, std::nullopt)})});
  ASSERT_TRUE(again) << "what it has erased is to be erased still";
  EXPECT_TRUE(again->changes.empty());
}

TEST(DecidedAgain, HasTheSameIdWhoeverTells) {
  EXPECT_EQ(id_of_again(id_of(1)), id_of_again(id_of(1)));
  EXPECT_NE(id_of_again(id_of(1)), id_of_again(id_of(2)));
  EXPECT_TRUE(is_message_id(id_of_again(id_of(1))));
}

TEST(DecisionLog, WhatComesLateYieldsToWhatWasDecidedAfterIt) {
  const TempDir dir;
  auto log = open(dir.path() / "decisions");
  ASSERT_TRUE(log->put(decision(1, {kind_change(1, "first")})));
  ASSERT_TRUE(log->put(decision(3, {kind_change(3, "third")})));
  auto late = decision(2, {kind_change(1, "late"), kind_change(2, "late"), kind_change(3, "late")});
  late.erased_ids.emplace_back();
  const auto still = log->still_decided(late);
  ASSERT_TRUE(still) << still.error();
  EXPECT_EQ(still->changes, (std::vector{kind_change(1, "late"), kind_change(2, "late")}));
  EXPECT_EQ(still->erased_ids, late.erased_ids);
  EXPECT_EQ(still->id, late.id);
  EXPECT_TRUE(still->is_again) << "nothing is erased that was written after it";
}

TEST(DecisionLog, KnowsTheLastOnesAfterARestart) {
  const TempDir dir;
  auto log = open(dir.path() / "decisions");
  for (std::size_t i = 0; i < DecisionLog::kKept + 2; ++i) {
    const auto kind = static_cast<std::uint32_t>(i);
    ASSERT_TRUE(log->put(decision(i, {kind_change(kind, "no")})));
  }
  for (int round = 0; round < 2; ++round) {
    EXPECT_FALSE(log->has(id_of(1))) << "the oldest go";
    EXPECT_EQ(log->again(id_of(1)), std::nullopt);
    EXPECT_TRUE(log->has(id_of(2)));
    const auto again = log->again(id_of(2));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->changes, std::vector{kind_change(2, "no")});
    log.reset();
    log = open(dir.path() / "decisions");
  }
  ASSERT_TRUE(log->put(decision(9'999, {kind_change(2, std::nullopt)})));
  EXPECT_EQ(log->again(id_of(2)), std::nullopt);
  EXPECT_FALSE(log->has(id_of(3)) && log->has(id_of(2))) << "one more went";
}

TEST(DecisionLog, TakesADecisionOnce) {
  const TempDir dir;
  auto log = open(dir.path() / "decisions");
  ASSERT_TRUE(log->put(decision(1, {kind_change(1, "no")})));
  ASSERT_TRUE(log->put(decision(2, {kind_change(1, std::nullopt)})));
  ASSERT_TRUE(log->put(decision(1, {kind_change(1, "no")})));  // after a crash it is applied twice
  EXPECT_EQ(log->again(id_of(1)), std::nullopt);
}

}  // namespace
}  // namespace nostril::relay
