#pragma once

#include "base/hex.h"
#include "events/inference.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril {

/// A name: 1 to `bytes_max` printable ASCII characters without space, quote or backslash.
[[nodiscard]] bool is_name(std::string_view text, std::size_t bytes_max);

/// Reads an event's tags strictly: the first thing that is wrong is remembered, everything after it
/// gives harmless defaults, and the caller looks at error() once at the end.
/// Borrows the event. Threads: one.
class TagReader {
 public:
  TagReader(const Event& event, std::uint32_t kind);

  [[nodiscard]] const std::optional<InferenceError>& error() const { return error_; }

  void fail(InferenceError error);

  /// ["v", version]
  void version(std::string_view expected);

  /// Tags of that name, at most `count_max`.
  [[nodiscard]] std::vector<Tags::View> all(std::string_view name, std::size_t count_max);
  /// The one tag of that name, with a value; none is no failure.
  [[nodiscard]] std::optional<Tags::View> optional(std::string_view name);
  /// The one tag of that name with exactly `elements` elements.
  [[nodiscard]] std::optional<Tags::View> exactly(std::string_view name, std::size_t elements);

  /// The value of the one tag of that name: 1 to `bytes_max` bytes; as a name; as a number.
  [[nodiscard]] std::string text(std::string_view name, std::size_t bytes_max);
  [[nodiscard]] std::string name(std::string_view name, std::size_t bytes_max);
  [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t max);

  template <typename T>
  [[nodiscard]] T fixed_tag(std::string_view name) {
    const auto tag = exactly(name, 2);
    return tag ? fixed<T>((*tag)[1]) : T{};
  }

  // Elements.
  [[nodiscard]] std::string_view value(const Tags::View& tag);
  [[nodiscard]] std::string checked_text(std::string_view text, std::size_t bytes_max);
  [[nodiscard]] std::string checked_name(std::string_view text, std::size_t bytes_max);
  [[nodiscard]] std::uint64_t integer(std::string_view text, std::uint64_t max);
  /// Seconds or milliseconds since 1970: 0 to 2^53 - 1.
  [[nodiscard]] std::int64_t time(std::string_view text);
  [[nodiscard]] Amount amount(std::string_view text);

  template <typename T>
  [[nodiscard]] T fixed(std::string_view hex) {
    const auto out = from_hex<T>(hex);
    if (!out) fail(InferenceError::BadTag);
    return out.value_or(T{});
  }

  template <typename T>
  [[nodiscard]] T fixed_value(const Tags::View& tag) {
    return fixed<T>(value(tag));
  }

 private:
  const Event& event_;
  std::optional<InferenceError> error_;
};

}  // namespace nostril
