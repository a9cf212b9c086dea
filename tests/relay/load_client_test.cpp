// The benchmark's load client against a real relay: a measurement that no longer runs is a broken
// promise. What it asks and how is its own; here only that every answer is a figure.
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <map>

namespace nostril::relay::test {
namespace {

constexpr std::chrono::seconds kLoadWaitMax{100};

bool is_figure(std::string_view name) {
  return name.ends_with("_us") || name.ends_with("_per_s") || name == "per_s";
}

TEST(LoadClient, AnswersEveryQuestionWithPositiveFigures) {
  const TempDir dir;
  RelayProcess relay(dir.path());
  const std::string pid = fmt::format("{}", relay.process().pid());
  nostril::test::Process client(
      {nostril::test::program("nostril-bench-relay"), relay.url(), pid, "--quick"});

  std::map<std::string, std::size_t> figures;  // by question
  while (const auto line = client.read_line(kLoadWaitMax)) {
    const auto json = Json::parse(*line);
    ASSERT_TRUE(json) << *line;
    std::size_t& count = figures[std::string(json->find_string("question").value_or(""))];
    for (const auto& [name, value] : json->members()) {
      if (!is_figure(name)) continue;
      EXPECT_GT(value.number().value_or(0), 0) << *line;
      ++count;
    }
  }
  EXPECT_EQ(client.wait(), 0);
  EXPECT_GE(figures.size(), 5U);
  for (const auto& [question, count] : figures) EXPECT_GT(count, 0U) << question;
  relay.process().signal(SIGTERM);
  EXPECT_EQ(relay.process().wait(), 0);
}

}  // namespace
}  // namespace nostril::relay::test
