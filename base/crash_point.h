#pragma once

#include <string_view>

namespace nostril {

/// Kills this process, as a power cut would, when the environment's NOSTRIL_CRASH_AT is `name`:
/// tests of what survives. Nothing else reads the variable. Threads: any.
void crash_point(std::string_view name);

}  // namespace nostril
