#include "base/completion.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace nostril {

namespace {

using Visit = std::function<void(const CommandTree&)>;

void visit_all(const CommandTree& tree, const Visit& visit) {
  visit(tree);
  for (const CommandTree& below : tree.commands) visit_all(below, visit);
}

std::string replaced(std::string_view text, char what, std::string_view by) {
  std::string out;
  for (const char c : text) {
    if (c == what) {
      out += by;
    } else {
      out += c;
    }
  }
  return out;
}

// For bash and zsh: nothing is special between single quotes but their end.
std::string quoted(std::string_view text) {
  return "'" + replaced(text, '\'', R"('\'')") + "'";
}

// In fish a backslash is, too.
std::string quoted_for_fish(std::string_view text) {
  return "'" + replaced(replaced(text, '\\', R"(\\)"), '\'', R"(\')") + "'";
}

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

std::vector<std::string> option_names(const CommandTree& command, bool with_value_only) {
  std::vector<std::string> out;
  for (const CommandOption& option : command.options) {
    if (with_value_only && !option.takes_value()) continue;
    out.insert(out.end(), option.names.begin(), option.names.end());
  }
  return out;
}

std::vector<std::string> command_names(const CommandTree& command) {
  std::vector<std::string> out;
  for (const CommandTree& below : command.commands) out.push_back(below.name());
  return out;
}

/// What the words of the command line stand for, in the syntax that bash and zsh share:
/// __X_commands PATH sets `takes` to the options whose value is the next word, and the rest by
/// `set`; __X_choices "PATH WORD" sets `choices` to the values of an option, or of the arguments
/// when WORD is empty.
std::string shared_functions(const CommandTree& program,
                             const std::function<std::string(const CommandTree&)>& set) {
  std::string commands;
  std::string choices;
  visit_all(program, [&](const CommandTree& command) {
    commands += fmt::format("    {}) takes={} {} ;;\n", quoted(command.path),
                            quoted(joined(option_names(command, true))), set(command));
    for (const CommandOption& option : command.options) {
      if (option.choices.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) patterns.push_back(command.path + " " + name);
      if (option.is_positional()) patterns.push_back(command.path + " ");
      for (std::string& pattern : patterns) pattern = quoted(pattern);
      choices += fmt::format("    {}) choices={} ;;\n", fmt::join(patterns, " | "),
                             quoted(joined(option.choices)));
    }
  });
  const std::string name = replaced(program.path, '-', "_");
  return fmt::format(
      "__{0}_commands() {{\n  case \"$1\" in\n{1}    *) return 1 ;;\n  esac\n}}\n"
      "__{0}_choices() {{\n  choices=''\n  case \"$1\" in\n{2}    *) ;;\n  esac\n}}\n",
      name, commands, choices);
}

/// Walks over the words before the one that is typed: `at` becomes the command, `before` the word
/// before when it may be an option that wants a value. Bash and zsh count words differently.
std::string walk(std::string_view name, std::string_view first, std::string_view end,
                 std::string_view word) {
  return fmt::format(R"(  __{0}_commands "$at"
  for ((i = {1}; i < {2}; i++)); do
    word={3}
    if [[ -n $before && " $takes " == *" $before "* ]]; then
      before=''
    elif __{0}_commands "$at $word"; then
      at="$at $word" before=''
    else
      before=$word
    fi
  done
)",
                     name, first, end, word);
}

std::string bash_script(const CommandTree& program) {
  const std::string name = replaced(program.path, '-', "_");
  const auto set = [](const CommandTree& command) {
    return fmt::format("commands={} options={}", quoted(joined(command_names(command))),
                       quoted(joined(option_names(command, false))));
  };
  return fmt::format(R"(# bash completion of {0}
{2}_{1}() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" at={0} before='' word i takes commands options choices
{3}  COMPREPLY=()
  if [[ -n $before && " $takes " == *" $before "* ]]; then
    __{1}_choices "$at $before"
    commands=$choices options=''
  elif [[ $cur != -* ]]; then
    __{1}_choices "$at "
    commands="$commands $choices" options=''
  else
    commands=''
  fi
  mapfile -t COMPREPLY < <(compgen -W "$commands $options" -- "$cur")
}}
complete -o bashdefault -o default -F _{1} {0}
)",
                     program.path, name, shared_functions(program, set),
                     walk(name, "1", "COMP_CWORD", "${COMP_WORDS[i]}"));
}

