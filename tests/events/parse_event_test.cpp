#include "base/hex.h"
#include "events/event.h"
#include "tests/events/make_event.h"

#include <gtest/gtest.h>

#include <thread>

namespace nostril {
namespace {

using test::replaced;
using test::signed_event;

/// The error that parsing gives; nothing when the event is accepted.
std::optional<ParseError> refusal(std::string_view json, const EventLimits& limits = {}) {
  const auto parsed = parse_event(json, limits);
  if (parsed) return std::nullopt;
  return parsed.error();
}

class ParseEvent : public testing::Test {
 protected:
  const Event event_ =
      signed_event({.created_at = 1700000000, .kind = 1, .tags = {{"t", "x"}}, .content = "hello"});
  const std::string json_ = to_json(event_);
};

TEST_F(ParseEvent, AcceptsWhatWeWrite) {
  const auto parsed = parse_event(json_);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(to_json(parsed->event()), json_);
}

TEST_F(ParseEvent, AcceptsAnyOrderAndWhitespace) {
  const std::string text = "\n {\"sig\" :\"" + encode_hex(event_.sig) +
                           "\",\t\"content\": \"h\\u0065llo\" , \"tags\":[ [\"t\" , \"x\" ] ],"
                           "\"kind\":1 ,\r\n\"created_at\": 1700000000,\"pubkey\":\"" +
                           encode_hex(event_.pubkey) + "\",\"\\u0069d\":\"" +
                           encode_hex(event_.id) + "\"} \n";
  const auto parsed = parse_event(text);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(to_json(parsed->event()), json_);
}

TEST_F(ParseEvent, RefusesEachMemberMissingDoubledOrOfAnotherType) {
  const std::string id = "\"id\":\"" + encode_hex(event_.id) + "\",";
  const std::string pubkey = "\"pubkey\":\"" + encode_hex(event_.pubkey) + "\",";
  const std::string sig = ",\"sig\":\"" + encode_hex(event_.sig) + "\"";
  const std::vector<std::string> members = {
      id,
      pubkey,
      "\"created_at\":1700000000,",
      "\"kind\":1,",
      "\"tags\":[[\"t\",\"x\"]],",
      "\"content\":\"hello\"," /* with sig's comma */,
  };
  for (const std::string& member : members) {
    EXPECT_EQ(refusal(replaced(json_, member, "")), ParseError::MissingField) << member;
    EXPECT_EQ(refusal(replaced(json_, member, member + member)), ParseError::DoubleField) << member;
    const std::string key = member.substr(0, member.find(':') + 1);
    for (const std::string_view other : {"null", "true", "{}"}) {
      EXPECT_EQ(refusal(replaced(json_, member, key + std::string(other) + ",")),
                ParseError::BadType)
          << member << other;
    }
  }
  EXPECT_EQ(refusal(replaced(json_, sig, "")), ParseError::MissingField);
  EXPECT_EQ(refusal(replaced(json_, sig, sig + sig)), ParseError::DoubleField);
  EXPECT_EQ(refusal(replaced(json_, sig, ",\"sig\":7")), ParseError::BadType);
  EXPECT_EQ(refusal("{}"), ParseError::MissingField);
}

TEST_F(ParseEvent, RefusesTextWhereANumberStandsAndTheReverse) {
  EXPECT_EQ(refusal(replaced(json_, ":1700000000", ":\"1700000000\"")), ParseError::BadType);
  EXPECT_EQ(refusal(replaced(json_, "\"kind\":1", "\"kind\":\"1\"")), ParseError::BadType);
  EXPECT_EQ(refusal(replaced(json_, "\"hello\"", "5")), ParseError::BadType);
  EXPECT_EQ(refusal(replaced(json_, "[[\"t\",\"x\"]]", "\"x\"")), ParseError::BadType);
}

TEST_F(ParseEvent, RefusesAMemberThatIsNotSigned) {
  EXPECT_EQ(refusal(replaced(json_, "{", "{\"ots\":\"x\",")), ParseError::UnknownField);
  for (const std::string_view name :
       {"", "ID", "xx", "sag", "king", "tagz", "pubkex", "contenx", "created_ax", "aaaaa"}) {
    EXPECT_EQ(refusal(replaced(json_, "{", "{\"" + std::string(name) + "\":1,")),
              ParseError::UnknownField)
        << name;
  }
}

TEST_F(ParseEvent, ForARelayDropsAMemberThatIsNotSigned) {
  EventLimits limits;
  limits.drops_other_members = true;
  const auto with = [this](std::string_view more) {
    return replaced(json_, "{", "{" + std::string(more) + ",");
  };
  for (const std::string_view more :
       {R"("ots":"x")", R"("":null)", R"("ID":1)", R"("a":{"id":"x","a":[1.5,true]},"a":-0)",
        R"("deep":[[[[[[[[]]]]]]]])"}) {
    const auto parsed = parse_event(with(more), limits);
    ASSERT_TRUE(parsed) << more << ": " << to_string(parsed.error());
    EXPECT_EQ(to_json(parsed->event()), json_);
  }
  for (const std::string_view more : {R"("a":)", R"("a":tru)", R"("a":01)", R"("a":"\x")",
                                      R"("a":[1,])", R"("a":{"b"})", R"("a":1 2)"}) {
    EXPECT_EQ(refusal(with(more), limits), ParseError::NotJson) << more;
  }
  EXPECT_EQ(refusal(with(R"("deep":[[[[[[[[[]]]]]]]]])"), limits), ParseError::TooDeep);
  // Of the seven each stands once all the same, and none may be missing.
  EXPECT_EQ(refusal(with("\"id\":\"" + encode_hex(event_.id) + "\""), limits),
            ParseError::DoubleField);
  EXPECT_EQ(refusal(replaced(json_, "\"id\"", "\"ID\""), limits), ParseError::MissingField);
}

TEST_F(ParseEvent, RefusesADoubledKeyHiddenByAnEscape) {
  const std::string id = encode_hex(event_.id);
  EXPECT_EQ(refusal(replaced(json_, "{", "{\"\\u0069d\":\"" + id + "\",")),
            ParseError::DoubleField);
}

TEST_F(ParseEvent, RefusesHexOfAnyOtherForm) {
  for (const std::string& hex :
       {encode_hex(event_.id), encode_hex(event_.pubkey), encode_hex(event_.sig)}) {
    EXPECT_EQ(refusal(replaced(json_, hex, hex.substr(1))), ParseError::BadHex);
    EXPECT_EQ(refusal(replaced(json_, hex, hex + "0")), ParseError::BadHex);
    EXPECT_EQ(refusal(replaced(json_, hex, hex + "00")), ParseError::BadHex);
    EXPECT_EQ(refusal(replaced(json_, hex, "")), ParseError::BadHex);
    EXPECT_EQ(refusal(replaced(json_, hex, "g" + hex.substr(1))), ParseError::BadHex);
    EXPECT_EQ(refusal(replaced(json_, hex, "A" + hex.substr(1))), ParseError::BadHex);
    EXPECT_EQ(refusal(replaced(json_, hex, "0x" + hex.substr(2))), ParseError::BadHex);
  }
}

TEST_F(ParseEvent, RefusesNumbersThatAreNotPlainIntegersInRange) {
  for (const std::string_view number :
       {"-1", "1.0", "1.5", "1e3", "1E0", "-0", "65536", "4294967297", "18446744073709551616"}) {
    EXPECT_EQ(refusal(replaced(json_, "\"kind\":1,", "\"kind\":" + std::string(number) + ",")),
              ParseError::BadNumber)
        << number;
  }
  for (const std::string_view number :
       {"-1", "1.0", "1700000000.5", "17e8", "-0", "9223372036854775808", "18446744073709551616"}) {
    EXPECT_EQ(refusal(replaced(json_, "1700000000", number)), ParseError::BadNumber) << number;
  }
  // No JSON at all.
  for (const std::string_view number : {"01", "+1", "1.", ".5", "0x1", "NaN", "1 2", "1a"}) {
    EXPECT_NE(refusal(replaced(json_, "1700000000", number)), std::nullopt) << number;
  }
}

TEST(ParseEventBounds, AcceptsTheLargestNumbers) {
  const Event event = signed_event({.created_at = INT64_MAX, .kind = 65535});
  const auto parsed = parse_event(to_json(event));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->event().created_at, INT64_MAX);
  EXPECT_EQ(parsed->event().kind, 65535U);
}

TEST_F(ParseEvent, RefusesTagsOfAnotherForm) {
  const auto with_tags = [&](std::string_view tags) {
    return refusal(replaced(json_, "[[\"t\",\"x\"]]", tags));
  };
  for (const std::string_view tags : {"[[]]", "[\"t\"]", "[7]", "[null]", "[{}]", "[[\"t\",7]]",
                                      "[[\"t\",null]]", "[[\"t\",[\"x\"]]]", "[[[]]]", "[[{}]]"}) {
    EXPECT_EQ(with_tags(tags), ParseError::BadTag) << tags;
  }
  EXPECT_EQ(with_tags("[]"), ParseError::WrongId);  // the form is right
  for (const std::string_view tags : {"[[\"t\",]]", "[,]", "[[\"t\"],]", "[[\"t\"]", "[\"t\"]]",
                                      "[[\"t\" \"x\"]]", "[[\"t\"][\"x\"]]"}) {
    EXPECT_NE(with_tags(tags), std::nullopt) << tags;
  }
}

// Tags are gathered in memory that the thread keeps: nothing of one event is left for the next.
TEST_F(ParseEvent, OneEventsTagsAreNotTheNextOnes) {
  EventDraft large{.created_at = 1, .kind = 1, .tags = {}, .content = ""};
  for (int i = 0; i < 500; ++i) large.tags.add({"p", std::string(64, 'a'), std::to_string(i)});
  const Event many = signed_event(large);
  const Event none = signed_event({.created_at = 1, .kind = 1});
  for (int round = 0; round < 2; ++round) {
    const auto first = parse_event(to_json(many));
    ASSERT_TRUE(first);
    EXPECT_EQ(first->event().tags, many.tags);
    // Refused in the middle of its second tag.
    EXPECT_EQ(refusal(replaced(json_, R"([["t","x"]])", R"([["t","x"],["u",1]])")),
              ParseError::BadTag);
    const auto second = parse_event(json_);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->event().tags, event_.tags);
    const auto third = parse_event(to_json(none));
    ASSERT_TRUE(third);
    EXPECT_TRUE(third->event().tags.empty());
    EXPECT_EQ(first->event().tags, many.tags);
  }
}

