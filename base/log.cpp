#include "base/log.h"

#include "base/json.h"
#include "base/log_format.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

namespace nostril {

namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
/// Beside the logger below: how its lines look.
std::atomic<bool> g_is_json = false;

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return spdlog::level::debug;
    case LogLevel::Info:
      return spdlog::level::info;
    case LogLevel::Warning:
      return spdlog::level::warn;
    case LogLevel::Error:
      return spdlog::level::err;
    case LogLevel::Off:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

/// The one global of the project: a program has one standard error. No colour codes, no buffering.
spdlog::logger& logger() {
  static const auto kInstance = [] {
    auto made = std::make_shared<spdlog::logger>("nostril",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern(kTextPattern, spdlog::pattern_time_type::utc);
    made->set_level(spdlog::level::info);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *kInstance;
}

}  // namespace

LogLevel log_level_from(std::string_view name) {
  if (name == "debug") return LogLevel::Debug;
  if (name == "warning") return LogLevel::Warning;
  if (name == "error") return LogLevel::Error;
  if (name == "off") return LogLevel::Off;
  return LogLevel::Info;
}

void set_log_level(LogLevel level) {
  logger().set_level(to_spdlog(level));
}

bool log_enabled(LogLevel level) {
  return logger().should_log(to_spdlog(level));
}

std::string one_line(std::string_view text) {
  std::string clean(text);
  std::ranges::replace_if(
      clean, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  // U+0080 to U+009F, in UTF-8: terminals obey those too.
  for (std::size_t i = 0; i + 1 < clean.size(); ++i) {
    const auto next = static_cast<unsigned char>(clean[i + 1]);
    if (static_cast<unsigned char>(clean[i]) == 0xc2 && next >= 0x80 && next < 0xa0) {
      clean[i] = clean[i + 1] = '?';
    }
  }
  return clean;
}

void set_log_format(LogFormat format) {
  g_is_json = format == LogFormat::Json;
  logger().set_pattern(
      g_is_json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","text":%v})" : kTextPattern,
      spdlog::pattern_time_type::utc);
}

void log_line(LogLevel level, const LogText& text) {
  std::string line = one_line(text.view());
  if (g_is_json) {
    std::string quoted;
    append_json_string(quoted, line);
    line = std::move(quoted);
  }
  logger().log(to_spdlog(level), "{}", line);
}

}  // namespace nostril
