#include "bench/relay/load/answers.h"

#include "bench/relay/load/filters.h"

#include <gtest/gtest.h>

#include <functional>

namespace nostril::bench {
namespace {

// The slow twin: every event, newest first.
Answer looked_through(const std::vector<Event>& events, const Filter& filter) {
  Answer out;
  for (std::size_t i = events.size(); i-- > 0 && out.count < filter.limit.value_or(~0ULL);) {
    if (filter.matches(events[i])) out.add(id_key(events[i].id));
  }
  return out;
}

class AnswersOfACorpus : public testing::Test {
 protected:
  static const Corpus& corpus() {
    static const Corpus kCorpus(testing::TempDir(), 2'000, nullptr);
    return kCorpus;
  }
};

TEST_F(AnswersOfACorpus, AreThoseThatMatchesFindsInAllEvents) {
  const Answers answers(corpus().events());
  Filters filters(corpus(), answers);
  const std::vector<std::function<Filter()>> makers = {
      [&] { return filters.ids(20); },
      [&] { return filters.miss(); },
      [&] { return filters.author_and_kind(); },
      [&] { return filters.tag('e'); },
      [&] { return filters.tag('p'); },
      [&] { return filters.tag('t'); },
      [&] { return filters.window(); },
      [&] { return filters.newest(); },
      [&] { return filters.feed(); },
      [&] { return filters.page(3, 100); },
  };
  for (std::size_t which = 0; which < makers.size(); ++which) {
    std::size_t found = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      filters.seed(seed);
      Filter filter = makers[which]();
      filter.normalize();
      const Answer fast = answers.answer(filter);
      const Answer slow = looked_through(corpus().events(), filter);
      EXPECT_TRUE(fast.same_events(slow) && fast.same_order(slow)) << which << " seed " << seed;
      found += fast.count;
    }
    EXPECT_EQ(found == 0, which == 1) << "only the miss finds nothing: " << which;
  }
}

TEST_F(AnswersOfACorpus, PagesFollowOneAnother) {
  const Answers answers(corpus().events());
  Filters filters(corpus(), answers);
  std::vector<std::size_t> all;
  for (std::size_t page = 0; page < 10; ++page) {
    Filter filter = filters.page(page, 100);
    filter.normalize();
    const auto part = answers.matching(filter);
    EXPECT_EQ(part.size(), 100U);
    all.insert(all.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), std::greater<>()));
  EXPECT_EQ(all.size(), answers.of_author(corpus().deep_author()).size());
}

TEST(Answer, TellsOtherEventsAndAnotherOrderApart) {
  Answer one_two;
  Answer two_one;
  Answer one_one;
  for (const std::uint64_t key : {1U, 2U}) one_two.add(key);
  for (const std::uint64_t key : {2U, 1U}) two_one.add(key);
  for (const std::uint64_t key : {1U, 1U}) one_one.add(key);
  EXPECT_TRUE(one_two.same_events(two_one));
  EXPECT_FALSE(one_two.same_order(two_one));
  EXPECT_FALSE(one_two.same_events(one_one));
}

}  // namespace
}  // namespace nostril::bench
