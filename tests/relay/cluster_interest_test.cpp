#include "relay/cluster/interest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nostril::relay::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kKey = "ab" + std::string(62, '0');
const std::string kOther = "cd" + std::string(62, '0');

Filter filter(const std::string& json) {
  auto parsed = parse_filter(json);
  EXPECT_TRUE(parsed.has_value()) << json;
  return std::move(*parsed);
}

Event event(std::initializer_list<std::string> p) {
  Event out;
  out.kind = 20'001;
  for (const auto& value : p) out.tags.add({"p", value});
  return out;
}

class InterestTest : public testing::Test {
 protected:
  std::set<std::string> of(const std::string& json) { return interest.subjects_of(filter(json)); }

  const ClusterSubjects subjects{"c", "r"};
  Interest interest{subjects, 4};
};

TEST_F(InterestTest, AFilterIsOfItsKindsAndShards) {
  EXPECT_THAT(of(R"({"kinds":[20001,22242],"#p":[")" + kKey + R"("]})"),
              ElementsAre("c.e.20001.ab", "c.e.20001.many", "c.e.22242.ab", "c.e.22242.many"));
  EXPECT_THAT(of(R"({"kinds":[20001]})"), ElementsAre("c.e.20001.*"));
  EXPECT_THAT(of(R"({"#p":[")" + kKey + R"("]})"), ElementsAre("c.e.*.ab", "c.e.*.many"));
  EXPECT_THAT(of("{}"), ElementsAre("c.e.>"));
}

TEST_F(InterestTest, StoredKindsNeedNothing) {
  EXPECT_THAT(of(R"({"kinds":[1,30023]})"), IsEmpty());
  EXPECT_THAT(of(R"({"kinds":[]})"), IsEmpty());
}

// An event may have another `p` that is a key: then it is sent to that one's shard alone.
TEST_F(InterestTest, AValueThatIsNoKeyMayBeInAnyShard) {
  EXPECT_THAT(of(R"({"kinds":[20001],"#p":["x"]})"), ElementsAre("c.e.20001.*"));
}

TEST_F(InterestTest, AnEventIsSentToEachShardOnce) {
  EXPECT_THAT(ClusterSubjects::shards_of(event({})), ElementsAre("none"));
  EXPECT_THAT(ClusterSubjects::shards_of(event({"x"})), ElementsAre("none"));
  EXPECT_THAT(ClusterSubjects::shards_of(event({kKey, kOther, kKey, "x"})),
              ElementsAre("ab", "cd"));
  Event many;
  for (int i = 0; i < 17; ++i) {
    many.tags.add({"p", std::to_string(10 + i) + std::string(62, '0')});
  }
  EXPECT_THAT(ClusterSubjects::shards_of(many), ElementsAre("many"));
}

TEST_F(InterestTest, ChangesAreCounted) {
  const std::vector<Filter> one = {filter(R"({"kinds":[20001]})")};
  EXPECT_FALSE(interest.take_changes());
  interest.add(one);
  interest.add(one);
  EXPECT_THAT(interest.take_changes().value(), ElementsAre("c.e.20001.*"));
  EXPECT_FALSE(interest.take_changes());
  interest.remove(one);
  EXPECT_FALSE(interest.take_changes());
  interest.remove(one);
  EXPECT_THAT(interest.take_changes().value(), IsEmpty());
}

TEST_F(InterestTest, WhatIsInAnotherIsLeftOut) {
  const std::vector<Filter> wide = {filter(R"({"kinds":[20001]})")};
  const std::vector<Filter> narrow = {filter(R"({"kinds":[20001],"#p":[")" + kKey + R"("]})")};
  interest.add(narrow);
  interest.add(wide);
  EXPECT_THAT(interest.take_changes().value(), ElementsAre("c.e.20001.*"));
  interest.remove(wide);
  EXPECT_THAT(interest.take_changes().value(), ElementsAre("c.e.20001.ab", "c.e.20001.many"));
}

TEST_F(InterestTest, TooManyBecomeTheirKindsAndThenAll) {
  const std::vector<Filter> shards = {
      filter(R"({"kinds":[20001,20002],"#p":[")" + kKey + R"(",")" + kOther + R"("]})")};
  interest.add(shards);  // six subjects, and four are the most
  EXPECT_THAT(interest.take_changes().value(), ElementsAre("c.e.20001.*", "c.e.20002.*"));
  const std::vector<Filter> kinds = {filter(R"({"kinds":[20003,20004,20005]})")};
  interest.add(kinds);
  EXPECT_THAT(interest.take_changes().value(), ElementsAre("c.e.>"));
}

TEST(HearingTest, WhatIsWantedNoMoreEndsLater) {
  Hearing hearing;
  hearing.want({"narrow"}, 0);
  EXPECT_THAT(hearing.take_changes(0).subscribe, ElementsAre("narrow"));
  hearing.want({"wide"}, 10);
  const auto changes = hearing.take_changes(10);
  EXPECT_THAT(changes.subscribe, ElementsAre("wide"));
  EXPECT_THAT(changes.unsubscribe, IsEmpty());
  EXPECT_THAT(hearing.take_changes(10 + Hearing::kLingerMs - 1).unsubscribe, IsEmpty());
  EXPECT_THAT(hearing.take_changes(10 + Hearing::kLingerMs).unsubscribe, ElementsAre("narrow"));
  EXPECT_THAT(hearing.take_changes(10 * Hearing::kLingerMs).unsubscribe, IsEmpty());
}

TEST(HearingTest, WhatIsWantedAgainStays) {
  Hearing hearing;
  hearing.want({"a"}, 0);
  (void)hearing.take_changes(0);
  hearing.want({}, 10);
  (void)hearing.take_changes(10);
  hearing.want({"a"}, 20);
  const auto changes = hearing.take_changes(10 * Hearing::kLingerMs);
  EXPECT_THAT(changes.subscribe, IsEmpty());
  EXPECT_THAT(changes.unsubscribe, IsEmpty());
}

TEST(HearingTest, TooMuchThatLingersEndsAtOnce) {
  Hearing hearing;
  std::set<std::string> many;
  for (std::size_t i = 0; i <= Hearing::kLingeringMax; ++i) many.insert(std::to_string(i));
  hearing.want(many, 0);
  (void)hearing.take_changes(0);
  hearing.want({"0"}, 1);
  EXPECT_THAT(hearing.take_changes(1).unsubscribe, IsEmpty());
  hearing.want({}, 2);
  EXPECT_EQ(hearing.take_changes(2).unsubscribe.size(), many.size());
  hearing.want({"1"}, 3);
  EXPECT_THAT(hearing.take_changes(3).subscribe, ElementsAre("1"));
}

}  // namespace
}  // namespace nostril::relay::test