TEST_F(ParseEvent, RefusesNulButTakesOtherControlCharacters) {
  EXPECT_EQ(refusal(replaced(json_, "hello", "hel\\u0000lo")), ParseError::BadText);
  EXPECT_EQ(refusal(replaced(json_, "\"x\"", "\"\\u0000\"")), ParseError::BadText);
  EXPECT_EQ(refusal(replaced(json_, "hello", "hel\nlo")), ParseError::NotJson);
  EXPECT_EQ(refusal(replaced(json_, "hello", std::string_view("\0", 1))), ParseError::NotJson);
  const Event odd = signed_event({.content = "\x01\x1f\x7f\b\t\n\f\r\"\\/\xe2\x80\xa8"});
  const auto parsed = parse_event(to_json(odd));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->event().content, odd.content);
}

TEST_F(ParseEvent, RefusesTextThatIsNotUtf8) {
  for (const std::string_view bad : {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                                     "\xe2\x82", "\\ud800", "\\udc00\\ud800", "\\u12", "\\x41"}) {
    EXPECT_EQ(refusal(replaced(json_, "hello", bad)), ParseError::NotJson);
    EXPECT_EQ(refusal(replaced(json_, "\"x\"", "\"" + std::string(bad) + "\"")),
              ParseError::NotJson);
  }
}

