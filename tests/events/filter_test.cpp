#include "events/filter.h"

#include "base/hex.h"
#include "tests/events/make_event.h"

#include <gtest/gtest.h>

#include <random>

namespace nostril {
namespace {

using test::signed_event;

constexpr std::string_view kA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
constexpr std::string_view kB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

std::optional<ParseError> refusal(std::string_view json, const FilterLimits& limits = {}) {
  const auto parsed = parse_filter(json, limits);
  if (parsed) return std::nullopt;
  return parsed.error();
}

std::string written(const Filter& filter) {
  std::string out;
  append_json(out, filter);
  return out;
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

TEST(ParseFilter, ReadsEveryMember) {
  const std::string json =
      "{\"ids\":[" + quoted(kA) + "],\"authors\":[" + quoted(kA) + "," + quoted(kB) +
      "],\"kinds\":[0,65535],\"#e\":[\"x\"],\"#Z\":[\"\",\"y\"]," +
      "\"since\":1,\"until\":9223372036854775807,\"limit\":" + "18446744073709551615}";
  const auto filter = parse_filter(json);
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->ids->size(), 1U);
  EXPECT_EQ(filter->authors->size(), 2U);
  EXPECT_EQ(*filter->kinds, (std::vector<std::uint32_t>{0, 65535}));
  ASSERT_EQ(filter->tags.size(), 2U);
  EXPECT_EQ(filter->tags[1].name, 'Z');
  EXPECT_EQ(filter->since, 1);
  EXPECT_EQ(filter->until, INT64_MAX);
  EXPECT_EQ(filter->limit, UINT64_MAX);
  EXPECT_EQ(written(*filter), json);
}

TEST(ParseFilter, SortsAndRemovesDoubles) {
  const auto filter = parse_filter("{\"kinds\":[7,1,7],\"authors\":[" + quoted(kB) + "," +
                                   quoted(kA) + "," + quoted(kB) + "],\"#t\":[\"b\",\"a\",\"b\"]}");
  ASSERT_TRUE(filter);
  EXPECT_EQ(written(*filter), "{\"authors\":[" + quoted(kA) + "," + quoted(kB) +
                                  "],\"kinds\":[1,7],\"#t\":[\"a\",\"b\"]}");
}

TEST(ParseFilter, RefusesUnknownMembers) {
  for (const std::string_view key :
       {"Search", "#", "#ee", "#1", "#é", "##", "e", "id", "Kinds", "", "#e ", "until_"}) {
    EXPECT_EQ(refusal("{" + quoted(key) + ":[]}"), ParseError::UnknownField) << key;
  }
}

TEST(ParseFilter, RefusesDoubledMembers) {
  for (const std::string_view member : {"\"ids\":[]", "\"authors\":[]", "\"kinds\":[]", "\"#e\":[]",
                                        "\"since\":1", "\"until\":1", "\"limit\":1"}) {
    EXPECT_EQ(refusal("{" + std::string(member) + "," + std::string(member) + "}"),
              ParseError::DoubleField)
        << member;
  }
  EXPECT_EQ(refusal("{\"#e\":[],\"\\u0023e\":[]}"), ParseError::DoubleField);
  EXPECT_EQ(refusal("{\"#e\":[],\"#E\":[]}"), std::nullopt);
}

TEST(ParseFilter, RefusesWrongTypes) {
  for (const std::string_view member :
       {"\"ids\":null", "\"ids\":\"x\"", "\"ids\":{}", "\"ids\":[1]", "\"ids\":[[]]",
        "\"authors\":1", "\"authors\":[null]", "\"kinds\":1", "\"kinds\":[\"1\"]",
        "\"kinds\":[null]", "\"#e\":\"x\"", "\"#e\":[1]", "\"#e\":null", "\"since\":\"1\"",
        "\"since\":null", "\"until\":[1]", "\"limit\":true", "\"limit\":{}"}) {
    EXPECT_EQ(refusal("{" + std::string(member) + "}"), ParseError::BadType) << member;
  }
}

TEST(ParseFilter, RefusesNumbersOutOfRange) {
  for (const std::string_view member :
       {"\"kinds\":[65536]", "\"kinds\":[-1]", "\"kinds\":[1.0]", "\"kinds\":[1e1]", "\"since\":-1",
        "\"since\":9223372036854775808", "\"until\":1.5", "\"until\":9223372036854775808",
        "\"limit\":-1", "\"limit\":18446744073709551616", "\"limit\":1e3"}) {
    EXPECT_EQ(refusal("{" + std::string(member) + "}"), ParseError::BadNumber) << member;
  }
}

TEST(ParseFilter, RefusesPrefixesAndUppercase) {
  const std::string upper(64, 'A');
  for (const std::string_view id :
       {kA.substr(1), kA.substr(0, 8), std::string_view(upper), std::string_view("")}) {
    EXPECT_EQ(refusal("{\"ids\":[" + quoted(id) + "]}"), ParseError::BadHex) << id;
    EXPECT_EQ(refusal("{\"authors\":[" + quoted(id) + "]}"), ParseError::BadHex) << id;
  }
  EXPECT_EQ(refusal("{\"#e\":[\"abc\"]}"), std::nullopt);  // text, compared as it is
}

TEST(ParseFilter, RefusesWhatIsNotOneObject) {
  EXPECT_EQ(refusal("[]"), ParseError::NotAnObject);
  EXPECT_EQ(refusal("7"), ParseError::NotAnObject);
  for (const std::string_view text : {"", "{", "{}}", "{} {}", "{,}", "{\"kinds\":[1,]}",
                                      "{\"kinds\":[1 2]}", "{\"kinds\" [1]}", "{\"since\":01}"}) {
    EXPECT_NE(refusal(text), std::nullopt) << text;
  }
  EXPECT_EQ(refusal("{\"#t\":[\"\\u0000\"]}"), ParseError::BadText);
}

TEST(FilterLimits, BoundValuesNamesAndSizes) {
  FilterLimits limits;
  limits.values_max = 2;
  limits.tag_names_max = 2;
  limits.tag_value_bytes_max = 3;
  EXPECT_EQ(refusal(R"({"kinds":[1,2],"#a":["abc"],"#b":["1","2"]})", limits), std::nullopt);
  EXPECT_EQ(refusal(R"({"kinds":[1,2,3]})", limits), ParseError::TooMany);
  EXPECT_EQ(refusal(R"({"kinds":[1,1,1]})", limits), ParseError::TooMany);
  EXPECT_EQ(refusal(R"({"#b":["1","2","3"]})", limits), ParseError::TooMany);
  EXPECT_EQ(refusal(R"({"#a":[],"#b":[],"#c":[]})", limits), ParseError::TooMany);
  EXPECT_EQ(refusal(R"({"#a":["abcd"]})", limits), ParseError::TooLarge);
}

TEST(FilterMatches, EverythingWhenEmpty) {
  const Filter filter = *parse_filter("{}");
  EXPECT_TRUE(filter.matches(Event{}));
  EXPECT_FALSE(filter.matches_nothing());
  EXPECT_FALSE(matches_any({}, Event{}));
}

TEST(FilterMatches, NothingWhenAListIsEmpty) {
  for (const std::string_view json : {R"({"ids":[]})", R"({"authors":[]})", R"({"kinds":[]})",
                                      R"({"#e":[]})", R"({"since":2,"until":1})"}) {
    const Filter filter = *parse_filter(json);
    EXPECT_TRUE(filter.matches_nothing()) << json;
    EXPECT_FALSE(filter.matches(signed_event({.created_at = 1, .tags = {{"e", ""}, {"e"}}})));
  }
  EXPECT_FALSE(parse_filter(R"({"since":1,"until":1,"limit":0})")->matches_nothing());
}

TEST(FilterMatches, TimesInclusively) {
  const Filter filter = *parse_filter(R"({"since":5,"until":7})");
  for (const std::int64_t time : {4, 5, 7, 8}) {
    Event event;
    event.created_at = time;
    EXPECT_EQ(filter.matches(event), time == 5 || time == 7) << time;
  }
}

TEST(FilterMatches, OnlyTheSecondElementOfATag) {
  const Filter filter = *parse_filter(R"({"#t":["x"]})");
  Event event;
  event.tags = Tags{{"t", "y", "x"}, {"T", "x"}, {"tt", "x"}, {"t"}, {"x", "t"}, {"", "x"}};
  EXPECT_FALSE(filter.matches(event));
  event.tags.add({"t", "x"});
  EXPECT_TRUE(filter.matches(event));
}

TEST(FilterMatches, LongTagValuesWhole) {
  const std::string longer(300, 'x');
  Filter filter;
  filter.tags.push_back({'t', {longer}});
  filter.normalize();
  Event event;
  event.tags = Tags{{"t", std::string_view(longer).substr(1)}};
  EXPECT_FALSE(filter.matches(event));
  event.tags.add({"t", longer});
  EXPECT_TRUE(filter.matches(event));
}

// ---- against a twin that is too simple to be wrong ----

bool slow_matches(const Filter& filter, const Event& event) {
  bool all = true;
  if (filter.ids) {
    bool any = false;
    for (const EventId& id : *filter.ids) any = any || id == event.id;
    all = all && any;
  }
  if (filter.authors) {
    bool any = false;
    for (const PublicKey& key : *filter.authors) any = any || key == event.pubkey;
    all = all && any;
  }
  if (filter.kinds) {
    bool any = false;
    for (const std::uint32_t kind : *filter.kinds) any = any || kind == event.kind;
    all = all && any;
  }
  for (const Filter::TagValues& wanted : filter.tags) {
    bool any = false;
    for (const Tags::View tag : event.tags) {
      if (tag.size() < 2 || std::string(tag[0]) != std::string(1, wanted.name)) continue;
      for (const std::string& value : wanted.values) any = any || value == tag[1];
    }
    all = all && any;
  }
  if (filter.since) all = all && event.created_at >= *filter.since;
  if (filter.until) all = all && event.created_at <= *filter.until;
  return all;
}

/// Random events and filters over so small a world that they meet often.
class World {
 public:
  explicit World(unsigned seed) : random_(seed) {}

  unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }

  Event event() {
    Event event;
    event.id.bytes[0] = static_cast<std::uint8_t>(below(4));
    event.pubkey.bytes[31] = static_cast<std::uint8_t>(below(4));
    event.kind = below(4);
    event.created_at = below(6);
    for (unsigned i = below(5); i > 0; --i) {
      event.tags.add_element(name());
      for (unsigned j = below(4); j > 0; --j) event.tags.add_element(value());
      event.tags.finish_tag();
    }
    return event;
  }

  Filter filter() {
    Filter filter;
    if (below(3) == 0) {
      filter.ids.emplace();
      for (unsigned n = below(4); n > 0; --n) {
        filter.ids->emplace_back().bytes[0] = static_cast<std::uint8_t>(below(4));
      }
    }
    if (below(3) == 0) {
      filter.authors.emplace();
      for (unsigned n = below(4); n > 0; --n) {
        filter.authors->emplace_back().bytes[31] = static_cast<std::uint8_t>(below(4));
      }
    }
    if (below(3) == 0) {
      filter.kinds.emplace();
      for (unsigned n = below(4); n > 0; --n) filter.kinds->push_back(below(4));
    }
    for (const char letter : {'e', 'E', 't'}) {
      if (below(4) != 0) continue;
      filter.tags.push_back(Filter::TagValues{letter, {}});
      for (unsigned n = below(4); n > 0; --n) filter.tags.back().values.push_back(value());
    }
    if (below(4) == 0) filter.since = below(6);
    if (below(4) == 0) filter.until = below(6);
    if (below(4) == 0) filter.limit = below(6);
    filter.normalize();
    return filter;
  }

 private:
  std::string name() { return std::array<std::string, 5>{"e", "E", "t", "tt", ""}[below(5)]; }

  std::string value() { return std::array<std::string, 4>{"", "a", "b", "ab"}[below(4)]; }

  std::mt19937 random_;
};

TEST(FilterMatches, AgreesWithTheSlowTwin) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  World world(seed);
  int matched = 0;
  for (int i = 0; i < 20000; ++i) {
    const Filter filter = world.filter();
    const Event event = world.event();
    const bool expected = slow_matches(filter, event);
    matched += expected ? 1 : 0;
    ASSERT_EQ(filter.matches(event), expected) << written(filter) << ' ' << to_json(event);
    if (filter.matches_nothing()) {
      ASSERT_FALSE(expected);
    }
  }
  EXPECT_GT(matched, 500);  // else the test says nothing
}

TEST(FilterJson, RoundTripsRandomFilters) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  World world(seed);
  for (int i = 0; i < 2000; ++i) {
    const std::string json = written(world.filter());
    const auto parsed = parse_filter(json);
    ASSERT_TRUE(parsed) << json;
    ASSERT_EQ(written(*parsed), json);
  }
}

#ifndef NDEBUG
TEST(FilterMatches, DiesOnListsThatWereNotNormalized) {
  Filter filter;
  filter.kinds = {7, 1};
  EXPECT_DEATH((void)filter.matches(Event{}), "CHECK failed");
}
#endif

}  // namespace
}  // namespace nostril
