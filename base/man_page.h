#pragma once

#include "base/command_tree.h"

#include <string>

namespace nostril {

/// The program's manual page of section 1 in roff's man macros (man(7)), ASCII only: its options,
/// each command with its own, exit statuses, the environment. The same words as --help has.
[[nodiscard]] std::string man_page(const CommandTree& program, const std::string& version);

}  // namespace nostril