TEST_F(ParseEvent, RefusesWhatIsNotOneObject) {
  for (const std::string_view text : {"", " ", "[]", "7", "\"x\"", "null", "[{}]"}) {
    EXPECT_NE(refusal(text), std::nullopt) << text;
  }
  EXPECT_EQ(refusal("[" + json_ + "]"), ParseError::NotAnObject);
  for (const std::string_view tail : {"x", "{}", "}", "]", ",", "1", "\"\"", "[]"}) {
    EXPECT_EQ(refusal(json_ + std::string(tail)), ParseError::NotJson) << tail;
  }
  EXPECT_NE(refusal("\xef\xbb\xbf" + json_), std::nullopt);  // byte order mark
}

TEST_F(ParseEvent, RefusesEveryPrefix) {
  for (std::size_t size = 0; size < json_.size(); ++size) {
    ASSERT_NE(refusal(std::string_view(json_).substr(0, size)), std::nullopt) << size;
  }
}

// What stood in the thread's buffer before must not complete a shorter text.
TEST_F(ParseEvent, ReadsNothingBehindTheText) {
  const std::string cut = json_.substr(0, json_.size() - 1);
  ASSERT_EQ(refusal(json_), std::nullopt);
  EXPECT_NE(refusal(cut), std::nullopt);
}

