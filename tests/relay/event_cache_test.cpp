#include "relay/store/event_cache.h"

#include "base/text_buffer.h"
#include "tests/relay/store_support.h"

#include <gtest/gtest.h>

namespace nostril::relay {

namespace {

constexpr std::size_t kSmallest = 1;  // rounded up to two megabytes

struct Shown {
  Bytes record;
  std::string json;
};

Shown shown(int number, std::size_t content_bytes) {
  const Event event =
      test::make_event(1, 1000 + number, 1, {{"t", "x"}}, std::string(content_bytes, 'c'));
  Shown out;
  encode_record(out.record, event);
  out.json = to_json(event);
  return out;
}

void add(EventCache& cache, int number, const Shown& what) {
  const auto record = RecordView::parse(what.record);
  ASSERT_TRUE(record);
  cache.add(Sequence{static_cast<std::uint64_t>(number)}, *record, what.json);
}

// The entry is whole: text and record agree with what was put in.
void expect_whole(const EventCache::Entry& entry, const Shown& what) {
  EXPECT_EQ(entry.json, what.json);
  EXPECT_TRUE(std::ranges::equal(entry.record.bytes(), what.record));
  TextBuffer json;
  ASSERT_TRUE(append_json(json, entry.record));
  EXPECT_EQ(json.text(), what.json);
}

TEST(EventCache, GivesBackWhatItWasGiven) {
  EventCache cache(kSmallest);
  EXPECT_EQ(cache.find(Sequence{1}), nullptr);
  const Shown one = shown(1, 10);
  add(cache, 1, one);
  const auto* found = cache.find(Sequence{1});
  ASSERT_NE(found, nullptr);
  expect_whole(*found, one);
  EXPECT_EQ(cache.find(Sequence{2}), nullptr);
}

TEST(EventCache, WantsWhatIsShownASecondTime) {
  EventCache cache(kSmallest);
  EXPECT_FALSE(cache.wants(Sequence{7}));
  EXPECT_TRUE(cache.wants(Sequence{7}));
  EXPECT_FALSE(cache.wants(Sequence{7}));
  EXPECT_FALSE(cache.wants(Sequence{8}));
}

// Around the ring several times, with entries of all sizes: what is found is whole, what is new is
// found, what is old is gone.
TEST(EventCache, OverwritesTheOldest) {
  EventCache cache(kSmallest);
  constexpr int kEvents = 9000;
  const auto made = [](int number) {
    return shown(number, static_cast<std::size_t>(number) * 37 % 1500);
  };
  for (int number = 1; number <= kEvents; ++number) {
    const Shown one = made(number);
    add(cache, number, one);
    const auto* found = cache.find(Sequence{static_cast<std::uint64_t>(number)});
    ASSERT_NE(found, nullptr) << number;
    expect_whole(*found, one);
  }
  int left = 0;
  for (int number = 1; number <= kEvents; ++number) {
    const auto* found = cache.find(Sequence{static_cast<std::uint64_t>(number)});
    if (found == nullptr) continue;
    ++left;
    EXPECT_GT(number, kEvents / 2);
    expect_whole(*found, made(number));
  }
  EXPECT_GT(left, 300);
}

TEST(EventCache, LeavesOutWhatIsTooLarge) {
  EventCache cache(kSmallest);
  const Shown small = shown(1, 10);
  const Shown large = shown(2, 40'000);
  add(cache, 1, small);
  add(cache, 2, large);
  EXPECT_NE(cache.find(Sequence{1}), nullptr);
  EXPECT_EQ(cache.find(Sequence{2}), nullptr);
}

TEST(EventCache, OfNoBytesRemembersNothing) {
  EventCache cache(0);
  EXPECT_FALSE(cache.wants(Sequence{1}));
  EXPECT_FALSE(cache.wants(Sequence{1}));
  EXPECT_EQ(cache.find(Sequence{1}), nullptr);
}

}  // namespace

}  // namespace nostril::relay
