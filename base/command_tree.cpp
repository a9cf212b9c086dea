#include "base/command_tree.h"

#include "base/completion.h"
#include "base/man_page.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace nostril {

namespace {

constexpr const char* kShells[] = {"bash", "zsh", "fish"};
constexpr const char* kExitStatus =
    "Exit status: 0 done, 1 an error, 2 the command line is wrong; some commands have more, see "
    "their --help.";

// CLI11 says "TEXT:{bash,zsh,fish}" for a member of a set, "INT:INT in [1 - 6]" for a range.
std::vector<std::string> choices_in(std::string_view type) {
  const std::size_t begin = type.find('{');
  const std::size_t end = type.find('}');
  if (begin == std::string_view::npos || end == std::string_view::npos) return {};
  std::vector<std::string> out;
  std::string_view rest = type.substr(begin + 1, end - begin - 1);
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    out.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return out;
}

CommandOption option_of(const CLI::Option& option) {
  CommandOption out;
  for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
  const std::string type = option.get_type_name();
  if (out.is_positional()) {
    out.value = option.get_name();
  } else if (option.get_items_expected_max() > 0) {
    out.value = type.substr(0, type.find(':'));
  }
  out.about = option.get_description();
  out.choices = choices_in(type);
  out.initial = option.get_default_str();
  out.environment = option.get_envname();
  out.is_required = option.get_required();
  out.repeats = option.get_items_expected_max() > 1;
  return out;
}

void add_declared(CommandTree& out, const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) out.options.push_back(option_of(*option));
  }
  for (const CLI::App* below : app.get_subcommands(std::function<bool(const CLI::App*)>{})) {
    if (below->get_name().empty()) {
      add_declared(out, *below);
    } else if (!below->get_group().empty()) {
      out.commands.push_back(command_tree(*below, out.path + " " + below->get_name()));
    }
  }
}

}  // namespace

CommandTree command_tree(const CLI::App& app, const std::string& name) {
  CommandTree out{name, app.get_description(), app.get_footer(), {}, {}};
  add_declared(out, app);
  return out;
}

void add_program_pages(CLI::App& app, const std::string& name) {
  auto* completion = app.add_subcommand(
      "completion", "print what completes this program's words in a shell: bash, zsh or fish");
  completion->add_option("shell", "whose")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kShells), std::end(kShells))));
  completion->callback([&app, completion, name] {
    const auto shell = completion->get_option("shell")->as<std::string>();
    std::fputs(completion_script(command_tree(app, name), shell).c_str(), stdout);
    throw CLI::Success();
  });
  app.add_subcommand("man", "print this program's manual page, for man -l -")
      ->callback([&app, name] {
        std::fputs(man_page(command_tree(app, name), app.version()).c_str(), stdout);
        throw CLI::Success();
      });
}

void require_command(CLI::App& app, const CLI::Option& instead) {
  app.require_subcommand(0, 1);
  app.final_callback([&app, &instead] {
    if (app.get_subcommands().empty() && instead.count() == 0) {
      throw CLI::RequiredError("A command");
    }
  });
}

std::optional<int> parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  app.footer(kExitStatus);
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    // CLI11's own numbers (105 to 114) mean nothing to anybody.
    return app.exit(error) == 0 ? 0 : kWrongUsageStatus;
  }
}

}  // namespace nostril
