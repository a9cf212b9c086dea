#pragma once

#include <fmt/core.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace nostril {

enum class LogLevel : std::uint8_t { Debug, Info, Warning, Error, Off };

/// "debug" … "off"; Info for anything else.
LogLevel log_level_from(std::string_view name);

/// Sets what reaches standard error from now on. Call once in main(); the default is Info.
void set_log_level(LogLevel level);
[[nodiscard]] bool log_enabled(LogLevel level);

/// Text that may stand in a log. Log functions take no other text, so what is logged was called
/// public in so many words: a prompt, an answer or a secret that got into a string can't slip in.
class LogText {
 public:
  [[nodiscard]] std::string_view view() const { return text_; }

 private:
  explicit LogText(std::string_view text) : text_(text) {}

  friend LogText public_text(std::string_view text);

  std::string text_;
};

/// The caller's word that `text` holds no byte of a request, of an answer, or of a secret: names of
/// settings, files, models and peers, and what this program itself says of them.
[[nodiscard]] inline LogText public_text(std::string_view text) {
  return LogText(text);
}

/// One line to standard error: time, level, text. Control characters in `text` are replaced, so
/// that a peer can't forge lines. Threads: any.
void log_line(LogLevel level, const LogText& text);

/// `text` without control characters, which a terminal or a reader of lines would obey.
[[nodiscard]] std::string one_line(std::string_view text);

/// An enumerator that to_string() names.
template <typename T>
concept NamedEnum = std::is_enum_v<T> && requires(T value) {
  { to_string(value) } -> std::convertible_to<std::string_view>;
};

/// What may be an argument of log(): numbers, named enumerators, LogText. No characters.
template <typename T>
concept Loggable = std::same_as<T, LogText> || NamedEnum<T> || std::same_as<T, bool> ||
    (std::is_arithmetic_v<T> && sizeof(T) > 1);

/// As fmt writes it.
template <Loggable T>
[[nodiscard]] auto log_form(const T& value) {
  if constexpr (std::same_as<T, LogText>) {
    return value.view();
  } else if constexpr (NamedEnum<T>) {
    return std::string_view(to_string(value));
  } else {
    return value;
  }
}

template <Loggable... Args>
void log(LogLevel level,
         fmt::format_string<decltype(log_form(std::declval<const Args&>()))...> format,
         const Args&... args) {
  if (log_enabled(level)) log_line(level, public_text(fmt::format(format, log_form(args)...)));
}

}  // namespace nostril
