#pragma once

#include "base/command_tree.h"

#include <string>
#include <string_view>

namespace nostril {

/// A script that completes the program's commands, options and the values that are one of a set;
/// other values and arguments complete to files. To be sourced, or put where the shell looks for
/// completions. `shell`: "bash", "zsh" or "fish"; CHECK.
[[nodiscard]] std::string completion_script(const CommandTree& program, std::string_view shell);

}  // namespace nostril
