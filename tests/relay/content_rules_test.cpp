#include "relay/content_rules.h"

#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

namespace nostril::relay::test {
namespace {

TEST(TagLimit, ReadsKindTagAndCount) {
  const auto limit = TagLimit::parse("1:p:50");
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->kind, 1U);
  EXPECT_EQ(limit->tag, "p");
  EXPECT_EQ(limit->count_max, 50U);
  for (const char* bad : {"", "1", "1:p", "1::5", ":p:5", "1:p:", "65536:p:1", "1:p:-1", "1:p:x"}) {
    EXPECT_FALSE(TagLimit::parse(bad)) << bad;
  }
}

TEST(SizeLimit, ReadsKindAndBytes) {
  const auto limit = SizeLimit::parse("0:16384");
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->bytes_max, 16'384U);
  for (const char* bad : {"", "0", "0:", ":5", "0:5:5", "0:-5", "65536:5"}) {
    EXPECT_FALSE(SizeLimit::parse(bad)) << bad;
  }
}

class ContentPolicyTest : public testing::Test {
 protected:
  std::optional<Refusal> refuse(const ContentRules& rules, std::uint32_t kind, std::string content,
                                Tags tags = {}) {
    return ContentPolicy(rules).refuse(alice.sign(kind, std::move(content), std::move(tags)));
  }

  Author alice;
};

TEST_F(ContentPolicyTest, TakesAnythingWithoutRules) {
  EXPECT_EQ(refuse({}, 1, "casino", {{"p", "a"}}), std::nullopt);
}

TEST_F(ContentPolicyTest, CountsTagsOfAKind) {
  const ContentRules rules{{{1, "p", 2}, {1, "t", 0}}, {}, {}, {}};
  EXPECT_EQ(refuse(rules, 1, "x", {{"p", "a"}, {"e", "b"}, {"p", "c"}}), std::nullopt);
  EXPECT_EQ(refuse(rules, 1, "x", {{"p", "a"}, {"p", "b"}, {"p", "c"}}), Refusal::TooManyTags);
  EXPECT_EQ(refuse(rules, 1, "x", {{"t", "a"}}), Refusal::TooManyTags);
  EXPECT_EQ(refuse(rules, 3, "x", {{"p", "a"}, {"p", "b"}, {"p", "c"}}), std::nullopt);
}

TEST_F(ContentPolicyTest, AddsUpContentAndTags) {
  const ContentRules rules{{}, {{7, 6}}, {}, {}};
  EXPECT_EQ(refuse(rules, 7, "+", {{"e", "abcd"}}), std::nullopt);
  EXPECT_EQ(refuse(rules, 7, "+", {{"e", "abcde"}}), Refusal::TooLargeForKind);
  EXPECT_EQ(refuse(rules, 7, "1234567"), Refusal::TooLargeForKind);
  EXPECT_EQ(refuse(rules, 1, "1234567"), std::nullopt);
}

TEST_F(ContentPolicyTest, FindsWholeWords) {
  const ContentRules rules{{}, {}, {"Casino", "spam.example", "\xc3\xbc\x62\x65l"}, {1}};
  for (const char* bad : {"casino", "the CASINO!", "-casino-", "a\ncasino.", "(casino)",
                          "see https://spam.example/x", "so \xc3\xbc\x62\x65l."}) {
    EXPECT_EQ(refuse(rules, 1, bad), Refusal::BlockedWord) << bad;
  }
  for (const char* good : {"casinos", "mycasino", "cas ino", "example", "spam", "notspam.example",
                           "casino_x", "\xc3\xbc\x62\x65ler", "", "..."}) {
    EXPECT_EQ(refuse(rules, 1, good), std::nullopt) << good;
  }
  EXPECT_EQ(refuse(rules, 4, "casino"), std::nullopt);
}

TEST(ContentPolicy, KnowsWhatAWordIs) {
  for (const char* good : {"a", "spam.example", "x_1", "\xc3\xbc"}) {
    EXPECT_TRUE(ContentPolicy::is_word(good)) << good;
  }
  for (const char* bad : {"", "two words", ".x", "x-", "a/b"}) {
    EXPECT_FALSE(ContentPolicy::is_word(bad)) << bad;
  }
}

}  // namespace
}  // namespace nostril::relay::test
