// What a relay was told that the stream has: known again after any end, and never known wrongly.
#include "relay/cluster/applied_ids.h"
#include "tests/relay/disk_faults.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace nostril::relay {
namespace {

using test::TempDir;

constexpr std::uint64_t kWindow = AppliedIds::kWindow;
const StreamIdentity kStream{"main", 7};

EventId id_of(std::uint64_t sequence) {
  EventId out;
  out.bytes.fill(1);
  for (std::size_t i = 0; i < 8; ++i) {
    out.bytes.at(i) = static_cast<std::uint8_t>(sequence >> (8 * i));
  }
  return out;
}

std::vector<EventId> ids_of(const StreamRange& range) {
  std::vector<EventId> out;
  for (std::uint64_t at = range.first; at <= range.last; ++at) out.push_back(id_of(at));
  return out;
}

class AppliedIdsTest : public testing::Test {
 protected:
  std::unique_ptr<AppliedIds> open(std::uint64_t applied, const StreamIdentity& of = kStream) {
    auto opened = AppliedIds::open(file());
    EXPECT_TRUE(opened) << opened.error();
    (*opened)->begin(of, applied);
    return std::move(*opened);
  }

  [[nodiscard]] std::filesystem::path file() const { return dir.path() / kAppliedIdsFile; }

  static void add(AppliedIds& to, const StreamRange& range) {
    for (std::uint64_t at = range.first; at <= range.last; ++at) to.add(at, id_of(at));
  }

