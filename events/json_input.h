#pragma once

// Internal to the parsers of this folder: it brings in simdjson.h, 4 s a file. Nobody else includes
// it (tests/events see the public headers only).

#include "base/fixed_bytes.h"
#include "base/hex.h"
#include "base/result.h"
#include "events/event.h"
#include "events/filter.h"
#include "events/parse_error.h"

// Without it, a forgotten .get() throws on bytes from outside; with it, that does not compile.
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace nostril::json_input {

namespace od = simdjson::ondemand;

using Outcome = Result<void, ParseError>;

/// One text read by simdjson On-Demand in one pass. Simdjson wants 64 readable bytes behind the
/// text, so the text is copied into a buffer that keeps its memory, as the parser does: no
/// allocation a message. Memory: about six times the largest text that the thread has seen.
///
/// On-Demand checks only what is visited: every reader here visits every value, and finish() says
/// no to a second value behind the first. Strings stay valid till the next open() of the thread.
class Input {
 public:
  /// The thread's own. Not re-entrant: one text at a time.
  static Input& of_this_thread();

  /// UTF-8, structure and strings of the whole text are checked here.
  Outcome open(std::string_view text);

  /// The root, once after open().
  Result<od::object, ParseError> object();
  Result<od::array, ParseError> array();

  /// Bytes of text from the start of `value` to the end of the input.
  [[nodiscard]] std::size_t bytes_from(od::value& value) const;

  /// Call when the root was read to its end.
  Outcome finish();

 private:
  od::parser parser_;
  std::string buffer_;  // the text and the padding
  std::size_t text_bytes_ = 0;
  od::document document_;
};

/// Elements of an array one by one. The value that next() gave must be read before the next call.
class Elements {
 public:
  explicit Elements(od::array array) : at_(array.begin()), end_(array.end()) {}

  /// False at the end of the array.
  Result<bool, ParseError> next(od::value& out);

 private:
  simdjson::simdjson_result<od::array_iterator> at_;
  simdjson::simdjson_result<od::array_iterator> end_;
  bool started_ = false;
};

/// INCORRECT_TYPE -> `wrong_type`, all else NotJson.
ParseError parse_error(simdjson::error_code error, ParseError wrong_type);

/// A string without U+0000.
Result<std::string_view, ParseError> read_text(od::value& value);
/// An integer of digits only: no sign, fraction or exponent.
Result<std::uint64_t, ParseError> read_unsigned(od::value& value, std::uint64_t value_max);
Result<bool, ParseError> read_boolean(od::value& value);
Result<od::array, ParseError> read_array(od::value& value, ParseError wrong_type);
Result<od::object, ParseError> read_object(od::value& value);

/// How deep what is read past may be nested.
inline constexpr std::size_t kPassedDepthMax = 8;
/// Reads a value of any type only to check that it is JSON.
Outcome read_past(od::value& value, std::size_t depth_left = kPassedDepthMax);

template <typename Tag, std::size_t N>
Outcome read_hex(od::value& value, FixedBytes<Tag, N>& out) {
  const auto text = read_text(value);
  if (!text) return failure(text.error());
  if (!decode_hex(*text, out.bytes)) return failure(ParseError::BadHex);
  return {};
}

Outcome read_event(od::object& object, const EventLimits& limits, Event& out);
Outcome read_filter(od::object& object, const FilterLimits& limits, Filter& out);

}  // namespace nostril::json_input
