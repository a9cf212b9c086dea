// Other programs' files: what was there stays, what is ours comes and goes.
#include "client/apps/app_files.h"

#include "client/apps/app_list.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace nostril::client::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

JsonPart json_part() {
  return {*Json::parse(R"({"provider":{"nostril":{"url":"here","n":1.50}}})"),
          {{"provider", "nostril"}},
          {"provider", "nostril", "url"},
          "here"};
}

LinePart line_part() {
  return {{"model: ours"}, {"model"}, ':', "", {}};
}

LinePart list_part() {
  return {{"- name: ours", "  provider: openai"}, {}, ':', "models", {"name: mine"}};
}

TEST(JsonFile, KeepsWhatIsThereInItsOrder) {
  const auto text = with_part(
      R"({"theme":"dark","provider":{"other":{"big":12345678901234567890}},"list":[1,[]],"o":{}})",
      json_part());
  ASSERT_TRUE(text) << text.error();
  EXPECT_EQ(*text, R"({
  "theme": "dark",
  "provider": {
    "other": {
      "big": 12345678901234567890
    },
    "nostril": {
      "url": "here",
      "n": 1.50
    }
  },
  "list": [
    1,
    []
  ],
  "o": {}
}
)");
  EXPECT_EQ(*with_part(*text, json_part()), *text) << "twice is once";
  EXPECT_TRUE(has_part(*text, json_part()));
}

TEST(JsonFile, GivesBackWhatWasThere) {
  const std::string before = "{\n  \"provider\": {\n    \"other\": 1\n  }\n}\n";
  const auto with = with_part(before, json_part());
  ASSERT_TRUE(with);
  EXPECT_EQ(*without_part(*with, json_part()), before);
  EXPECT_EQ(*without_part(*with_part("", json_part()), json_part()), "{}\n");
  EXPECT_FALSE(has_part(before, json_part()));
}

TEST(JsonFile, IsNotTouchedWhenSomethingWouldBeLost) {
  for (const char* text : {"{\n// mine\n}", "{\"a\":1,}", "[]", "{\"a\":1,\"a\":2}", "nonsense"}) {
    EXPECT_FALSE(with_part(text, json_part())) << text;
    EXPECT_FALSE(without_part(text, json_part())) << text;
    EXPECT_FALSE(has_part(text, json_part())) << text;
  }
}

TEST(JsonFile, IsNotTouchedWhereAnothersValueStands) {
  for (const char* text : {R"({"provider":{"nostril":{"url":"theirs"}}})", R"({"provider":"none"})",
                           R"({"provider":{"nostril":1}})"}) {
    EXPECT_FALSE(with_part(text, json_part())) << text;
    EXPECT_FALSE(has_part(text, json_part())) << text;
  }
  EXPECT_EQ(*without_part(R"({"provider":"none"})", json_part()),
            "{\n  \"provider\": \"none\"\n}\n");
}

TEST(JsonFile, HasNothingOfAnEarlierPart) {
  const auto text = with_part(
      R"({"provider":{"nostril":{"url":"here, before","gone":[]},"last":1}})", json_part());
  ASSERT_TRUE(text) << text.error();
  EXPECT_THAT(*text, Not(HasSubstr("gone")));
  EXPECT_LT(text->find("nostril"), text->find("last")) << "where it was";
}

TEST(LineFile, KeepsEveryLineAndComment) {
  const std::string before = "# my notes\ndark-mode: true  # yes\n";
  const auto with = with_part(before, line_part());
  ASSERT_TRUE(with) << with.error();
  EXPECT_THAT(*with, ::testing::StartsWith(before));
  EXPECT_THAT(*with, HasSubstr("\nmodel: ours\n"));
  EXPECT_EQ(*with_part(*with, line_part()), *with) << "twice is once";
  EXPECT_EQ(*without_part(*with, line_part()), before);
  EXPECT_TRUE(has_part(*with, line_part()));
  EXPECT_FALSE(has_part(before, line_part()));
}

TEST(LineFile, IsNotTouchedWhenAKeyWouldStandTwice) {
  for (const char* text : {"model: theirs\n", "\"model\": theirs\n", "'model' : theirs\n"}) {
    EXPECT_FALSE(with_part(text, line_part())) << text;
  }
  EXPECT_TRUE(with_part("models: theirs\n", line_part()));
  EXPECT_TRUE(with_part("# model: theirs\n", line_part()));
  EXPECT_FALSE(with_part("a: b\r\n", line_part()));
  EXPECT_FALSE(with_part("# nostril: begin\nmodel: ours\n", line_part())) << "its end is missing";
}

TEST(LineFile, IsNotTouchedWhenLinesWouldNotBelongToIt) {
  for (const char* text : {"  a: b\n", "{a: b}\n", "- a\n", "a: b\n---\nc: d\n", "a: b\n...\n"}) {
    EXPECT_FALSE(with_part(text, line_part())) << text;
  }
  EXPECT_TRUE(with_part("# mine\n---\na: b\n", line_part()));
}

TEST(YamlList, GetsItemsUnderItsName) {
  const std::string before = "name: c\nmodels:\n    # first\n    - name: theirs\nrules: []\n";
  const auto with = with_part(before, list_part());
  ASSERT_TRUE(with) << with.error();
  EXPECT_THAT(*with, HasSubstr("\n    - name: ours\n      provider: openai\n"));
  EXPECT_EQ(*without_part(*with, list_part()), before);
  EXPECT_THAT(*with_part("models:\n- name: theirs\n", list_part()), HasSubstr("\n- name: ours\n"));
  EXPECT_THAT(*with_part("name: c\n", list_part()), HasSubstr("\nmodels:\n  - name: ours\n"));
  EXPECT_THAT(*with_part("", list_part()), ::testing::StartsWith("name: mine\n"));
  EXPECT_FALSE(with_part("models: []\n", list_part())) << "in one line";
  EXPECT_FALSE(with_part("models:\n  a: b\n", list_part())) << "no list";
  EXPECT_THAT(with_part("models:\n    -\n      name: theirs\n", list_part()).value_or(""),
              HasSubstr("\n    - name: ours\n"));
  EXPECT_THAT(with_part("\"models\":\nrules: []\n", list_part()).value_or(""),
              HasSubstr("\"models\":\n  # nostril: begin"));
}

TEST(Applications, AreAllWrittenAndTakenOutAgain) {
  const nostril::test::TempDir temp;
  const AppPlaces places{temp.path(), temp.path() / "config", temp.path() / "nostril"};
  const AppTarget target{
      "http://127.0.0.1:8788", "nk-secret", {{"a/model:\"x\"", 8192, 1024, true}}};
  for (const std::string_view name : app_names()) {
    const auto plan = plan_for(name, places, target);
    ASSERT_TRUE(plan) << name;
    std::string all;
    for (const AppFile& file : plan->files) {
      const auto with = std::visit([](const auto& part) { return with_part("", part); }, file.part);
      ASSERT_TRUE(with) << name << ": " << with.error();
      all += *with;
      const auto without =
          std::visit([&](const auto& part) { return without_part(*with, part); }, file.part);
      ASSERT_TRUE(without);
      EXPECT_THAT(*without, Not(HasSubstr("nk-secret"))) << name;
    }
    EXPECT_THAT(all, HasSubstr("http://127.0.0.1:8788")) << name;
    EXPECT_THAT(all, HasSubstr("nk-secret")) << name;
  }
  EXPECT_FALSE(plan_for("emacs", places, target));
}

}  // namespace
}  // namespace nostril::client::apps
