#include "face/canonical_json.h"

#include "tests/face/keys.h"

#include <limits>
#include <utility>
#include <vector>

namespace nostril::face {

namespace {

std::string canonical(std::string_view text) {
  return canonical_json(test::parsed(text)).value_or("none");
}

TEST(CanonicalJson, SortsMembersByUtf16CodeUnits) {
  // RFC 8785 3.2.3, and two names whose UTF-8 order is the other way round.
  EXPECT_EQ(
      canonical(R"({"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7})"),
      "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"\u00f6\":7,\"\u20ac\":1,\"\U0001F600\":5,\"\ufb33\":3}");
  EXPECT_EQ(canonical(R"({"b":{"z":1,"a":[{"d":1,"c":2}]},"":0,"a":1,"ab":2})"),
            R"({"":0,"a":1,"ab":2,"b":{"a":[{"c":2,"d":1}],"z":1}})");
}

TEST(CanonicalJson, WritesStringsAsJavaScriptDoes) {
  EXPECT_EQ(canonical(R"(["\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\u007f"])"),
            "[\"\u20ac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\x7f\"]");
}

TEST(CanonicalJson, WritesNumbersAsJavaScriptDoes) {
  const std::vector<std::pair<double, std::string_view>> kCases{
      {0, "0"},
      {-0.0, "0"},
      {1, "1"},
      {-1.5, "-1.5"},
      {100, "100"},
      {0.1, "0.1"},
      {1e21, "1e+21"},
      {1e20, "100000000000000000000"},
      {123456789012345680000.0, "123456789012345680000"},
      {0.000001, "0.000001"},
      {0.0000001, "1e-7"},
      {-1.25e-7, "-1.25e-7"},
      {9007199254740992.0, "9007199254740992"},
      {333333333.33333329, "333333333.3333333"},
      {5e-324, "5e-324"},
      {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
      {4.35, "4.35"},
      {1e23, "1e+23"},
      {12345.678, "12345.678"},
  };
  for (const auto& [number, text] : kCases) EXPECT_EQ(ecmascript_number(number), text);
  EXPECT_EQ(canonical("[1.0,1e3,4.50,2e-3,-0]"), "[1,1000,4.5,0.002,0]");
}

TEST(CanonicalJson, RefusesIntegersThatReadersRound) {
  EXPECT_EQ(canonical("[9007199254740992,-9007199254740994]"),
            "[9007199254740992,-9007199254740994]");
  EXPECT_EQ(canonical("[9007199254740993]"), "none");
  EXPECT_EQ(canonical("[-12345678901234567890]"), "none");
  EXPECT_EQ(canonical("1" + std::string(300, '0')), "none");
  EXPECT_EQ(canonical("1e20"), canonical("100000000000000000000"));
  EXPECT_EQ(canonical("[1e300]"), "[1e+300]");
}

TEST(CanonicalJson, LeavesOutAMemberOfTheOutermostObjectOnly) {
  EXPECT_EQ(canonical_json_without(test::parsed(R"({"s":1,"b":{"s":2},"a":3})"), "s"),
            R"({"a":3,"b":{"s":2}})");
  EXPECT_FALSE(canonical_json_without(test::parsed("[1]"), "s"));
}

}  // namespace

}  // namespace nostril::face
