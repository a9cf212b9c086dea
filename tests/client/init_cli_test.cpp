// `nostril init` at a terminal, as somebody new to it meets it: what he types wrong is said and
// asked again, and nothing is written before the last answer. Against a relay:
// tests/e2e/newcomer.test.mjs.
#include "client/key_file.h"
#include "client/private_file.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

namespace fs = std::filesystem;
using nostril::test::run_at_terminal;
using nostril::test::TerminalOutcome;
using nostril::test::TypedLine;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kRelays = "Relays (ws://… or wss://…, several parted by spaces): ";
constexpr const char* kBudget = "base units [1000000]: ";
constexpr const char* kLevel = "Level [declared]: ";
constexpr const char* kIdentity = "(none is fine): ";
constexpr const char* kEncrypt = "(y/n) [n]: ";
constexpr const char* kRelay = "ws://127.0.0.1:1\n";

class InitCli : public ::testing::Test {
 protected:
  InitCli() {
    for (const char* name : {"NOSTRIL_PASSPHRASE", "NOSTRIL_PASSPHRASE_FILE",
                             "NOSTRIL_NEW_PASSPHRASE", "NOSTRIL_NEW_PASSPHRASE_FILE"}) {
      unsetenv(name);
    }
  }

  TerminalOutcome init(const std::vector<TypedLine>& lines,
                       const std::vector<std::string>& more = {"--no-check"}) const {
    std::vector<std::string> command = {test::program("nostril"), "init", "--home", home_};
    command.insert(command.end(), more.begin(), more.end());
    return run_at_terminal(command, lines);
  }

  std::string text_of(const char* name) const {
    const auto text = read_whole_file(fs::path(home_) / name, 65'536);
    EXPECT_TRUE(text) << name;
    return text.value_or("");
  }

  unsigned mode_of(const fs::path& file) const {
    struct stat status {};

    EXPECT_EQ(stat(file.c_str(), &status), 0) << file;
    return status.st_mode & 0777U;
  }

  const test::TempDir temp_;
  const std::string home_ = (temp_.path() / "home").string();
};

TEST_F(InitCli, AsksAgainAndSaysWhyUntilEachAnswerIsOne) {
  const fs::path loose = temp_.path() / "loose.nsec";
  std::ofstream(loose) << "nsec1nothing\n";
  fs::permissions(loose, fs::perms::owner_read | fs::perms::others_read);
  const TerminalOutcome out = init({
      {kRelays, "\n"},
      {"one at least", ""},
      {kRelays, "https://relay.example\n"},
      {"https://relay.example: a relay is ws://HOST", ""},
      {kRelays, "ws://127.0.0.1:1, wss://relay.example\n"},
      {kBudget, "-5\n"},
      {"-5: not a whole number, 0 or above", ""},
      {kBudget, "1e6\n"},
      {kBudget, "2000\n"},
      {"auditable  and its answers can be repeated", ""},
      {kLevel, "best\n"},
      {"best: none of the four", ""},
      {kLevel,
       "imagx\x7f"
       "e\n"},  // the terminal's own editing
      {kIdentity, "/nowhere/key\n"},
      {"/nowhere/key: ", ""},
      {kIdentity, loose.string() + "\n"},
      {"loose.nsec: ", ""},
      {kIdentity, "bunker://nobody?secret=swordfish\n"},
      {"not a bunker://KEY?relay=wss://… URL", ""},
      {kIdentity, "\n"},
      {kEncrypt, "maybe\n"},
      {"maybe: y or n, please", ""},
      {kEncrypt, "YES\n"},
      {"new passphrase for ", "correct horse\n"},
      {"the same again: ", "correct house\n"},
      {"the two differ; new passphrase for ", "correct horse\n"},
      {"the same again: ", "correct horse\n"},
  });
  ASSERT_EQ(out.exit, 0) << out.output;
  EXPECT_THAT(out.output, HasSubstr("next: nostril chat --home " + home_));
  EXPECT_THAT(out.output, Not(HasSubstr("correct ho"))) << "shown while typed";
  EXPECT_EQ(mode_of(home_), 0700U);
  for (const char* name : {"config.toml", "policy.toml", "payment.nsec"}) {
    EXPECT_EQ(mode_of(fs::path(home_) / name), 0600U) << name;
  }
  EXPECT_THAT(text_of("config.toml"), HasSubstr("\nbudget = 2000\n"));
  EXPECT_THAT(text_of("config.toml"), HasSubstr("wss://relay.example"));
  EXPECT_THAT(text_of("config.toml"), Not(HasSubstr("nowhere")));
  EXPECT_THAT(text_of("policy.toml"), HasSubstr("level_min = \"image\""));
  EXPECT_THAT(text_of("payment.nsec"), StartsWith("ncryptsec1"));
  EXPECT_TRUE(read_key_file(fs::path(home_) / "payment.nsec", [](const std::string&) {
    return Result<Passphrase, std::string>(*Passphrase::from("correct horse"));
  }));
}

TEST_F(InitCli, EnterTakesWhatIsShownAndChecksWhatItCan) {
  const TerminalOutcome out = init(
      {{kRelays, kRelay}, {kBudget, "\n"}, {kLevel, "\n"}, {kIdentity, "\n"}, {kEncrypt, "\n"}},
      {});
  ASSERT_EQ(out.exit, 0) << out.output;
  EXPECT_THAT(out.output, HasSubstr("ws://127.0.0.1:1"));
  EXPECT_THAT(out.output, HasSubstr("can be mended later; the files are written"));
  EXPECT_THAT(text_of("config.toml"), HasSubstr("\nbudget = 1000000\n"));
  EXPECT_THAT(text_of("payment.nsec"), StartsWith("nsec1"));
}

TEST_F(InitCli, WritesNothingWhenItIsLeft) {
  const TerminalOutcome ended = init({{kRelays, kRelay}, {kBudget, "\x04"}});
  EXPECT_EQ(ended.exit, 1);
  EXPECT_THAT(ended.output, HasSubstr("the input has ended; nothing was written"));
  EXPECT_FALSE(fs::exists(home_));
  const TerminalOutcome cut = init({{kRelays, kRelay}, {kBudget, "7\n"}, {kLevel, "\x03"}});
  EXPECT_EQ(cut.exit, 128 + SIGINT);
  EXPECT_FALSE(fs::exists(home_));
  const TerminalOutcome late = init({{kRelays, kRelay},
                                     {kBudget, "\n"},
                                     {kLevel, "\n"},
                                     {kIdentity, "\n"},
                                     {kEncrypt, "y\n"},
                                     {"new passphrase for ", "\x03"}});
  EXPECT_EQ(late.exit, 1) << late.output;
  EXPECT_FALSE(fs::exists(fs::path(home_) / "config.toml"));
  EXPECT_FALSE(fs::exists(fs::path(home_) / "payment.nsec"));
}

TEST_F(InitCli, SaysBeforeTheQuestionsWhereItCanNotWrite) {
  std::ofstream(home_) << "a file\n";
  const TerminalOutcome out = init({});
  EXPECT_EQ(out.exit, 1);
  EXPECT_THAT(out.output, HasSubstr("can't write there"));
  EXPECT_THAT(out.output, Not(HasSubstr("Relays")));
}

}  // namespace
}  // namespace nostril::client
