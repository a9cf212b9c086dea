#include "base/man_page.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>

namespace nostril {

namespace {

constexpr unsigned kAsciiEnd = 0x80;

/// One UTF-8 character, which is taken off `text`. Our own words: well formed.
char32_t take_character(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  std::size_t bytes = 1;
  char32_t out = first;
  if (first >= 0xf0) {
    bytes = 4;
    out = first & 0x07U;
  } else if (first >= 0xe0) {
    bytes = 3;
    out = first & 0x0fU;
  } else if (first >= kAsciiEnd) {
    bytes = 2;
    out = first & 0x1fU;
  }
  CHECK(bytes <= text.size());
  for (std::size_t i = 1; i < bytes; ++i) {
    out = (out << 6U) | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  text.remove_prefix(bytes);
  return out;
}

// roff's own characters, and all beyond ASCII, have names.
std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const char32_t character = take_character(text);
    const bool at_line_start = out.empty() || out.back() == '\n';
    if (character == U'\\') {
      out += "\\e";
    } else if (character == U'-') {
      out += "\\-";
    } else if (character == U'\n') {
      out += "\n.br\n";
    } else if ((character == U'.' || character == U'\'') && at_line_start) {
      out += "\\&";
      out += static_cast<char>(character);
    } else if (character < kAsciiEnd) {
      out += static_cast<char>(character);
    } else {
      out += fmt::format("\\[u{:04X}]", static_cast<std::uint32_t>(character));
    }
  }
  return out;
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

std::string usage(const CommandTree& command) {
  std::string out = fmt::format("\\fB{}\\fR", escaped(command.path));
  if (!command.options.empty()) out += " [\\fIOPTIONS\\fR]";
  for (const CommandOption& option : command.options) {
    if (!option.is_positional()) continue;
    const std::string word =
        fmt::format("\\fI{}\\fR{}", escaped(upper(option.value)), option.repeats ? "..." : "");
    out += option.is_required ? " " + word : " [" + word + "]";
  }
  if (!command.commands.empty()) out += " \\fICOMMAND\\fR";
  return out;
}

std::string option_item(const CommandOption& option) {
  std::string name;
  for (const std::string& one : option.names) {
    name += (name.empty() ? "\\fB" : ", \\fB") + escaped(one) + "\\fR";
  }
  if (option.is_positional()) {
    name = "\\fI" + escaped(upper(option.value)) + "\\fR";
  } else if (option.takes_value()) {
    name += " \\fI" + escaped(option.value) + "\\fR";
  }
  std::string about = option.about;
  const auto add = [&about](const std::string& text) {
    about += (about.empty() ? "" : "; ") + text;
  };
  if (!option.choices.empty()) add(fmt::format("one of {}", fmt::join(option.choices, ", ")));
  if (!option.initial.empty()) add("default: " + option.initial);
  if (!option.environment.empty()) add("else of $" + option.environment);
  if (option.is_required && !option.is_positional()) add("required");
  return fmt::format(".TP\n{}\n{}\n", name, about.empty() ? "\\&" : escaped(about));
}

bool is_help(const CommandOption& option) {
  return std::ranges::find(option.names, "--help") != option.names.end();
}

// That each command has --help is said once.
std::string options_of(const CommandTree& command, bool is_program) {
  std::string out;
  for (const CommandOption& option : command.options) {
    if (is_program || !is_help(option)) out += option_item(option);
  }
  return out;
}

std::string commands_below(const CommandTree& command) {
  std::string out;
  for (const CommandTree& below : command.commands) {
    out +=
        fmt::format(".SS {}\n{}\n{}", usage(below), escaped(below.about), options_of(below, false));
    if (!below.exit_status.empty()) out += fmt::format(".PP\n{}\n", escaped(below.exit_status));
    out += commands_below(below);
  }
  return out;
}

void gather_environment(const CommandTree& command, std::map<std::string, std::string>& out) {
  for (const CommandOption& option : command.options) {
    if (!option.environment.empty()) out.emplace(option.environment, option.names.back());
  }
  for (const CommandTree& below : command.commands) gather_environment(below, out);
}

}  // namespace

std::string man_page(const CommandTree& program, const std::string& version) {
  std::string out = fmt::format(".TH {} 1 \"\" \"{}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n{}\n",
                                escaped(upper(program.path)), escaped(version),
                                escaped(program.path), escaped(program.about), usage(program));
  out += ".SH OPTIONS\n" + options_of(program, true);
  if (!program.commands.empty()) out += ".SH COMMANDS\n" + commands_below(program);
  if (!program.exit_status.empty()) {
    out += fmt::format(".SH EXIT STATUS\n{}\n", escaped(program.exit_status));
  }
  std::map<std::string, std::string> variables;
  gather_environment(program, variables);
  if (!variables.empty()) out += ".SH ENVIRONMENT\n";
  for (const auto& [name, option] : variables) {
    out += fmt::format(".TP\n\\fB{}\\fR\nin place of \\fB{}\\fR\n", name, escaped(option));
  }
  return out;
}

}  // namespace nostril
