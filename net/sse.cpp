#include "net/sse.h"

#include <algorithm>
#include <utility>

namespace nostril::net {

bool SseParser::feed(std::string_view bytes, std::vector<SseEvent>& out) {
  while (!bytes.empty() && !failed_) {
    if (after_cr_) {  // CR LF is one end of line, also when cut between
      after_cr_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    if (piece.size() > limits_.line_bytes_max - line_.size()) {
      failed_ = true;
      break;
    }
    line_.append(piece);
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    failed_ = !end_line(out);
  }
  return !failed_;
}

bool SseParser::end_line(std::vector<SseEvent>& out) {
  std::string_view line = line_;
  if (first_line_ && line.substr(0, 3) == "\xEF\xBB\xBF") line.remove_prefix(3);
  first_line_ = false;
  bool fits = true;
  if (line.empty()) {
    if (has_data_) {
      event_.id = last_id_;
      out.push_back(std::move(event_));
    }
    event_ = SseEvent{};
    has_data_ = false;
  } else if (line.front() != ':') {
    const std::size_t colon = std::min(line.find(':'), line.size());
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    fits = field(line.substr(0, colon), value);
  }
  line_.clear();
  return fits;
}

bool SseParser::field(std::string_view name, std::string_view value) {
  if (name == "data") {
    if (value.size() + 1 >
        limits_.event_bytes_max - std::min(limits_.event_bytes_max, event_.data.size()))
      return false;
    if (has_data_) event_.data.push_back('\n');
    event_.data.append(value);
    has_data_ = true;
  } else if (name == "event") {
    event_.event = value;
  } else if (name == "id" && value.find('\0') == std::string_view::npos) {
    last_id_ = value;
  }
  return true;
}

std::optional<std::string> SseSplitter::next() {
  while (scanned_ < unread_.size()) {
    const char c = unread_[scanned_++];
    const bool pair = std::exchange(after_cr_, c == '\r') && c == '\n';
    if (pair) continue;
    if (c != '\r' && c != '\n') {
      line_empty_ = false;
    } else if (std::exchange(line_empty_, true)) {
      if (after_cr_ && scanned_ < unread_.size() && unread_[scanned_] == '\n') {
        ++scanned_;
        after_cr_ = false;
      }
      return take(scanned_);
    }
  }
  if (unread_.size() > piece_bytes_max_) return take(unread_.size());
  return std::nullopt;
}

std::string SseSplitter::take_rest() {
  return take(unread_.size());
}

std::string SseSplitter::take(std::size_t count) {
  std::string out = unread_.substr(0, count);
  unread_.erase(0, count);
  scanned_ = 0;
  return out;
}

std::string sse_encode(std::string_view event, std::string_view data) {
  std::string out;
  out.reserve(event.size() + data.size() + 24);
  if (!event.empty()) out.append("event: ").append(event).append("\n");
  for (;;) {
    const std::size_t end = std::min(data.find_first_of("\r\n"), data.size());
    out.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == data.size()) break;
    const bool pair = data.substr(end, 2) == "\r\n";
    data.remove_prefix(end + (pair ? 2 : 1));
  }
  out.append("\n");
  return out;
}

}  // namespace nostril::net
