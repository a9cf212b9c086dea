// The protocol of events/negentropy.h: exact bytes, made by a program of another language, and that
// two sides always end with the true differences.
#include "events/negentropy.h"

#include "base/check.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace nostril::negentropy {
namespace {

constexpr std::size_t kAnySize = 1 << 20;

EventId id_of(std::uint64_t number) {
  return *EventId::from(sha256(std::to_string(number)).span());
}

Set set_of(const std::vector<Item>& items) {
  return Set(items);
}

std::string hex(const Bytes& bytes) {
  return encode_hex(ByteSpan(bytes));
}

Bytes bytes_of(std::string_view hex) {
  Bytes out(hex.size() / 2);
  CHECK(decode_hex(hex, out));
  return out;
}

std::vector<EventId> sorted(std::vector<EventId> ids) {
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end()) << "named twice";
  return ids;
}

struct Outcome {
  std::vector<EventId> have;
  std::vector<EventId> need;
  std::size_t rounds = 0;
  std::size_t bytes = 0;
};

Bytes first_question(const Set& set) {
  return Asker(set, kAnySize).first();
}

/// One answer to somebody who has asked about all.
Result<Bytes, Error> next_question(const Set& set, const Bytes& answered, Differences& found) {
  Asker asker(set, kAnySize);
  (void)asker.first();
  return asker.next(answered, found);
}

/// Both sides, until the one that asks has compared all.
Outcome reconcile(const Set& mine, const Set& theirs, std::size_t my_frame_max,
                  std::size_t their_frame_max) {
  Outcome out;
  Differences found;
  Asker asker(mine, my_frame_max);
  Bytes question = asker.first();
  while (!question.empty()) {
    ++out.rounds;
    if (out.rounds > 100'000) {
      ADD_FAILURE() << "no end";
      break;
    }
    const auto answered = answer(theirs, question, their_frame_max);
    CHECK(answered.has_value());
    EXPECT_LE(answered->size(), their_frame_max);
    out.bytes += question.size() + answered->size();
    auto next = asker.next(*answered, found);
    CHECK(next.has_value());
    EXPECT_LE(next->size(), my_frame_max);
    question = std::move(*next);
  }
  out.have = sorted(std::move(found.have));
  out.need = sorted(std::move(found.need));
  return out;
}

std::vector<EventId> only_in(const std::vector<Item>& in, const std::vector<Item>& not_in) {
  const std::set<Item> others(not_in.begin(), not_in.end());
  std::vector<EventId> out;
  for (const Item& item : std::set<Item>(in.begin(), in.end())) {
    if (!others.contains(item)) out.push_back(item.id);
  }
  std::ranges::sort(out);
  return out;
}

TEST(Negentropy, FingerprintsAreThoseOfTheProtocol) {
  EXPECT_EQ(encode_hex(ByteSpan(Set().fingerprint(0, 0))), "7f9c9e31ac8256ca2f258583df262dbc");
  EventId high;
  high.bytes.fill(0xFF);
  EventId one;
  one.bytes[0] = 1;
  const Set set = set_of({{1, high}, {2, one}});
  EXPECT_EQ(encode_hex(ByteSpan(set.fingerprint(0, 1))), "8f04045cb5b643a45a2df62d82153528");
  // The sum runs over 2^256: it is zero.
  EXPECT_EQ(encode_hex(ByteSpan(set.fingerprint(0, 2))), "58cc2f44d3a27866874701fbad573da9");
}

TEST(Negentropy, AFingerprintOfARangeIsThatOfItsItemsAlone) {
  std::mt19937_64 random(1);
  std::vector<Item> items;
  for (std::uint64_t i = 0; i < 100; ++i) items.push_back({static_cast<std::int64_t>(i), id_of(i)});
  const Set all = set_of(items);
  for (std::size_t begin = 0; begin <= items.size(); ++begin) {
    const std::size_t end = begin + random() % (items.size() - begin + 1);
    const Set part = set_of({items.begin() + static_cast<std::ptrdiff_t>(begin),
                             items.begin() + static_cast<std::ptrdiff_t>(end)});
    EXPECT_EQ(all.fingerprint(begin, end), part.fingerprint(0, part.size())) << begin << " " << end;
  }
}