// _describe takes "word:what it is".
std::string described(const std::vector<std::string>& words, std::string_view about) {
  std::string out;
  for (const std::string& word : words) {
    out += " " + quoted(replaced(word, ':', "\\:") + ":" + std::string(first_line(about)));
  }
  return out;
}

std::string zsh_script(const CommandTree& program) {
  const std::string name = replaced(program.path, '-', "_");
  const auto set = [](const CommandTree& command) {
    std::string commands;
    for (const CommandTree& below : command.commands) {
      commands += described({below.name()}, below.about);
    }
    std::string options;
    for (const CommandOption& option : command.options) {
      options += described(option.names, option.about);
    }
    return fmt::format("commands=({}) options=({})", commands, options);
  };
  return fmt::format(R"(#compdef {0}
{2}_{1}() {{
  local at={0} before='' word takes choices
  local -a commands options
  integer i
{3}  if [[ -n $before && " $takes " == *" $before "* ]]; then
    __{1}_choices "$at $before"
    if [[ -n $choices ]]; then compadd -- ${{=choices}}; else _files; fi
  elif [[ $words[CURRENT] == -* ]]; then
    _describe option options
  elif (( $#commands )); then
    _describe command commands
  else
    __{1}_choices "$at "
    if [[ -n $choices ]]; then compadd -- ${{=choices}}; else _files; fi
  fi
}}
if [[ $funcstack[1] == _{1} ]]; then _{1} "$@"; else compdef _{1} {0}; fi
)",
                     program.path, name, shared_functions(program, set),
                     walk(name, "2", "CURRENT", "$words[i]"));
}

std::string fish_option(const CommandOption& option) {
  std::string out;
  for (const std::string& name : option.names) {
    out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (option.takes_value()) out += option.choices.empty() ? " -r -F" : " -x";
  if (!option.choices.empty()) out += " -a " + quoted_for_fish(joined(option.choices));
  return out + " -d " + quoted_for_fish(first_line(option.about));
}

std::string fish_script(const CommandTree& program) {
  const std::string name = replaced(program.path, '-', "_");
  std::vector<std::string> paths;
  std::string takes;
  std::string rules;
  visit_all(program, [&](const CommandTree& command) {
    paths.push_back(quoted_for_fish(command.path));
    const auto values = option_names(command, true);
    if (!values.empty()) {
      takes += fmt::format("    case {}\n      contains -- $argv[2] {}\n",
                           quoted_for_fish(command.path), joined(values));
    }
    const std::string rule = fmt::format(
        "complete -c {} -n {}", program.path,
        quoted_for_fish(fmt::format("__{}_at {}", name, quoted_for_fish(command.path))));
    for (const CommandTree& below : command.commands) {
      rules += fmt::format("{} -f -a {} -d {}\n", rule, below.name(),
                           quoted_for_fish(first_line(below.about)));
    }
    for (const CommandOption& option : command.options) {
      if (option.is_positional() && option.choices.empty()) continue;
      rules += rule +
               (option.is_positional() ? " -f -a " + quoted_for_fish(joined(option.choices))
                                       : fish_option(option)) +
               "\n";
    }
  });
  return fmt::format(R"(# fish completion of {0}
function __{1}_takes
  switch $argv[1]
{3}    case '*'
      false
  end
end
function __{1}_at
  set -l paths {2}
  set -l at {0}
  set -l before ''
  for word in (commandline -opc)[2..]
    if test -n "$before"; and __{1}_takes $at $before
      set before ''
    else if contains -- "$at $word" $paths
      set at "$at $word"
      set before ''
    else
      set before $word
    end
  end
  test "$at" = "$argv[1]"
end
{4})",
                     program.path, name, joined(paths), takes, rules);
}

}  // namespace

std::string completion_script(const CommandTree& program, std::string_view shell) {
  if (shell == "bash") return bash_script(program);
  if (shell == "zsh") return zsh_script(program);
  CHECK(shell == "fish");
  return fish_script(program);
}

}  // namespace nostril