TEST_F(ParseEvent, SurvivesDeepNesting) {
  const std::string open(20000, '[');
  const std::string close(20000, ']');
  EXPECT_NE(refusal(open + close), std::nullopt);
  EXPECT_EQ(refusal(replaced(json_, "[[\"t\",\"x\"]]", open + close)), ParseError::BadTag);
  EXPECT_NE(refusal(replaced(json_, "\"hello\"", open + close)), std::nullopt);
  std::string objects;
  for (int i = 0; i < 20000; ++i) objects += "{\"id\":";
  EXPECT_NE(refusal(objects), std::nullopt);
}

TEST_F(ParseEvent, AnswersEveryMutationOfOneByteWithoutHarm) {
  for (std::size_t i = 0; i < json_.size(); ++i) {
    for (const char c : {'"', '\\', '0', '[', '}', ' ', '\xff', ','}) {
      std::string changed = json_;
      changed[i] = c;
      const auto parsed = parse_event(changed);
      if (!parsed) continue;
      // Only white space or the unsigned signature can differ from the original.
      EXPECT_EQ(parsed->event().id, event_.id);
      EXPECT_EQ(compute_id(parsed->event()), event_.id);
    }
  }
}

TEST_F(ParseEvent, WorksInManyThreads) {
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const auto parsed = parse_event(json_);
        ASSERT_TRUE(parsed);
        ASSERT_EQ(parsed->event().content, "hello");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(EventLimits, BoundTheText) {
  const std::string json = to_json(signed_event({.content = "abc"}));
  EventLimits limits;
  limits.json_bytes_max = json.size();
  EXPECT_EQ(refusal(json, limits), std::nullopt);
  EXPECT_EQ(refusal(json + " ", limits), ParseError::TooLarge);
  limits.json_bytes_max = json.size() - 1;
  EXPECT_EQ(refusal(json, limits), ParseError::TooLarge);
}

TEST(EventLimits, BoundTheContentInBytesOfText) {
  const std::string json = to_json(signed_event({.content = "\né"}));
  EventLimits limits;
  limits.content_bytes_max = 3;
  EXPECT_EQ(refusal(json, limits), std::nullopt);
  limits.content_bytes_max = 2;
  EXPECT_EQ(refusal(json, limits), ParseError::TooLarge);
}

TEST(EventLimits, BoundTheContentInCharacters) {
  const std::string json = to_json(signed_event({.content = "\né🦊"}));
  EventLimits limits;
  limits.content_chars_max = 3;
  EXPECT_EQ(refusal(json, limits), std::nullopt);
  limits.content_chars_max = 2;
  EXPECT_EQ(refusal(json, limits), ParseError::TooLarge);
}

TEST(EventLimits, BoundTags) {
  const std::string json = to_json(signed_event({.tags = {{"a", "bcd"}, {"e", "f", "g"}}}));
  EventLimits limits;
  limits.tags_max = 2;
  limits.tag_elements_max = 3;
  limits.tag_element_bytes_max = 3;
  EXPECT_EQ(refusal(json, limits), std::nullopt);
  limits.tags_max = 1;
  EXPECT_EQ(refusal(json, limits), ParseError::TooMany);
  limits.tags_max = 2;
  limits.tag_elements_max = 2;
  EXPECT_EQ(refusal(json, limits), ParseError::TooMany);
  limits.tag_elements_max = 3;
  limits.tag_element_bytes_max = 2;
  EXPECT_EQ(refusal(json, limits), ParseError::TooLarge);
}

TEST(EventLimits, StopAHundredThousandTags) {
  EventDraft draft;
  for (int i = 0; i < 100000; ++i) draft.tags.add({"p"});
  const std::string json = to_json(signed_event(std::move(draft)));
  EventLimits limits;
  EXPECT_EQ(refusal(json, limits), ParseError::TooLarge);
  limits.json_bytes_max = json.size();
  EXPECT_EQ(refusal(json, limits), ParseError::TooMany);
  limits.tags_max = 100000;
  EXPECT_EQ(refusal(json, limits), std::nullopt);
}

}  // namespace
}  // namespace nostril
