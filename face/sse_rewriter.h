#pragma once

#include "base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::face {

enum class SseError : std::uint8_t {
  LineTooLong,
  BadLine,   ///< of a kind that could carry content past the change
  Unchanged  ///< the change refused the data
};
std::string_view to_string(SseError error);

/// Rewrites the data of a stream of server-sent events, as engines write them: one `data:` line an
/// event, `[DONE]` at the end. Comments, `event:`, `id:` and `retry:` lines and empty lines pass as
/// they are; any other line ends the stream with an error, for it would pass without the change.
/// Threads: one object, one thread. After an error: of no more use.
class SseRewriter {
 public:
  /// The new text of an event's data, which holds no line end; nothing: stop.
  using Change = std::function<std::optional<std::string>(std::string_view data)>;

  explicit SseRewriter(Change change, std::size_t line_bytes_max = 4U << 20)
      : change_(std::move(change)), line_bytes_max_(line_bytes_max) {}

  /// Appends to `out` what is ready: whole lines.
  [[nodiscard]] Result<void, SseError> feed(std::string_view bytes, std::string& out);
  /// The end of the stream. A line without an end is treated as if it had one.
  [[nodiscard]] Result<void, SseError> finish(std::string& out);

 private:
  [[nodiscard]] Result<void, SseError> take_line(std::string_view line, std::string& out);

  Change change_;
  std::size_t line_bytes_max_;
  std::string partial_;
};

}  // namespace nostril::face