TEST(Negentropy, TheFirstQuestionOfFewListsThem) {
  EXPECT_EQ(hex(first_question(Set())), "6100000200");
  const EventId id = id_of(7);
  EXPECT_EQ(hex(first_question(set_of({{123, id}}))), "6100000201" + encode_hex(id));
}

TEST(Negentropy, TheFirstQuestionOfManySplitsThem) {
  std::vector<Item> items;
  for (std::uint64_t i = 0; i < 40; ++i) {
    items.push_back({1000 + static_cast<std::int64_t>(i / 2), id_of(i)});
  }
  EXPECT_EQ(hex(first_question(set_of(items))),
            "61876a01d401d6b05d206f062846a624fd753d5e0bd3030001f6718c13160dadf02d08d1bce2a30e430201"
            "2c017b111aa396c206bcada30b214c07c25a030001d5814041c63a7b091624bfea53d25e970201e60181c8"
            "db5862eeeb9cd26d366c9c5da9390300014c565fcada1e334052444d23291885970201f501263a22681c25"
            "47a800453cb842887d32030001fe9aca176d76be57044bb02aaab74a72020001a57f13f5f8ad26a8cba9f8"
            "39680ac41102000180d17a2954ffa3009c19ee02cd47c81a0200011b32db6c33a10ceebb4b7226d2943909"
            "02000162a4e875a0e6a907a24b674b07ba757d020001c7ede50d42338f611ba343f4eeb978fb020001a9ac"
            "17542c17a6706013013b1ef76e440200013afbc6bfb00156a463e71efc9998f70e00000118136ea47d7ca3"
            "1f74ba4d514b110b81");
}

TEST(Negentropy, AListIsAnsweredWithAList) {
  const EventId theirs = id_of(1);
  const Set set = set_of({{5, theirs}});
  const auto answered = answer(set, bytes_of("6100000201" + encode_hex(id_of(2))), kAnySize);
  ASSERT_TRUE(answered);
  EXPECT_EQ(hex(*answered), "6100000201" + encode_hex(theirs));
  Differences found;
  const auto next = next_question(set_of({{6, id_of(2)}}), *answered, found);
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->empty());
  EXPECT_EQ(found.have, std::vector<EventId>{id_of(2)});
  EXPECT_EQ(found.need, std::vector<EventId>{theirs});
}

TEST(Negentropy, WhatIsEqualIsAnsweredWithNothing) {
  std::vector<Item> items;
  for (std::uint64_t i = 0; i < 500; ++i) items.push_back({100, id_of(i)});
  const Set set = set_of(items);
  const auto answered = answer(set, first_question(set), kAnySize);
  ASSERT_TRUE(answered);
  EXPECT_EQ(hex(*answered), "61");
}

TEST(Negentropy, SkippedRangesStandBeforeWhatDiffers) {
  // Up to second 9 nothing to say, after it an empty list.
  const auto answered =
      answer(set_of({{5, id_of(1)}, {10, id_of(2)}}), bytes_of("610a000000000200"), kAnySize);
  ASSERT_TRUE(answered);
  EXPECT_EQ(hex(*answered), "610a000000000201" + encode_hex(id_of(2)));
}

TEST(Negentropy, AnotherVersionIsAnsweredWithOurs) {
  for (const char* other : {"60", "62", "6f", "6200000200"}) {
    const auto answered = answer(Set(), bytes_of(other), kAnySize);
    ASSERT_TRUE(answered) << other;
    EXPECT_EQ(hex(*answered), "61");
  }
  Differences found;
  EXPECT_EQ(next_question(Set(), bytes_of("60"), found).error(), Error::BadVersion);
}

