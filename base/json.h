#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril {

enum class JsonError : std::uint8_t { NotJson, TooLarge, TooDeep, DoubleKey };
std::string_view to_string(JsonError error);

struct JsonLimits {
  std::size_t bytes_max = 8U << 20;  ///< text size
  std::size_t depth_max = 64;        ///< nested arrays and objects
  std::size_t values_max =
      1U << 20;  ///< of any type; about 100 bytes of memory each beside its text
};

/// A parsed JSON document as a tree, for what is not on a hot path: engine replies, frames, HTTP
/// bodies, attestation collateral. Events have a parser of their own (events/parse_event.h).
///
/// Strict RFC 8259: UTF-8 only, no lone surrogates, one value and nothing after it; an object that
/// names a key twice is refused, because two readers would disagree about it.
/// Numbers keep their text, so that nothing is lost by reading and writing a document again.
/// Threads: immutable after parse().
class Json {
 public:
  enum class Type : std::uint8_t { Null, Boolean, Number, String, Array, Object };
  using Member = std::pair<std::string, Json>;

  static Result<Json, JsonError> parse(std::string_view text, const JsonLimits& limits = {});

  Json() = default;  ///< null

  [[nodiscard]] Type type() const { return type_; }

  [[nodiscard]] bool is_null() const { return type_ == Type::Null; }

  [[nodiscard]] bool is_object() const { return type_ == Type::Object; }

  [[nodiscard]] bool is_array() const { return type_ == Type::Array; }

  [[nodiscard]] bool is_string() const { return type_ == Type::String; }

  /// The value when it is of that type. integer(): only -?digits that fit 64 bits; no 1.0, no 1e3.
  [[nodiscard]] std::optional<bool> boolean() const;
  [[nodiscard]] std::optional<std::int64_t> integer() const;
  [[nodiscard]] std::optional<double> number() const;
  [[nodiscard]] std::optional<std::string_view> string() const;

  /// Elements of an array, members of an object in their order; empty for other types.
  [[nodiscard]] std::span<const Json> items() const { return items_; }

  [[nodiscard]] std::span<const Member> members() const { return members_; }

  /// The member's value, or nullptr when this is no object or has no such key.
  [[nodiscard]] const Json* find(std::string_view key) const;
  /// find() and the type in one step.
  [[nodiscard]] std::optional<std::string_view> find_string(std::string_view key) const;
  [[nodiscard]] std::optional<std::int64_t> find_integer(std::string_view key) const;
  [[nodiscard]] std::optional<bool> find_boolean(std::string_view key) const;

  /// Compact JSON text of the value: members in their order, numbers as they were read.
  [[nodiscard]] std::string dump() const;

 private:
  friend class JsonTreeBuilder;
  friend class JsonWriter;

  Type type_ = Type::Null;
  bool boolean_ = false;
  std::string text_;  ///< of a string, or the number as written
  std::vector<Json> items_;
  std::vector<Member> members_;
};

/// Appends `text` as a JSON string with quotes. Escapes exactly what JSON.stringify escapes: quote
/// and backslash, the five short forms, and \u00xx in lowercase for the rest below U+0020; DEL and
/// all else verbatim. This is also NIP-01's canonical form as nostr-tools computes it
/// (spec/01-events.md). `text` must be UTF-8.
void append_json_string(std::string& out, std::string_view text);
/// Writes the same to `out`, which has json_room() of the text; where it ends.
char* write_json_string(char* out, std::string_view text);

/// At most so many bytes are written for a text (or texts, with their sizes and counts added up).
constexpr std::size_t json_room(std::size_t text_bytes, std::size_t texts = 1) {
  return 6 * text_bytes + 2 * texts + 16;  // 16: bytes are copied by as many at a time
}

/// Writes compact JSON; puts the commas itself. One writer, one document.
///
///   JsonWriter w;
///   w.begin_object().key("t").string("ack").key("n").integer(7).end_object();
///   std::string text = std::move(w).take();
class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view value);
  JsonWriter& integer(std::int64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  /// Any finite number, shortest form that reads back the same.
  JsonWriter& number(double value);
  /// A value that is already JSON text.
  JsonWriter& raw(std::string_view json);
  JsonWriter& value(const Json& value);

  [[nodiscard]] const std::string& text() const { return out_; }

  [[nodiscard]] std::string take() && { return std::move(out_); }

 private:
  void separate();
  std::string out_;
  bool need_comma_ = false;
};

}  // namespace nostril
