#include "relay/verified_ids.h"

#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace nostril::relay::test {
namespace {

/// Ids of one shard, so that a bound is met after few of them.
EventId id_number(std::uint32_t number, std::uint8_t shard = 0) {
  EventId id;
  for (std::size_t i = 0; i < 4; ++i) id.bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  id.bytes[16] = shard;
  return id;
}

TEST(VerifiedIds, PendingUntilSettled) {
  Author author;
  const VerifiedEvent event = verified(author.sign(1));
  VerifiedIds ids;
  EXPECT_FALSE(ids.find_pending(event->id));
  ids.add_pending(event);
  ids.add_pending(event);  // two verifiers had a copy each
  const auto found = ids.find_pending(event->id);
  ASSERT_TRUE(found);
  EXPECT_EQ(to_json(found->event()), to_json(event.event()));
  EXPECT_FALSE(ids.find_settled(event->id));
  ids.settle(event->id, PutResult::Stored);
  EXPECT_FALSE(ids.find_pending(event->id));
}

// The store knows what is stored; "have newer", "expired" and "failed" may change.
TEST(VerifiedIds, OnlyADeletionIsRememberedOfWhatTheStoreSays) {
  VerifiedIds ids;
  std::uint32_t number = 0;
  for (const PutResult result :
       {PutResult::Stored, PutResult::Duplicate, PutResult::HaveNewer, PutResult::Expired,
        PutResult::Ephemeral, PutResult::OutOfRange, PutResult::Failed, PutResult::DiskFull}) {
    ids.settle(id_number(++number), result);
    EXPECT_FALSE(ids.find_settled(id_number(number))) << number;
  }
  ids.settle(id_number(99), PutResult::Deleted);
  EXPECT_EQ(ids.find_settled(id_number(99)), PutResult::Deleted);
  EXPECT_FALSE(ids.find_settled(id_number(98)));
}

TEST(VerifiedIds, AnEphemeralEventIsClaimedOnceUntilForgotten) {
  VerifiedIds ids;
  EXPECT_TRUE(ids.claim_ephemeral(id_number(1)));
  EXPECT_FALSE(ids.claim_ephemeral(id_number(1)));
  EXPECT_EQ(ids.find_settled(id_number(1)), PutResult::Duplicate);
  EXPECT_TRUE(ids.claim_ephemeral(id_number(2)));
  ids.forget_ephemeral(id_number(1));
  EXPECT_FALSE(ids.find_settled(id_number(1)));
  EXPECT_TRUE(ids.find_settled(id_number(2)));
  EXPECT_TRUE(ids.claim_ephemeral(id_number(1)));
}

TEST(VerifiedIds, RemembersAtMostTwoGenerationsAndTheLatestFirst) {
  constexpr std::size_t kSettledMax = 320;  // over 16 shards: 11 a generation of one
  VerifiedIds ids(kSettledMax);
  constexpr std::uint32_t kCount = 1000;
  for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_TRUE(ids.claim_ephemeral(id_number(i)));
  std::uint32_t known = 0;
  for (std::uint32_t i = 0; i < kCount; ++i) known += ids.find_settled(id_number(i)) ? 1U : 0U;
  EXPECT_GE(known, 11U);
  EXPECT_LE(known, 22U);
  for (std::uint32_t i = kCount - 11; i < kCount; ++i) EXPECT_TRUE(ids.find_settled(id_number(i)));
}

// Whether the table has just become full must not matter: each claim of a known id is refused.
TEST(VerifiedIds, AClaimAtTheChangeOfGenerationsIsStillRefused) {
  VerifiedIds ids(320);
  for (std::uint32_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(ids.claim_ephemeral(id_number(i)));
    ASSERT_FALSE(ids.claim_ephemeral(id_number(i))) << i;
    ASSERT_FALSE(ids.claim_ephemeral(id_number(i == 0 ? 0 : i - 1))) << i;
  }
}

TEST(VerifiedIds, ForgetsInBothGenerations) {
  VerifiedIds ids(320);
  ASSERT_TRUE(ids.claim_ephemeral(id_number(0)));
  for (std::uint32_t i = 1; i < 12; ++i) ASSERT_TRUE(ids.claim_ephemeral(id_number(i)));
  ids.forget_ephemeral(id_number(0));
  EXPECT_FALSE(ids.find_settled(id_number(0)));
  EXPECT_TRUE(ids.claim_ephemeral(id_number(0)));
}

TEST(VerifiedIds, OfConcurrentClaimsExactlyOneWins) {
  constexpr std::uint32_t kIds = 500;
  constexpr int kThreads = 4;
  VerifiedIds ids;
  std::vector<std::atomic<int>> wins(kIds);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (std::uint32_t number = 0; number < kIds; ++number) {
        const EventId id = id_number(number, static_cast<std::uint8_t>(number));
        if (ids.claim_ephemeral(id)) wins[number].fetch_add(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& count : wins) EXPECT_EQ(count.load(), 1);
}

TEST(VerifiedIds, PendingEventsComeAndGoBetweenThreads) {
  Author author;
  std::vector<VerifiedEvent> events;
  for (int i = 0; i < 64; ++i) events.push_back(verified(author.sign(1, std::to_string(i))));
  VerifiedIds ids;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (std::size_t mine = 0; mine < 4; ++mine) {
    threads.emplace_back([&, mine] {
      for (std::size_t i = 0; i < events.size(); ++i) {
        const VerifiedEvent& event = events[i];
        if (i % 4 == mine) ids.add_pending(event);
        const auto found = ids.find_pending(event->id);
        if (found && (*found)->id != event->id) wrong.fetch_add(1);
        if (i % 4 == mine) {
          if (!found) wrong.fetch_add(1);
          ids.settle(event->id, PutResult::Deleted);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  for (const auto& event : events) {
    EXPECT_FALSE(ids.find_pending(event->id));
    EXPECT_EQ(ids.find_settled(event->id), PutResult::Deleted);
  }
}

}  // namespace
}  // namespace nostril::relay::test
