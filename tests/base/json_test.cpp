#include "base/json.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/hex.h"
#include "tests/support/shared_data.h"

#include <limits>

namespace nostril {

namespace {

std::string dumped(std::string_view text) {
  const auto parsed = Json::parse(text);
  return parsed ? parsed->dump() : "refused: " + std::string(to_string(parsed.error()));
}

JsonError error_of(std::string_view text, const JsonLimits& limits = {}) {
  const auto parsed = Json::parse(text, limits);
  CHECK(!parsed.has_value());
  return parsed.error();
}

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(JsonParse, ReadsEachTypeAtTheRoot) {
  EXPECT_TRUE(Json::parse("null")->is_null());
  EXPECT_EQ(Json::parse("true")->boolean(), true);
  EXPECT_EQ(Json::parse("false")->boolean(), false);
  EXPECT_EQ(Json::parse("-7")->integer(), -7);
  EXPECT_EQ(Json::parse("1.5")->number(), 1.5);
  EXPECT_EQ(Json::parse("\"a\"")->string(), "a");
  EXPECT_TRUE(Json::parse("[]")->is_array());
  EXPECT_TRUE(Json::parse("{}")->is_object());
  EXPECT_EQ(dumped(" \t\r\n 1 \n"), "1");
}

TEST(JsonParse, RefusesAnythingAfterTheValue) {
  for (const char* text :
       {"1 2",        "1,",     "1]",          "1}",     "null null",  "nullx",
        "true false", "truex",  "\"a\" \"b\"", "\"a\"b", "\"a\",",     "[] []",
        "[]]",        "{}{}",   "{}}",         "[1] x",  "{\"a\":1},", "1 x",
        "-1 -",       "1.5 []", "null,",       "true]",  "false:",     "\"a\":1",
        "[]/**/",     "1 //",   "1],[2",       "1,2",    "1][",        "\"a\"],[\"b\""}) {
    EXPECT_EQ(dumped(text), "refused: not JSON") << text;
  }
}

TEST(JsonParse, RefusesWhatIsNearlyJson) {
  for (const char* text : {"",
                           " ",
                           "nul",
                           "nulL",
                           "tru",
                           "falsy",
                           "NaN",
                           "Infinity",
                           "+1",
                           "01",
                           "-01",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "-",
                           "0x1",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\udc00\\ud800\"",
                           "\"\t\"",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "[1",
                           "[",
                           "{",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:1}",
                           "{\"a\":1 \"b\":2}",
                           "{\"a\" 1}",
                           "[nul]",
                           "[nullx]",
                           "[truex]",
                           "[1x]",
                           "[-]",
                           "{\"a\":nul}",
                           "[\"a\" \"b\"]",
                           "[1e]",
                           "\"\xff\"",
                           "[\"\xed\xa0\x80\"]"}) {
    EXPECT_EQ(dumped(text), "refused: not JSON") << text;
  }
}

TEST(JsonParse, RefusesAKeyNamedTwice) {
  EXPECT_EQ(error_of(R"({"a":1,"b":2,"a":3})"), JsonError::DoubleKey);
  EXPECT_EQ(error_of(R"([{"b":{"a":1,"\u0061":1}}])"), JsonError::DoubleKey) << "escaped";
  EXPECT_EQ(error_of(R"({"":1,"":2})"), JsonError::DoubleKey);
  EXPECT_TRUE(Json::parse(R"({"a":{"a":1},"A":2})"));
}

TEST(JsonParse, CountsDepth) {
  EXPECT_TRUE(Json::parse(nested(64)));
  EXPECT_EQ(error_of(nested(65)), JsonError::TooDeep);
  EXPECT_EQ(error_of(std::string(500000, '[')), JsonError::TooDeep);
  JsonLimits limits;
  limits.depth_max = 1;
  EXPECT_TRUE(Json::parse("[1]", limits));
  EXPECT_EQ(error_of("[[]]", limits), JsonError::TooDeep);
  EXPECT_EQ(error_of("[{}]", limits), JsonError::TooDeep);
  limits.depth_max = 0;
  EXPECT_TRUE(Json::parse("1", limits));
  EXPECT_EQ(error_of("{}", limits), JsonError::TooDeep);
}

TEST(JsonParse, AcceptsMoreDepthThanTheDefaultWhereAsked) {
  JsonLimits limits;
  limits.depth_max = 1000;
  EXPECT_TRUE(Json::parse(nested(1000), limits));
  EXPECT_EQ(error_of(nested(1001), limits), JsonError::TooDeep);
}

TEST(JsonParse, CountsBytes) {
  JsonLimits limits;
  limits.bytes_max = 4;
  EXPECT_TRUE(Json::parse("1234", limits));
  EXPECT_EQ(error_of("12345", limits), JsonError::TooLarge);
  EXPECT_EQ(error_of(std::string((8U << 20) + 1, ' ')), JsonError::TooLarge);
}

TEST(JsonParse, CountsValues) {
  JsonLimits limits;
  limits.values_max = 3;
  EXPECT_TRUE(Json::parse("[1,2]", limits));
  EXPECT_EQ(error_of("[1,2,3]", limits), JsonError::TooLarge);
  EXPECT_EQ(error_of(R"({"a":[1,2]})", limits), JsonError::TooLarge);
}

TEST(JsonParse, KeepsTheTextOfNumbers) {
  for (const char* number :
       {"0", "-0", "1.0", "1.10", "1E5", "1e+05", "-0.0e-0", "123456789012345678901234567890",
        "18446744073709551616", "0.1000000000000000055511151231257827", "1e-400", "1e308"}) {
    EXPECT_EQ(dumped(number), number);
    EXPECT_EQ(dumped("[ " + std::string(number) + " ]"), "[" + std::string(number) + "]");
    EXPECT_EQ(dumped("{\"a\":" + std::string(number) + "\n}"),
              "{\"a\":" + std::string(number) + "}");
  }
}

TEST(JsonInteger, IsExactOrNothing) {
  EXPECT_EQ(Json::parse("9223372036854775807")->integer(), INT64_MAX);
  EXPECT_EQ(Json::parse("-9223372036854775808")->integer(), INT64_MIN);
  EXPECT_FALSE(Json::parse("9223372036854775808")->integer());
  EXPECT_FALSE(Json::parse("-9223372036854775809")->integer());
  EXPECT_FALSE(Json::parse("1.0")->integer());
  EXPECT_FALSE(Json::parse("1e3")->integer());
  EXPECT_FALSE(Json::parse("\"1\"")->integer());
  EXPECT_FALSE(Json::parse("true")->integer());
}

TEST(JsonAccess, GivesNothingForOtherTypes) {
  const Json object = *Json::parse(R"({"text":"t","count":7,"flag":true,"none":null,"list":[1]})");
  EXPECT_EQ(object.find_string("text"), "t");
  EXPECT_EQ(object.find_integer("count"), 7);
  EXPECT_EQ(object.find_boolean("flag"), true);
  EXPECT_TRUE(object.find("none")->is_null());
  EXPECT_EQ(object.find("list")->items().size(), 1U);
  EXPECT_EQ(object.members().size(), 5U);
  EXPECT_EQ(object.members()[1].first, "count");
  for (const char* key : {"count", "flag", "none", "list", "missing"}) {
    EXPECT_FALSE(object.find_string(key)) << key;
  }
  EXPECT_FALSE(object.find_integer("text"));
  EXPECT_FALSE(object.find_boolean("count"));
  EXPECT_EQ(object.find("missing"), nullptr);
  const Json array = *Json::parse("[1]");
  EXPECT_EQ(array.find("text"), nullptr);
  EXPECT_TRUE(array.members().empty());
  EXPECT_FALSE(array.string());
  EXPECT_FALSE(array.boolean());
  EXPECT_FALSE(array.number());
  EXPECT_TRUE(object.items().empty());
}

TEST(JsonString, Unescapes) {
  EXPECT_EQ(Json::parse(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00")")->string(),
            "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(Json::parse(R"("a\u0000b")")->string(), std::string_view("a\0b", 3));
}

TEST(AppendJsonString, EscapesAsJsonStringifyDoes) {
  std::string out;
  append_json_string(out, std::string_view("\0\x01\b\t\n\x0b\f\r\x1f \"\\/\x7f\xc2\x80", 16));
  EXPECT_EQ(out, "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \\\"\\\\/\x7f\xc2\x80\"");
}

// Many bytes at a time, and in blocks: each byte at each place of texts around those sizes.
TEST(AppendJsonString, WritesTheSameWhereverAByteStands) {
  for (const std::size_t size : {1U, 7U, 16U, 17U, 40U, 128U, 129U, 260U}) {
    for (std::size_t place = 0; place < size; ++place) {
      for (const char byte : {'"', '\\', '\n', '\x1f', ' ', '\x7f', '\xff', '#'}) {
        std::string text(size, '~');
        text[place] = byte;
        text.back() = text.back() == '~' ? '\t' : text.back();
        std::string expected = "\"";
        for (const char c : text) {
          std::string one;
          append_json_string(one, std::string_view(&c, 1));
          expected += one.substr(1, one.size() - 2);
        }
        expected += '"';
        std::string appended;
        append_json_string(appended, text);
        ASSERT_EQ(appended, expected) << size << " " << place;
        std::string written(json_room(size), '?');
        written.resize(
            static_cast<std::size_t>(write_json_string(written.data(), text) - written.data()));
        ASSERT_EQ(written, expected) << size << " " << place;
      }
    }
  }
}

TEST(JsonWriter, PutsCommasBetweenValuesOnly) {
  JsonWriter writer;
  writer.begin_object().key("t").string("ack").key("n").integer(-7).key("list").begin_array();
  writer.boolean(true).null().number(0.5).raw("[1,2]").begin_object().end_object();
  writer.begin_array().end_array().end_array().key("z").boolean(false).end_object();
  EXPECT_EQ(writer.text(), R"({"t":"ack","n":-7,"list":[true,null,0.5,[1,2],{},[]],"z":false})");
  EXPECT_EQ(dumped(writer.text()), writer.text());
}

TEST(JsonWriter, WritesNumbersThatReadBackTheSame) {
  for (const double value : {0.0, -0.0, 0.1, 1e300, 5e-324, 1.7976931348623157e308, 123456.789}) {
    JsonWriter writer;
    writer.number(value);
    EXPECT_EQ(Json::parse(writer.text())->number(), value);
  }
  EXPECT_DEATH(JsonWriter().number(std::numeric_limits<double>::infinity()), "CHECK failed");
  EXPECT_DEATH(JsonWriter().number(std::numeric_limits<double>::quiet_NaN()), "CHECK failed");
}

TEST(JsonDump, IsStable) {
  for (const char* text : {R"({"b":1,"a":[{"x":null},"\u0001\n"],"":{}})", "[[],{},\"\"]"}) {
    EXPECT_EQ(dumped(text), text);
  }
  EXPECT_EQ(dumped("{ \"b\" : [ 1 , 2 ] }"), R"({"b":[1,2]})");
}

TEST(JsonParse, AgreesWithJsonTestSuite) {
  REQUIRE_SHARED("vectors/json/test_parsing");
  int accepted = 0;
  int refused = 0;
  int either = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(test::shared_path("vectors/json/test_parsing"))) {
    const std::string name = file.path().filename().string();
    const std::string text = test::read_file(file.path());
    const auto parsed = Json::parse(text);
    if (name.starts_with("y_")) {
      // Valid by the grammar, which leaves doubled keys open; we refuse them.
      const bool doubled = name.starts_with("y_object_duplicated_key");
      EXPECT_EQ(parsed.has_value(), !doubled) << name;
      if (doubled) {
        EXPECT_EQ(parsed.error(), JsonError::DoubleKey) << name;
      }
      ++accepted;
    } else if (name.starts_with("n_")) {
      EXPECT_FALSE(parsed.has_value()) << name;
      ++refused;
    } else {
      ++either;
    }
    if (parsed) {
      EXPECT_EQ(dumped(parsed->dump()), parsed->dump()) << name;
    }
  }
  EXPECT_EQ(accepted, 95);
  EXPECT_EQ(refused, 188);
  EXPECT_EQ(either, 35);
}

TEST(JsonParse, AcceptsUtf8Only) {
  REQUIRE_SHARED("vectors/utf8/utf8_cases.json");
  const auto cases =
      Json::parse(test::read_file(test::shared_path("vectors/utf8/utf8_cases.json")));
  ASSERT_TRUE(cases);
  ASSERT_EQ(cases->items().size(), 55U);
  for (const Json& entry : cases->items()) {
    const Bytes bytes = *decode_hex(*entry.find_string("hex"));
    std::string text = "[";
    append_json_string(text, as_text(bytes));
    text += "]";
    const auto parsed = Json::parse(text);
    EXPECT_EQ(parsed.has_value(), *entry.find_boolean("valid")) << *entry.find_string("name");
    if (parsed) {
      EXPECT_EQ(parsed->items()[0].string(), as_text(bytes));
    }
  }
}

}  // namespace

}  // namespace nostril
