#pragma once

#include <string_view>

namespace nostril::bench {

/// Says on the terminal what goes on, over what it said before; empty: wipes it. Nothing where
/// standard error is no terminal.
void show_progress(std::string_view what);

}  // namespace nostril::bench
