#pragma once

#include <cstdint>

namespace nostril {

enum class LogFormat : std::uint8_t {
  Text,  ///< 2026-11-21T19:00:00.000Z info text
  Json,  ///< {"time":"2026-11-21T19:00:00.000Z","level":"info","text":"…"}
};

/// How lines look from now on. Call once in main(); the default is Text.
void set_log_format(LogFormat format);

}  // namespace nostril
