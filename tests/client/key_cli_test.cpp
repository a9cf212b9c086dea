// `nostril key`, run as a process: passphrases from files, variables and a terminal.
#include "client/key_file.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace nostril::client {
namespace {

namespace fs = std::filesystem;
using nostril::test::Process;
using nostril::test::run_at_terminal;
using nostril::test::TerminalOutcome;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  int exit = -1;
  std::string output;
};

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

class KeyCli : public ::testing::Test {
 protected:
  KeyCli() {
    forget();
    std::ofstream(passphrases_) << "caf\xC3\xA9 noir\nnot this line\n";
    fs::permissions(passphrases_, fs::perms::owner_read | fs::perms::owner_write);
  }

  ~KeyCli() override { forget(); }

  static void forget() {
    for (const char* name : {"NOSTRIL_PASSPHRASE", "NOSTRIL_PASSPHRASE_FILE",
                             "NOSTRIL_NEW_PASSPHRASE", "NOSTRIL_NEW_PASSPHRASE_FILE"}) {
      unsetenv(name);
    }
  }

  void use_passphrase_file() const { setenv("NOSTRIL_PASSPHRASE_FILE", passphrases_.c_str(), 1); }

  static std::vector<std::string> command(const std::vector<std::string>& words) {
    std::vector<std::string> out = {nostril::test::program("nostril"), "key"};
    out.insert(out.end(), words.begin(), words.end());
    return out;
  }

  /// Standard error goes to the output, too. There is no terminal.
  static Outcome run(const std::vector<std::string>& words, const std::string& input = {}) {
    std::vector<std::string> all = {"/bin/sh", "-c", "exec setsid -w \"$0\" \"$@\" 2>&1"};
    const auto own = command(words);
    all.insert(all.end(), own.begin(), own.end());
    Process process(all, input);
    Outcome out;
    out.output = process.read_all();
    out.exit = process.wait().value_or(-1);
    return out;
  }

  std::vector<std::string> new_encrypted() const {
    return {"new", "--encrypt", "--scrypt-log-n", "4", file_};
  }

  const nostril::test::TempDir temp_;
  const std::string file_ = (temp_.path() / "key").string();
  const fs::path passphrases_ = temp_.path() / "passphrase";
};

TEST_F(KeyCli, MakesAnEncryptedKeyThatItsPassphraseOpens) {
  use_passphrase_file();
  const Outcome made = run(new_encrypted());
  ASSERT_EQ(made.exit, 0) << made.output;
  EXPECT_THAT(text_of(file_), StartsWith("ncryptsec1"));

  struct stat status {};

  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(run({"show", file_}).output, made.output);
  // The same passphrase from another keyboard: e and a combining accent.
  unsetenv("NOSTRIL_PASSPHRASE_FILE");
  setenv("NOSTRIL_PASSPHRASE", "cafe\xCC\x81 noir", 1);
  EXPECT_EQ(run({"show", file_}).output, made.output);
}

TEST_F(KeyCli, SaysThatThePassphraseIsWrong) {
  use_passphrase_file();
  ASSERT_EQ(run(new_encrypted()).exit, 0);
  unsetenv("NOSTRIL_PASSPHRASE_FILE");
  setenv("NOSTRIL_PASSPHRASE", "guessed", 1);
  const Outcome refused = run({"show", file_});
  EXPECT_EQ(refused.exit, 1);
  EXPECT_THAT(refused.output, HasSubstr("wrong passphrase"));
}

TEST_F(KeyCli, RefusesAPassphraseFileThatOthersMayRead) {
  fs::permissions(passphrases_, fs::perms::group_read, fs::perm_options::add);
  use_passphrase_file();
  const Outcome refused = run(new_encrypted());
  EXPECT_EQ(refused.exit, 1);
  EXPECT_THAT(refused.output, HasSubstr("others may read"));
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(KeyCli, NeedsSomebodyToAskForThePassphrase) {
  use_passphrase_file();
  ASSERT_EQ(run(new_encrypted()).exit, 0);
  forget();
  const Outcome refused = run({"show", file_});
  EXPECT_EQ(refused.exit, 1);
  EXPECT_THAT(refused.output, HasSubstr("NOSTRIL_PASSPHRASE_FILE"));
}

TEST_F(KeyCli, EncryptsInPlaceAndBack) {
  const Outcome made = run({"new", file_});
  ASSERT_EQ(made.exit, 0);
  const std::string plain = text_of(file_);
  use_passphrase_file();
  EXPECT_EQ(run({"encrypt", "--scrypt-log-n", "4", file_}).exit, 0);
  EXPECT_THAT(text_of(file_), StartsWith("ncryptsec1"));
  setenv("NOSTRIL_NEW_PASSPHRASE", "another", 1);
  EXPECT_EQ(run({"encrypt", "--scrypt-log-n", "4", file_}).exit, 0);
  EXPECT_EQ(run({"show", file_}).exit, 1) << "the old passphrase";
  unsetenv("NOSTRIL_PASSPHRASE_FILE");
  setenv("NOSTRIL_PASSPHRASE", "another", 1);
  EXPECT_EQ(run({"show", file_}).output, made.output);
  EXPECT_EQ(run({"decrypt", file_}).exit, 0);
  EXPECT_EQ(text_of(file_), plain);
}

TEST_F(KeyCli, GoesToAnotherMachineAsNcryptsec) {
  const Outcome made = run({"new", file_});
  use_passphrase_file();
  const Outcome exported = run({"export", "--scrypt-log-n", "4", file_});
  ASSERT_EQ(exported.exit, 0);
  EXPECT_THAT(exported.output, StartsWith("ncryptsec1"));
  const std::string there = (temp_.path() / "there").string();
  EXPECT_EQ(run({"import", there}, exported.output).output, made.output);
  EXPECT_EQ(text_of(there), exported.output) << "still under its passphrase";
  EXPECT_EQ(run({"import", there}, exported.output).exit, 1) << "never overwrites";
  EXPECT_EQ(run({"export", "--nsec", there}).output, text_of(file_));
  EXPECT_EQ(run({"import", (temp_.path() / "bad").string()}, "nsec1qqqq\n").exit, 1);
}

TEST_F(KeyCli, AsksAtTheTerminalWithoutShowingWhatIsTyped) {
  const TerminalOutcome differ =
      run_at_terminal(command(new_encrypted()), {{": ", "sesame\n"}, {": ", "sesam\n"}});
  EXPECT_EQ(differ.exit, 1);
  EXPECT_THAT(differ.output, HasSubstr("differ"));
  EXPECT_FALSE(fs::exists(file_));
  // Erased letters and an erased line do not count.
  const TerminalOutcome made = run_at_terminal(
      command(new_encrypted()), {{": ", "sesaxx\x7f\x7fme\n"}, {": ", "wrong\x15sesame\n"}});
  EXPECT_EQ(made.exit, 0) << made.output;
  EXPECT_THAT(made.output, HasSubstr("new passphrase for"));
  EXPECT_THAT(made.output, Not(HasSubstr("ses")));
  const TerminalOutcome stopped = run_at_terminal(command({"show", file_}), {{": ", "ses\x03"}});
  EXPECT_EQ(stopped.exit, 1);
  EXPECT_THAT(run_at_terminal(command({"show", file_}), {{": ", "sesame\n"}}).output,
              HasSubstr("npub1"));
}

}  // namespace
}  // namespace nostril::client
