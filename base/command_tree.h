#pragma once

#include <optional>
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's
class App;
class Option;
}  // namespace CLI

namespace nostril {

/// An option or a positional argument of a command.
struct CommandOption {
  std::vector<std::string> names;  ///< "--relay", "-r"; empty: positional
  std::string value;               ///< what stands for its value; empty: a flag
  std::string about;
  std::vector<std::string> choices;  ///< when only these are taken
  std::string initial;               ///< its value when it is not given, where that is shown
  std::string environment;           ///< variable that is read when it is not given
  bool is_required = false;
  bool repeats = false;

  [[nodiscard]] bool is_positional() const { return names.empty(); }

  [[nodiscard]] bool takes_value() const { return !value.empty(); }
};

/// A command with all below it, as shells (completion.h) and manuals (man_page.h) want it.
struct CommandTree {
  std::string path;  ///< "nostril key new"
  std::string about;
  std::string exit_status;             ///< what its --help ends with: what the status means
  std::vector<CommandOption> options;  ///< as declared; option groups are dissolved
  std::vector<CommandTree> commands;

  [[nodiscard]] std::string name() const { return path.substr(path.rfind(' ') + 1); }
};

/// What the program `name` declared.
[[nodiscard]] CommandTree command_tree(const CLI::App& app, const std::string& name);

/// Adds `completion SHELL` and `man` to a program; they print and end the parsing with
/// CLI::Success. `app` is borrowed as long as it parses.
void add_program_pages(CLI::App& app, const std::string& name);

/// The program does nothing without a command, or `instead` of one.
void require_command(CLI::App& app, const CLI::Option& instead);

/// What every program and command of ours ends with when its command line is wrong, as shells and
/// most programs do. 0 is done and 1 an error everywhere; what else a command has to tell a script
/// its --help says.
inline constexpr int kWrongUsageStatus = 2;

/// Reads the command line. Nothing: go on. Else the status to end with: 0 after --help, --version
/// and the pages above, kWrongUsageStatus after what is wrong was said on standard error.
[[nodiscard]] std::optional<int> parse_command_line(CLI::App& app, int argc,
                                                    const char* const* argv);

}  // namespace nostril