TEST(Negentropy, RefusesWhatIsNoMessage) {
  struct Case {
    const char* message;
    Error error;
  };

  const std::string id(64, 'a');
  const std::string listed = "6100000201" + id.substr(2);
  const std::string below = "610a000006" + std::string("0000");
  const Case cases[] = {
      {"", Error::Truncated},
      {"00", Error::BadVersion},
      {"70", Error::BadVersion},
      {"6100", Error::Truncated},
      {"610000", Error::Truncated},
      {"610021", Error::BadBound},                       // a prefix of 33 bytes
      {"61000100", Error::Truncated},                    // and no mode
      {"61000003", Error::BadMode},                      //
      {"610000818000", Error::BadMode},                  //
      {"618000", Error::BadNumber},                      // a leading zero
      {"61ffffffffffffffffffff7f", Error::BadNumber},    // 77 bits
      {"6100000100112233", Error::Truncated},            // a short fingerprint
      {"61000002", Error::Truncated},                    // no count
      {"6100000201", Error::Truncated},                  // no id
      {listed.c_str(), Error::Truncated},                // an id of 31 bytes
      {"61000002ffffffffffffffff7f", Error::Truncated},  // more ids than bytes
      {"6100000001"
       "0000",
       Error::BadBound},  // something after infinity
      {"610102aabb00"
       "0101aa00",
       Error::BadBound},  // a lower prefix in the same second
      {"6181ffffffffffffffff7f0000"
       "030000",
       Error::BadBound},  // a time of 64 bits and more
  };
  for (const Case& one : cases) {
    const auto answered = answer(Set(), bytes_of(one.message), kAnySize);
    ASSERT_FALSE(answered) << one.message;
    EXPECT_EQ(answered.error(), one.error) << one.message << ": " << to_string(answered.error());
    Differences found;
    EXPECT_FALSE(next_question(Set(), bytes_of(one.message), found)) << one.message;
  }
}

TEST(Negentropy, DoublesAreOneItem) {
  EXPECT_EQ(set_of({{1, id_of(1)}, {1, id_of(1)}, {1, id_of(2)}}).size(), 2U);
}

TEST(Negentropy, AMessageHoldsWhatItsSizeAllows) {
  std::vector<Item> items;
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    items.push_back({static_cast<std::int64_t>(i), id_of(i)});
  }
  // Asked for a list of all: what there is room for, and a fingerprint of the rest.
  const auto answered = answer(set_of(items), bytes_of("6100000200"), kFrameBytesMin);
  ASSERT_TRUE(answered);
  EXPECT_LE(answered->size(), kFrameBytesMin);
  EXPECT_GT(answered->size(), kFrameBytesMin - 300);
  const Outcome outcome = reconcile(Set(), set_of(items), kFrameBytesMin, kFrameBytesMin);
  EXPECT_EQ(outcome.need, only_in(items, {}));
}

/// Random sets that meet in all ways: ties of times, few or many differences, at one end or all
/// over, messages of any size.
TEST(Negentropy, BothSidesAlwaysFindTheTrueDifferences) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&random](std::uint64_t count) { return random() % count; };
  for (int turn = 0; turn < 150; ++turn) {
    const std::uint64_t count = below(turn % 10 == 0 ? 6'000 : 300) + 1;
    const std::uint64_t seconds = below(4) == 0 ? 1 : below(2 * count) + 1;
    const std::uint64_t different = below(101);
    std::vector<Item> mine;
    std::vector<Item> theirs;
    for (std::uint64_t i = 0; i < count; ++i) {
      const Item item{static_cast<std::int64_t>(below(seconds)), id_of(random())};
      const bool is_common = below(100) >= different;
      const bool is_mine = below(2) == 0;
      if (is_common || is_mine) mine.push_back(item);
      if (is_common || !is_mine) theirs.push_back(item);
    }
    const auto frame = [&] { return below(2) == 0 ? kAnySize : kFrameBytesMin + below(8'000); };
    const Outcome outcome = reconcile(set_of(mine), set_of(theirs), frame(), frame());
    ASSERT_EQ(outcome.have, only_in(mine, theirs));
    ASSERT_EQ(outcome.need, only_in(theirs, mine));
  }
}

TEST(Negentropy, FewDifferencesOfManyCostLittle) {
  std::vector<Item> mine;
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    mine.push_back({static_cast<std::int64_t>(i / 3), id_of(i)});
  }
  std::vector<Item> theirs(mine.begin(), mine.end() - 5);
  const Outcome outcome = reconcile(set_of(mine), set_of(theirs), kAnySize, kAnySize);
  EXPECT_EQ(outcome.have.size(), 5U);
  EXPECT_LE(outcome.rounds, 5U);
  EXPECT_LT(outcome.bytes, 8'000U);
}

}  // namespace
}  // namespace nostril::negentropy
