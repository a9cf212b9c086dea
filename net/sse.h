#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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

/// Cuts a stream of server-sent events behind the empty line that ends each, without changing a
/// byte. Fed in pieces cut anywhere; of the LF of a CR LF that is cut there, the next piece begins
/// with it. Pure; one thread.
class SseSplitter {
 public:
  /// `piece_bytes_max`: an event that grows beyond it comes in parts.
  explicit SseSplitter(std::size_t piece_bytes_max = SseLimits{}.event_bytes_max)
      : piece_bytes_max_(piece_bytes_max) {}

  void add(std::string_view bytes) { unread_.append(bytes); }

  /// The next event with its empty line; nothing while it is not complete.
  std::optional<std::string> next();
  /// What is left when the stream has ended.
  std::string take_rest();

 private:
  std::string take(std::size_t count);

  std::size_t piece_bytes_max_;
  std::string unread_;
  std::size_t scanned_ = 0;  ///< bytes of unread_ that were looked at
  bool line_empty_ = true;   ///< nothing but its begin was seen of the present line
  bool after_cr_ = false;
};

/// One event as text: "event: …" when named, a "data: " line for each line of `data`, an empty
/// line.
std::string sse_encode(std::string_view event, std::string_view data);

}  // namespace nostril::net
