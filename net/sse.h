#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::net {

struct SseEvent {
  std::string event;  ///< empty when the stream named none ("message" to a browser)
  std::string data;   ///< the data lines joined by LF
  std::string id;     ///< last id seen so far
};

struct SseLimits {
  std::size_t line_bytes_max = 1 << 20;   ///< one line; an engine sends a token a line
  std::size_t event_bytes_max = 4 << 20;  ///< all data lines of one event
};

/// Server-sent events (WHATWG HTML 9.2), fed in pieces cut anywhere. Lines end in CRLF, LF or CR.
/// `retry:` and unknown fields are skipped; an event without data lines is not delivered. One BOM
/// at the start is dropped. Pure; one thread.
class SseParser {
 public:
  explicit SseParser(SseLimits limits = {}) : limits_(limits) {}

  /// Appends finished events to `out`. False once a limit was passed: the stream is then unusable.
  [[nodiscard]] bool feed(std::string_view bytes, std::vector<SseEvent>& out);

 private:
  bool end_line(std::vector<SseEvent>& out);
  bool field(std::string_view name, std::string_view value);

  SseLimits limits_;
  std::string line_;
  SseEvent event_;
  std::string last_id_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
  bool failed_ = false;
};

/// One event as text: "event: …" when named, a "data: " line for each line of `data`, an empty
/// line.
std::string sse_encode(std::string_view event, std::string_view data);

}  // namespace nostril::net
