#include "relay/store/record.h"

#include "base/hex.h"
#include "tests/relay/store_support.h"
#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

#include <string>

namespace nostril::relay {

namespace {

Bytes encoded(const Event& event) {
  Bytes record;
  encode_record(record, event);
  return record;
}

std::string json_of(const Bytes& record) {
  const auto view = RecordView::parse(record);
  if (!view) return std::string(to_string(view.error()));
  TextBuffer json;
  return append_json(json, *view) ? std::string(json.text()) : "damaged content";
}

Event sample() {
  return test::make_event(
      1, 1700000000, 30023,
      {{"d", "name"}, {"e", std::string(64, 'a'), "wss://relay"}, {"x"}, {"t", ""}, {"", "y"}},
      "line\n\"quoted\" \x7f \xc3\xa4");
}

TEST(Record, GivesTheSameJsonAsTheEvent) {
  const Event event = sample();
  EXPECT_EQ(json_of(encoded(event)), to_json(event));
}

TEST(Record, GivesTheSameEventBack) {
  const Event event = sample();
  const Bytes record = encoded(event);
  const Event back = *RecordView::parse(record)->to_event();
  EXPECT_EQ(to_json(back), to_json(event));
  EXPECT_EQ(back.tags, event.tags);
}

TEST(Record, StoresHexOf32BytesInHalf) {
  const std::string hex(64, 'b');
  const auto size = [](const std::string& value) {
    return encoded(test::make_event(1, 1, 1, {{"e", value}})).size();
  };
  EXPECT_EQ(size(hex) + 32, size(std::string(64, 'B')));  // uppercase is text
  EXPECT_EQ(size(hex), size(std::string(32, 'b')));
}

TEST(Record, RefusesEveryCutOfItsTags) {
  Event event = sample();
  event.content.clear();
  const Bytes whole = encoded(event);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(RecordView::parse(ByteSpan(whole).first(size)).has_value()) << size;
  }
}

TEST(Record, RefusesOtherVersionsAndFlags) {
  Bytes record = encoded(sample());
  record[0] = 2;
  EXPECT_EQ(RecordView::parse(record).error(), RecordError::UnknownVersion);
  record[0] = 1;
  for (const unsigned flag : {0x04U, 0x08U, 0x80U}) {
    record[1] = static_cast<std::uint8_t>(flag);
    EXPECT_EQ(RecordView::parse(record).error(), RecordError::UnknownFlags);
  }
}

TEST(Record, RefusesSecondFormsOfOneValue) {
  const Bytes head(138, 0);
  const auto parse_tags = [&head](std::initializer_list<std::uint8_t> tail, std::size_t hex = 0) {
    Bytes record = head;
    record[0] = kRecordVersion;
    record.insert(record.end(), tail);
    record.insert(record.end(), hex, 'a');
    return RecordView::parse(record);
  };
  EXPECT_TRUE(parse_tags({0}).has_value());
  EXPECT_EQ(parse_tags({0x80, 0}).error(), RecordError::BadVarint);  // 0 in two bytes
  EXPECT_EQ(parse_tags({0xff, 0xff, 0xff, 0xff, 0x1f}).error(), RecordError::BadVarint);
  EXPECT_EQ(parse_tags({0xff, 0xff, 0xff, 0xff, 0xff, 0x01}).error(), RecordError::BadVarint);
  EXPECT_EQ(parse_tags({1, 0}).error(), RecordError::BadTag);          // tag without elements
  EXPECT_EQ(parse_tags({1, 1, 65}, 64).error(), RecordError::BadTag);  // hex kept as text
  EXPECT_TRUE(parse_tags({1, 1, 64}, 63).has_value());
  EXPECT_EQ(parse_tags({2, 1, 1}).error(), RecordError::Truncated);  // a tag too few
}

TEST(Record, KnowsTheExpiration) {
  const auto expiration = [](std::string_view value) {
    return RecordView::parse(encoded(test::make_event(1, 1, 1, {{"expiration", value}})))
        ->expiration();
  };
  EXPECT_EQ(expiration("1700000000"), 1700000000);
  EXPECT_EQ(expiration("281474976710655"), kCreatedAtMax);
  for (const char* bad :
       {"281474976710656", "-1", "-0", "+5", "1e3", "", " 1", "99999999999999999999"}) {
    EXPECT_EQ(expiration(bad), std::nullopt) << bad;
  }
  const Bytes record = encoded(test::make_event(1, 1, 1, {{"expiration", "100"}}));
  EXPECT_FALSE(RecordView::parse(record)->is_expired(99));
  EXPECT_TRUE(RecordView::parse(record)->is_expired(100));
}

TEST(Record, MatchesFiltersAsTheEventDoes) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  test::RandomWorld world(seed);
  std::size_t matches = 0;
  for (int i = 0; i < 300; ++i) {
    const Event event = world.event();
    const Bytes record = encoded(event);
    const auto view = RecordView::parse(record);
    ASSERT_TRUE(view.has_value());
    for (int j = 0; j < 30; ++j) {
      const Filter filter = world.filter();
      ASSERT_EQ(view->matches(RecordFilter(filter)), filter.matches(event)) << to_json(event);
      matches += filter.matches(event) ? 1U : 0U;
    }
  }
  EXPECT_GT(matches, 50U);
}

// One byte at a time; write_json_string() looks at many.
std::string escaped_slowly(std::string_view text) {
  constexpr std::string_view kSpecial = "\"\\\b\t\n\f\r";
  constexpr std::string_view kShort = "\"\\btnfr";
  std::string out = "\"";
  for (const char c : text) {
    const std::size_t at = kSpecial.find(c);
    if (at != std::string_view::npos) {
      out += {'\\', kShort[at]};
    } else if (static_cast<std::uint8_t>(c) < 0x20) {
      out += "\\u00" + encode_hex(as_bytes(std::string_view(&c, 1)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

TEST(Record, EscapesContentAsTheSlowTwinDoes) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 3000; ++i) {
    std::string content;
    for (std::uint64_t size = random() % 40; size > 0; --size) {
      // Every second character near an edge of what is escaped.
      constexpr std::string_view kEdges = "\x1f\x20\x21\x22\x23\x5b\x5c\x5d\x7f\n\x01";
      const std::uint64_t pick = random();
      content +=
          pick % 2 == 0 ? kEdges[pick / 2 % kEdges.size()] : static_cast<char>(pick / 2 % 0x7f + 1);
    }
    const std::string json = json_of(encoded(test::make_event(1, 1, 1, {}, content)));
    EXPECT_NE(json.find("\"content\":" + escaped_slowly(content) + ",\"sig\""), std::string::npos)
        << json;
  }
}

TEST(Record, KeepsRealEvents) {
  REQUIRE_SHARED("corpus/real-events.jsonl.zst");
  std::size_t count = 0;
  for (const std::string& line : test::real_event_lines()) {
    const auto event = parse_event(line);
    ASSERT_TRUE(event.has_value()) << line;
    ASSERT_EQ(json_of(encoded(event->event())), to_json(event->event()));
    ++count;
  }
  EXPECT_EQ(count, 4092U);
}

}  // namespace

}  // namespace nostril::relay