  TempDir dir;
};

TEST_F(AppliedIdsTest, TellsWhatItWasToldWithinAWindow) {
  auto ids = open(0);
  const StreamRange all{1, 2 * kWindow + 10};
  add(*ids, all);
  for (const StreamRange range :
       {StreamRange{1, kWindow}, StreamRange{kWindow + 1, 2 * kWindow}, StreamRange{5, 5},
        StreamRange{2 * kWindow + 1, 2 * kWindow + 10}, StreamRange{2 * kWindow + 3, all.last}}) {
    EXPECT_EQ(ids->ids(range), ids_of(range)) << range.first;
    EXPECT_TRUE(ids->digest(range)) << range.first;
  }
  for (const StreamRange range :
       {StreamRange{0, 5}, StreamRange{6, 5}, StreamRange{kWindow, kWindow + 1},
        StreamRange{2 * kWindow + 1, all.last + 1}, StreamRange{3 * kWindow + 1, 3 * kWindow + 1},
        StreamRange{UINT64_MAX, UINT64_MAX}}) {
    EXPECT_EQ(ids->ids(range), std::nullopt) << range.first;
    EXPECT_EQ(ids->digest(range), std::nullopt) << range.first;
  }
}

TEST_F(AppliedIdsTest, KnowsWhatAMessageWas) {
  auto ids = open(0);
  add(*ids, {1, kWindow + 1});
  EXPECT_TRUE(ids->has(1, id_of(1)));
  EXPECT_TRUE(ids->has(kWindow + 1, id_of(kWindow + 1)));
  EXPECT_FALSE(ids->has(2, id_of(1)));
  EXPECT_FALSE(ids->has(kWindow + 2, id_of(1)));
}

TEST_F(AppliedIdsTest, WhatCameLateHasARangeOfItsOwn) {
  constexpr std::uint64_t kFirst = AppliedIds::kLateFirst;
  EXPECT_EQ(AppliedIds::window_of(kFirst).first, kFirst);
  auto ids = open(0);
  add(*ids, {1, kWindow + 20});
  EXPECT_EQ(ids->late(), std::nullopt);
  const EventId late = id_of(1'000'000);
  EXPECT_FALSE(ids->has(5, late));
  ids->add_late(late);
  ids->add_late(late);
  EXPECT_TRUE(ids->has(5, late));
  EXPECT_TRUE(ids->has(5, id_of(5)));
  EXPECT_EQ(ids->late(), (StreamRange{kFirst, kFirst}));
  EXPECT_EQ(ids->ids({kFirst, kFirst}), std::vector{late});
  EXPECT_TRUE(ids->digest({kFirst, kFirst}));
  EXPECT_EQ(ids->ids({kFirst, kFirst + 1}), std::nullopt);
  EXPECT_TRUE(ids->known_about({1, 1}).contains(late));
  EXPECT_TRUE(ids->known_about({1, 1}).contains(id_of(kWindow + 20)));
  for (std::uint64_t i = 1; i <= AppliedIds::kLateMax; ++i) ids->add_late(id_of(1'000'000 + i));
  EXPECT_EQ(ids->late(), (StreamRange{kFirst + kWindow, kFirst + AppliedIds::kLateMax}));
  EXPECT_EQ(ids->ids({kFirst, kFirst}), std::nullopt);
  EXPECT_FALSE(ids->has(5, late)) << "the oldest are forgotten";
  EXPECT_EQ(ids->ids({kFirst + kWindow, kFirst + kWindow}), std::vector{id_of(1'001'024)});
  ids->begin(kStream, kWindow + 20);
  EXPECT_TRUE(ids->late()) << "the same stream";
}

TEST_F(AppliedIdsTest, DigestsAgreeOnlyWhereTheIdsDo) {
  auto one = open(0);
  add(*one, {1, kWindow + 5});
  auto other = std::move(*AppliedIds::open(dir.path() / "other"));
  other->begin(kStream, 0);
  for (std::uint64_t at = 1; at <= kWindow + 5; ++at)
    other->add(at, id_of(at == 9 ? 1'000'009 : at));
  const StreamRange first{1, kWindow};
  EXPECT_NE(one->digest(first), other->digest(first));
  EXPECT_EQ(one->digest({1, 8}), other->digest({1, 8}));
  EXPECT_NE(one->digest({1, 8}), one->digest({1, 7}));
  EXPECT_EQ(one->digest({kWindow + 1, kWindow + 5}), other->digest({kWindow + 1, kWindow + 5}));
  EXPECT_EQ(one->digest(first), one->digest(first)) << "from the cache";
}

TEST_F(AppliedIdsTest, GoesOnAfterARestartWithWhatWasApplied) {
  auto ids = open(0);
  add(*ids, {1, kWindow + 20});
  ids->flush();
  ids = open(kWindow + 15);  // what came behind it was not on the disk: it comes again
  EXPECT_EQ(ids->ids({kWindow + 1, kWindow + 15}), ids_of({kWindow + 1, kWindow + 15}));
  EXPECT_EQ(ids->ids({kWindow + 1, kWindow + 16}), std::nullopt);
  EXPECT_EQ(ids->ids({1, kWindow}), ids_of({1, kWindow}));
  ids->add(kWindow + 16, id_of(77));
  add(*ids, {kWindow + 17, 2 * kWindow + 1});
  EXPECT_EQ(ids->ids({kWindow + 16, kWindow + 16}), std::vector{id_of(77)});
  EXPECT_TRUE(ids->digest({kWindow + 1, 2 * kWindow}));
}

TEST_F(AppliedIdsTest, WhatWasNotFlushedIsNotKnown) {
  auto ids = open(0);
  add(*ids, {1, 100});
  ids->flush();
  add(*ids, {101, 120});
  ids.reset();
  ids = open(120);
  EXPECT_EQ(ids->ids({1, 120}), std::nullopt);
  add(*ids, {121, kWindow + 1});
  EXPECT_EQ(ids->ids({1, kWindow}), std::nullopt);
  EXPECT_EQ(ids->ids({121, kWindow}), ids_of({121, kWindow}));
}

TEST_F(AppliedIdsTest, BeginsInTheMiddleAndLeavesGapsAsZeros) {
  auto ids = open(kWindow + 7);
  ids->add(kWindow + 10, id_of(1));
  EXPECT_EQ(ids->ids({kWindow + 1, kWindow + 10}), std::nullopt);
  EXPECT_EQ(ids->ids({kWindow + 8, kWindow + 10}), (std::vector{EventId(), EventId(), id_of(1)}));
  ids->add(kWindow + 10, id_of(2));  // it came before
  EXPECT_EQ(ids->ids({kWindow + 10, kWindow + 10}), std::vector{id_of(1)});
  ids->add(3 * kWindow + 3, id_of(3));  // what the window before it had is not known to its end
  EXPECT_EQ(ids->ids({kWindow + 8, kWindow + 10}), (std::vector{EventId(), EventId(), id_of(1)}));
  EXPECT_EQ(ids->ids({kWindow + 8, kWindow + 11}), std::nullopt);
  EXPECT_EQ(ids->ids({3 * kWindow + 1, 3 * kWindow + 3}),
            (std::vector{EventId(), EventId(), id_of(3)}));
}

TEST_F(AppliedIdsTest, AnotherStreamBeginsAnew) {
  auto ids = open(0);
  add(*ids, {1, kWindow});
  ids = open(kWindow, {"main", 8});
  EXPECT_EQ(ids->ids({1, kWindow}), std::nullopt);
  ids = open(kWindow);
  EXPECT_EQ(ids->ids({1, kWindow}), std::nullopt);
}

TEST_F(AppliedIdsTest, ASlotIsUsedAgain) {
  constexpr std::uint64_t kRound = AppliedIds::kWindows * kWindow;
  auto ids = open(0);
  add(*ids, {1, kWindow + 1});
  EXPECT_TRUE(ids->digest({1, kWindow}));
  ids->add(kRound, id_of(1));
  add(*ids, {kRound + 1, kRound + kWindow + 1});
  EXPECT_EQ(ids->digest({1, kWindow}), std::nullopt);
  EXPECT_EQ(ids->ids({kRound + 1, kRound + kWindow}), ids_of({kRound + 1, kRound + kWindow}));
}

TEST_F(AppliedIdsTest, AFullDiskLeavesWindowsUnknownAndNothingWrong) {
  auto ids = open(0);
  add(*ids, {1, 50});
  ids->flush();
  test::disk::watch(dir.path().string(), test::disk::Fault::Full, 1);
  add(*ids, {51, 2 * kWindow + 10});
  ids->flush();
  (void)test::disk::stop();
  EXPECT_EQ(ids->ids({1, 50}), ids_of({1, 50}));
  EXPECT_EQ(ids->ids({1, kWindow}), std::nullopt);
  EXPECT_EQ(ids->ids({2 * kWindow + 1, 2 * kWindow + 10}),
            ids_of({2 * kWindow + 1, 2 * kWindow + 10}));
  ids->flush();  // there is room again
  add(*ids, {2 * kWindow + 11, 3 * kWindow});
  EXPECT_EQ(ids->ids({2 * kWindow + 1, 3 * kWindow}), ids_of({2 * kWindow + 1, 3 * kWindow}));
}

TEST_F(AppliedIdsTest, AFileOfAnythingElseIsNotBelieved) {
  std::ofstream(file()) << std::string(200'000, '\xff');
  auto ids = open(kWindow + 3);
  EXPECT_EQ(ids->ids({1, kWindow}), std::nullopt);
  EXPECT_EQ(ids->ids({kWindow + 1, kWindow + 3}), std::nullopt);
}

TEST(AppliedIds, ADecisionStandsApartFromEvents) {
  const auto id = AppliedIds::decision(std::string(32, 'a'));
  ASSERT_TRUE(id);
  EXPECT_TRUE(AppliedIds::is_decision(*id));
  EXPECT_FALSE(AppliedIds::is_decision(id_of(1)));
  EXPECT_EQ(AppliedIds::decision("no id"), std::nullopt);
  EXPECT_EQ(AppliedIds::decision(std::string(32, 'a') + ".told again"), id);
  EXPECT_EQ(AppliedIds::message_id(*id), std::string(32, 'a'));
}

}  // namespace
}  // namespace nostril::relay
