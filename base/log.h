#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace nostril {

enum class LogLevel : std::uint8_t { Debug, Info, Warning, Error, Off };

/// "debug" … "off"; Info for anything else.
LogLevel log_level_from(std::string_view name);

/// Sets what reaches standard error from now on. Call once in main(); the default is Info.
void set_log_level(LogLevel level);
[[nodiscard]] bool log_enabled(LogLevel level);

/// One line to standard error: time, level, text. Control characters in `text` are replaced, so
/// that a peer can't forge lines. Threads: any. Never pass prompts, answers, secret keys.
void log_line(LogLevel level, std::string_view text);

/// `text` without control characters, which a terminal or a reader of lines would obey.
[[nodiscard]] std::string one_line(std::string_view text);

template <typename... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_line(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace nostril
