#include "events/search.h"

#include "events/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nostril {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  for_each_word(text, [&](std::string_view word) { out.emplace_back(word); });
  return out;
}

TEST(SearchWords, AreFoldedAndCutAtAllElse) {
  EXPECT_THAT(words_of(""), IsEmpty());
  EXPECT_THAT(words_of(" \n\t.,;#"), IsEmpty());
  EXPECT_THAT(words_of("Hello, World!"), ElementsAre("hello", "world"));
  EXPECT_THAT(words_of("https://Example.com/a1?b=22"),
              ElementsAre("https", "example", "com", "a1", "22"));
  EXPECT_THAT(words_of("don't #nostr @Alice 7"), ElementsAre("don", "nostr", "alice", "7"));
  EXPECT_THAT(words_of("Caf\u00e9 CAFE\u0301 STRASSE stra\u00dfe"),
              ElementsAre("cafe", "cafe", "strasse", "strasse"));
  EXPECT_THAT(words_of("\u041f\u0440\u0438\u0432\u0435\u0442 \u041c\u0418\u0420"),
              ElementsAre("\u043f\u0440\u0438\u0432\u0435\u0442", "\u043c\u0438\u0440"));
  EXPECT_THAT(words_of("\u65e5\u672c\u8a9e\u3067ABC"),
              ElementsAre("\u65e5", "\u672c", "\u8a9e", "\u3066", "abc"));
  EXPECT_THAT(words_of("\uff21\uff22 \ufb01n"), ElementsAre("ab", "fin")) << "compatible forms";
  EXPECT_THAT(words_of("a\u2014bc\u00a0de \U0001f600ok"), ElementsAre("bc", "de", "ok"));
}

TEST(SearchWords, AreBounded) {
  EXPECT_THAT(words_of(std::string(40, 'x')), ElementsAre(std::string(40, 'x')));
  EXPECT_THAT(words_of(std::string(41, 'x') + " ok"), ElementsAre("ok"));
  std::string accents;
  for (int i = 0; i < 21; ++i) accents += "\u0436";
  EXPECT_THAT(words_of(accents + " ok"), ElementsAre("ok"));
  std::string many;
  for (int i = 0; i < 9'000; ++i) many += "\u65e5";
  EXPECT_EQ(words_of(many).size(), kWordsOfATextMax);
  EXPECT_THAT(words_of("ok \xff\xfe no"), ElementsAre("ok", "no")) << "never in an event";
}

Event note(std::string content, std::uint32_t kind = 1, Tags tags = {}) {
  static std::uint8_t number = 0;
  Event event;
  event.id.bytes[0] = ++number;
  event.kind = kind;
  event.content = std::move(content);
  event.tags = std::move(tags);
  return event;
}

bool finds(std::string_view query, const Event& event) {
  return SearchQuery(query).matches(event);
}

TEST(SearchQuery, WantsAllItsWordsInAnyOrder) {
  const Event event = note("The best Nostr apps of the year");
  for (const char* query :
       {"best", "NOSTR", "apps best", "best nostr apps", "best, apps!", "\"best nostr\"",
        "\"of the year\" best", "nostr -relay", "best language:en", "include:spam nostr",
        "\"unclosed", "nsfw:false apps"}) {
    EXPECT_EQ(finds(query, event), std::string_view(query) != "\"unclosed") << query;
  }
  for (const char* query : {"bes", "best relay", "\"nostr best\"", "nostr -apps",
                            "nostr -\"the year\"x", "year-relay"}) {
    EXPECT_FALSE(finds(query, event)) << query;
  }
}

TEST(SearchQuery, SaysNothingWithoutWords) {
  for (const char* query : {"", "  ", "include:spam", "-spam", "\"\""}) {
    EXPECT_TRUE(SearchQuery(query).is_empty()) << query;
    Filter filter;
    filter.search.emplace(query);
    EXPECT_FALSE(filter.is_search());
    EXPECT_TRUE(filter.matches(note("anything", 4))) << "as without it";
  }
  for (const char* query : {"!!!", "language:en x", "\"-\""}) {
    EXPECT_FALSE(SearchQuery(query).is_empty()) << query;
    EXPECT_FALSE(finds(query, note("x !!! -"))) << "no words";
  }
  EXPECT_THAT(SearchQuery("b:c https://x.example 10:30").words(),
              ElementsAre("10", "30", "example", "https"));
}

TEST(SearchQuery, LooksAtWhatPeopleSee) {
  const Event profile = note(
      R"({"name":"Satoshi","about":"digging holes","picture":"https://pic.example/x.png"})", 0);
  EXPECT_TRUE(finds("satoshi", profile));
  EXPECT_TRUE(finds("holes", profile));
  EXPECT_FALSE(finds("picture", profile));
  EXPECT_FALSE(finds("name", profile));
  EXPECT_FALSE(finds("x", note("no json, but x1", 0)));
  const Event article =
      note("text", 30023, {{"title", "On Relays"}, {"t", "opsec"}, {"d", "slug"}});
  EXPECT_TRUE(finds("relays text opsec", article));
  EXPECT_FALSE(finds("slug", article));
  EXPECT_FALSE(finds("secret", note("secret", 4))) << "not a text for people";
  EXPECT_FALSE(finds("naked nsfw:false", note("naked", 1, {{"content-warning", ""}})));
  EXPECT_TRUE(finds("naked nsfw:true", note("naked", 1, {{"content-warning", ""}})));
}

double score(std::string_view query, const Event& event, std::int64_t age_s = 0) {
  return SearchQuery(query).score(SearchText(event), age_s).value_or(0);
}

TEST(SearchQuery, PutsTheBetterFirst) {
  const Event plain = note("one word of relays among some others here and there");
  EXPECT_GT(score("relays", note("relays, relays and relays")), score("relays", plain));
  EXPECT_GT(score("relays", note("all about relays")), score("relays", plain));
  EXPECT_GT(score("relays", note("x", 30023, {{"title", "relays"}})),
            score("relays", note("relays x1")));
  EXPECT_GT(score("fast relays", note("very fast relays")),
            score("fast relays", note("relays, if fast")));
  EXPECT_GT(score("relays", plain), score("relays", plain, 86'400 * 365));
  EXPECT_GT(score("relays", plain, -5), 0);
}

TEST(SearchFilter, IsReadAndWritten) {
  const auto filter = parse_filter(R"({"kinds":[1],"search":"best \"nostr\" apps"})");
  ASSERT_TRUE(filter);
  EXPECT_TRUE(filter->is_search());
  EXPECT_TRUE(filter->matches(note("apps for nostr, the best")));
  EXPECT_FALSE(filter->matches(note("apps for nostr, the best", 30023)));
  std::string json;
  append_json(json, *filter);
  EXPECT_EQ(json, R"({"kinds":[1],"search":"best \"nostr\" apps"})");
  EXPECT_EQ(parse_filter(R"({"search":7})").error(), ParseError::BadType);
  EXPECT_EQ(parse_filter(R"({"search":"a","search":"b"})").error(), ParseError::DoubleField);
  EXPECT_TRUE(parse_filter(R"({"search":")" + std::string(1024, 'x') + R"("})"));
  EXPECT_EQ(parse_filter(R"({"search":")" + std::string(1025, 'x') + R"("})").error(),
            ParseError::TooLarge);
}

}  // namespace
}  // namespace nostril
