#include "base/command_tree.h"
#include "base/completion.h"
#include "base/man_page.h"

#include <CLI/CLI.hpp>
#include <gtest/gtest.h>

#include <string>

namespace nostril {
namespace {

using testing::Test;

/// A program with each form of option that ours have.
class ProgramPages : public Test {
 protected:
  ProgramPages() : app_("sells tea…\n.hot") {
    app_.set_version_flag("--version", "teapot 1.2");
    app_.add_option("--log", text_, "how much")->capture_default_str();
    auto* brew = app_.add_subcommand("brew", "make it; isn't slow");
    brew->add_option("-s,--sort", text_, "which: a\\b")
        ->check(CLI::IsMember(std::vector<std::string>{"green", "black"}))
        ->required()
        ->envname("TEA");
    brew->add_flag("--hot", flag_);
    auto* group = brew->add_option_group("water", "of where");
    group->add_option("--well", text_, "file");
    brew->add_option("cups", cups_, "how many")->required();
    brew->footer("Exit status: 7 it's cold.");
    auto* pot = brew->add_subcommand("pot", "the pot");
    pot->add_subcommand("clean", "inside");
  }

  [[nodiscard]] CommandTree tree() const { return command_tree(app_, "tea-pot"); }

  CLI::App app_;
  std::string text_ = "low";
  bool flag_ = false;
  std::vector<int> cups_;
};

const CommandOption& option(const CommandTree& command, const std::string& name) {
  for (const CommandOption& one : command.options) {
    if (one.value == name || std::ranges::find(one.names, name) != one.names.end()) return one;
  }
  throw std::runtime_error("no " + name);
}

TEST_F(ProgramPages, TheTreeIsWhatWasDeclared) {
  const CommandTree program = tree();
  ASSERT_EQ(program.commands.size(), 1U);
  const CommandTree& brew = program.commands[0];
  EXPECT_EQ(brew.path, "tea-pot brew");
  EXPECT_EQ(brew.name(), "brew");
  EXPECT_EQ(option(program, "--log").initial, "low");
  const CommandOption& sort = option(brew, "--sort");
  EXPECT_EQ(sort.names, (std::vector<std::string>{"-s", "--sort"}));
  EXPECT_EQ(sort.choices, (std::vector<std::string>{"green", "black"}));
  EXPECT_EQ(sort.environment, "TEA");
  EXPECT_TRUE(sort.takes_value() && sort.is_required && !sort.repeats);
  EXPECT_FALSE(option(brew, "--hot").takes_value());
  EXPECT_TRUE(option(brew, "--well").takes_value());  // of a group
  const CommandOption& cups = option(brew, "cups");
  EXPECT_TRUE(cups.is_positional() && cups.is_required && cups.repeats);
  ASSERT_EQ(brew.commands.size(), 1U);
  EXPECT_EQ(brew.commands[0].commands[0].path, "tea-pot brew pot clean");
}

TEST_F(ProgramPages, TheManualHasEveryWordInAscii) {
  const std::string page = man_page(tree(), "teapot 1.2");
  EXPECT_EQ(page.find_first_of("\x80\xff"), std::string::npos);
  for (const char* part :
       {".TH TEA\\-POT 1 \"\" \"teapot 1.2\"", "sells tea\\[u2026]\n.br\n\\&.hot",
        "\\fB\\-s\\fR, \\fB\\-\\-sort\\fR \\fITEXT\\fR\nwhich: a\\eb; one of green, black; else of "
        "$TEA; required",
        ".SS \\fBtea\\-pot brew pot clean\\fR", "\\fICUPS\\fR...", "how much; default: low",
        "\n.PP\nExit status: 7 it's cold.\n.SS",
        ".SH ENVIRONMENT\n.TP\n\\fBTEA\\fR\nin place of \\fB\\-\\-sort\\fR"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part << "\n" << page;
  }
}

TEST_F(ProgramPages, ScriptsQuoteWhatTheDescriptionsSay) {
  EXPECT_NE(completion_script(tree(), "zsh").find(R"('brew:make it; isn'\''t slow')"),
            std::string::npos);
  EXPECT_NE(completion_script(tree(), "fish").find(R"(-d 'which: a\\b')"), std::string::npos);
  EXPECT_NE(completion_script(tree(), "bash").find("complete -o bashdefault -o default"),
            std::string::npos);
}

TEST_F(ProgramPages, TheCommandsPrintAndEnd) {
  add_program_pages(app_, "tea-pot");
  testing::internal::CaptureStdout();
  EXPECT_THROW(app_.parse("completion fish"), CLI::Success);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), completion_script(tree(), "fish"));
  EXPECT_THROW(app_.parse("completion csh"), CLI::ValidationError);
  testing::internal::CaptureStdout();
  EXPECT_THROW(app_.parse("man"), CLI::Success);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), man_page(tree(), "teapot 1.2"));
}

/// What a program does with a command line: its status, or nothing where it goes on.
class CommandLine : public ProgramPages {
 protected:
  std::optional<int> status_of(std::vector<const char*> words) {
    words.insert(words.begin(), "tea-pot");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const auto status = parse_command_line(app_, static_cast<int>(words.size()), words.data());
    printed_ = testing::internal::GetCapturedStdout();
    complained_ = testing::internal::GetCapturedStderr();
    return status;
  }

  std::string printed_;
  std::string complained_;
};

TEST_F(CommandLine, WhatIsWrongEndsWithTwo) {
  using Words = std::vector<const char*>;
  for (const Words& words :
       {Words{"--nonsense"}, Words{"boil"}, Words{"brew"}, Words{"brew", "--sort"},
        Words{"brew", "--sort", "white", "1"}, Words{"brew", "--sort", "green", "many"},
        Words{"brew", "--sort", "green", "1", "--log", "a", "--log", "b"}}) {
    EXPECT_EQ(status_of(words), kWrongUsageStatus) << words.back();
    EXPECT_EQ(printed_, "");
    EXPECT_NE(complained_.find("--help"), std::string::npos) << complained_;
  }
}

TEST_F(CommandLine, WhatWasAskedForEndsWithZeroAndAllElseGoesOn) {
  add_program_pages(app_, "tea-pot");
  for (const char* word : {"--help", "--version", "man"}) {
    EXPECT_EQ(status_of({word}), 0) << word;
    EXPECT_NE(printed_, "") << word;
    EXPECT_EQ(complained_, "") << word;
  }
  EXPECT_EQ(status_of({"brew", "--sort", "green", "1"}), std::nullopt);
  EXPECT_EQ(complained_, "");
}

TEST_F(CommandLine, HelpAndManualSayWhatTheStatusMeans) {
  add_program_pages(app_, "tea-pot");
  (void)status_of({"--help"});
  EXPECT_NE(printed_.find("Exit status: 0 done, 1 an error, 2 the command line is wrong"),
            std::string::npos)
      << printed_;
  (void)status_of({"man"});
  EXPECT_NE(printed_.find(".SH EXIT STATUS\nExit status: 0 done"), std::string::npos) << printed_;
}

TEST_F(CommandLine, ACommandIsNeededOrWhatStandsForIt) {
  bool prints = false;
  require_command(app_, *app_.add_flag("--print", prints));
  EXPECT_EQ(status_of({}), kWrongUsageStatus);
  EXPECT_NE(complained_.find("A command is required"), std::string::npos) << complained_;
  EXPECT_EQ(status_of({"--print"}), std::nullopt);
  EXPECT_EQ(status_of({"brew", "--sort", "green", "1"}), std::nullopt);
}

}  // namespace
}  // namespace nostril
