#include "face/sse_rewriter.h"

#include <array>
#include <utility>

namespace nostril::face {

namespace {

bool may_pass(std::string_view line) {
  constexpr std::array<std::string_view, 4> kStarts{":", "event:", "id:", "retry:"};
  if (line.empty()) return true;
  for (const std::string_view start : kStarts) {
    if (line.starts_with(start)) return true;
  }
  return false;
}

}  // namespace

std::string_view to_string(SseError error) {
  switch (error) {
    case SseError::LineTooLong:
      return "a line is too long";
    case SseError::BadLine:
      return "a line of unknown kind";
    case SseError::Unchanged:
      return "an event's data is not what it should be";
  }
  return "unknown";
}

Result<void, SseError> SseRewriter::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (partial_.size() + piece.size() > line_bytes_max_) return failure(SseError::LineTooLong);
    partial_ += piece;
    if (end == std::string_view::npos) return {};
    bytes.remove_prefix(end + 1);
    const std::string line = std::exchange(partial_, {});
    if (auto taken = take_line(line, out); !taken) return taken;
    out += '\n';
  }
  return {};
}

Result<void, SseError> SseRewriter::finish(std::string& out) {
  const std::string line = std::exchange(partial_, {});
  return take_line(line, out);
}

Result<void, SseError> SseRewriter::take_line(std::string_view line, std::string& out) {
  // Readers also end a line at a lone CR: what stands behind it would be a line of its own.
  const std::string_view ending = line.ends_with('\r') ? "\r" : "";
  line.remove_suffix(ending.size());
  if (line.find('\r') != std::string_view::npos) return failure(SseError::BadLine);
  constexpr std::string_view kData = "data:";
  if (!line.starts_with(kData)) {
    if (!may_pass(line)) return failure(SseError::BadLine);
    out += line;
  } else {
    std::string_view data = line.substr(kData.size());
    if (data.starts_with(' ')) data.remove_prefix(1);
    if (data == "[DONE]") {
      out += line;
    } else {
      const auto changed = change_(data);
      if (!changed) return failure(SseError::Unchanged);
      out += "data: " + *changed;
    }
  }
  out += ending;
  return {};
}

}  // namespace nostril::face
