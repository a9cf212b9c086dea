#include "base/json.h"

#include "base/check.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace nostril {

namespace {

namespace od = simdjson::ondemand;

/// By sorting, so that a hostile object costs n log n.
bool has_double_key(std::span<const Json::Member> members) {
  std::vector<std::string_view> keys;
  keys.reserve(members.size());
  for (const auto& [key, value] : members) keys.push_back(key);
  std::ranges::sort(keys);
  return std::ranges::adjacent_find(keys) != keys.end();
}

}  // namespace

std::string_view to_string(JsonError error) {
  switch (error) {
    case JsonError::NotJson:
      return "not JSON";
    case JsonError::TooLarge:
      return "too large";
    case JsonError::TooDeep:
      return "nested too deeply";
    case JsonError::DoubleKey:
      return "a key stands twice in one object";
  }
  return "unknown";
}

/// Walks simdjson's On-Demand values once and visits every one of them, so that all of the text is
/// validated (On-Demand checks only what is read).
class JsonTreeBuilder {
 public:
  explicit JsonTreeBuilder(const JsonLimits& limits)
      : depth_max_(limits.depth_max), values_left_(limits.values_max) {}

  Result<Json, JsonError> build(od::value& value, std::size_t depth) {
    if (values_left_ == 0) return failure(JsonError::TooLarge);
    --values_left_;
    od::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return failure(JsonError::NotJson);
    switch (type) {
      case od::json_type::array:
        return build_array(value, depth);
      case od::json_type::object:
        return build_object(value, depth);
      case od::json_type::string:
        return build_string(value);
      case od::json_type::number:
        return build_number(value);
      case od::json_type::boolean:
        return build_boolean(value);
      case od::json_type::null:
        return build_null(value);
    }
    return failure(JsonError::NotJson);
  }

 private:
  Result<Json, JsonError> build_array(od::value& value, std::size_t depth) {
    if (depth >= depth_max_) return failure(JsonError::TooDeep);
    Json out;
    out.type_ = Json::Type::Array;
    od::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) return failure(JsonError::NotJson);
    for (auto element : array) {
      od::value item;
      if (element.get(item) != simdjson::SUCCESS) return failure(JsonError::NotJson);
      auto built = build(item, depth + 1);
      if (!built) return built;
      out.items_.push_back(std::move(*built));
    }
    return out;
  }

  Result<Json, JsonError> build_object(od::value& value, std::size_t depth) {
    if (depth >= depth_max_) return failure(JsonError::TooDeep);
    Json out;
    out.type_ = Json::Type::Object;
    od::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) return failure(JsonError::NotJson);
    for (auto field : object) {
      std::string_view key;
      if (field.unescaped_key().get(key) != simdjson::SUCCESS) return failure(JsonError::NotJson);
      std::string owned_key(key);
      od::value item;
      if (field.value().get(item) != simdjson::SUCCESS) return failure(JsonError::NotJson);
      auto built = build(item, depth + 1);
      if (!built) return built;
      out.members_.emplace_back(std::move(owned_key), std::move(*built));
    }
    if (has_double_key(out.members_)) return failure(JsonError::DoubleKey);
    return out;
  }

  Result<Json, JsonError> build_string(od::value& value) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) return failure(JsonError::NotJson);
    Json out;
    out.type_ = Json::Type::String;
    out.text_ = text;
    return out;
  }

  Result<Json, JsonError> build_number(od::value& value) {
    constexpr std::string_view kSpaces = " \t\r\n";
    std::string_view token = value.raw_json_token();
    while (!token.empty() && kSpaces.find(token.back()) != std::string_view::npos) {
      token.remove_suffix(1);
    }
    std::string text(token);
    // Reading the number is what validates it. A double overflows to an error where JSON has no
    // limit; an integer of any length is a valid double unless it overflows that.
    double number = 0;
    if (value.get_double().get(number) != simdjson::SUCCESS) return failure(JsonError::NotJson);
    Json out;
    out.type_ = Json::Type::Number;
    out.text_ = std::move(text);
    return out;
  }

  Result<Json, JsonError> build_boolean(od::value& value) {
    Json out;
    out.type_ = Json::Type::Boolean;
    if (value.get_bool().get(out.boolean_) != simdjson::SUCCESS) return failure(JsonError::NotJson);
    return out;
  }

  static Result<Json, JsonError> build_null(od::value& value) {
    bool is_null = false;
    if (value.is_null().get(is_null) != simdjson::SUCCESS || !is_null) {
      return failure(JsonError::NotJson);
    }
    return Json();
  }

  std::size_t depth_max_;
  std::size_t values_left_;
};

Result<Json, JsonError> Json::parse(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) return failure(JsonError::TooLarge);
  // Read as the only element of an array: for a value at the root On-Demand has rules of its own,
  // and it accepts a string there with anything behind it.
  simdjson::padded_string wrapped(text.size() + 2);
  CHECK(wrapped.data() != nullptr);
  wrapped.data()[0] = '[';
  std::ranges::copy(text, wrapped.data() + 1);
  wrapped.data()[text.size() + 1] = ']';

  od::parser parser;
  od::document document;
  if (parser.iterate(wrapped).get(document) != simdjson::SUCCESS) {
    return failure(JsonError::NotJson);
  }
  od::array array;
  if (document.get_array().get(array) != simdjson::SUCCESS) return failure(JsonError::NotJson);
  std::optional<Json> tree;
  for (auto element : array) {
    od::value value;
    if (tree || element.get(value) != simdjson::SUCCESS) return failure(JsonError::NotJson);
    auto built = JsonTreeBuilder(limits).build(value, 0);
    if (!built) return built;
    tree = std::move(*built);
  }
  // After the array On-Demand does not look further: say no to `1],[2`.
  if (!tree || document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return failure(JsonError::NotJson);
  }
  return std::move(*tree);
}

std::optional<bool> Json::boolean() const {
  if (type_ != Type::Boolean) return std::nullopt;
  return boolean_;
}

std::optional<std::int64_t> Json::integer() const {
  if (type_ != Type::Number) return std::nullopt;
  std::int64_t value = 0;
  const char* end = text_.data() + text_.size();
  const auto [stop, error] = std::from_chars(text_.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<double> Json::number() const {
  if (type_ != Type::Number) return std::nullopt;
  double value = 0;
  std::from_chars(text_.data(), text_.data() + text_.size(), value);
  return value;
}

std::optional<std::string_view> Json::string() const {
  if (type_ != Type::String) return std::nullopt;
  return text_;
}

const Json* Json::find(std::string_view key) const {
  const auto found = std::ranges::find(members_, key, &Member::first);
  return found == members_.end() ? nullptr : &found->second;
}

std::optional<std::string_view> Json::find_string(std::string_view key) const {
  const Json* value = find(key);
  return value == nullptr ? std::nullopt : value->string();
}

std::optional<std::int64_t> Json::find_integer(std::string_view key) const {
  const Json* value = find(key);
  return value == nullptr ? std::nullopt : value->integer();
}

std::optional<bool> Json::find_boolean(std::string_view key) const {
  const Json* value = find(key);
  return value == nullptr ? std::nullopt : value->boolean();
}

std::string Json::dump() const {
  JsonWriter writer;
  writer.value(*this);
  return std::move(writer).take();
}

namespace {

// What must be escaped, and by which letter after the backslash; 'u': by its number.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> escapes{};
  for (std::size_t byte = 0; byte < 0x20; ++byte) escapes[byte] = 'u';
  escapes['\b'] = 'b';
  escapes['\t'] = 't';
  escapes['\n'] = 'n';
  escapes['\f'] = 'f';
  escapes['\r'] = 'r';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  return escapes;
}();

char* write_byte(char* out, char byte) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto code = static_cast<std::uint8_t>(byte);
  const char escape = kEscapes[code];
  if (escape == 0) {
    *out = byte;
    return out + 1;
  }
  *out++ = '\\';
  *out++ = escape;
  if (escape == 'u') {
    *out++ = '0';
    *out++ = '0';
    *out++ = kDigits[code >> 4];
    *out++ = kDigits[code & 15];
  }
  return out;
}

// How many of the bytes at `text` come before the first that needs an escape, of kStride.
#ifdef __SSE2__
constexpr std::size_t kStride = 16;

std::size_t plain_bytes(const char* text) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
  const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  const int marks = _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash)));
  return static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(marks) | 0x10000U));
}
#else
constexpr std::size_t kStride = 8;

// The differences borrow only from bytes that need one, so the lowest mark is a true one.
std::size_t plain_bytes(const char* text) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kTops = 0x8080808080808080;
  std::uint64_t word = 0;
  std::memcpy(&word, text, 8);
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t backslash = word ^ (kOnes * '\\');
  const std::uint64_t marks = (((word - kOnes * 0x20) & ~word) | ((quote - kOnes) & ~quote) |
                               ((backslash - kOnes) & ~backslash)) &
                              kTops;
  return static_cast<std::size_t>(std::countr_zero(marks)) / 8;  // 64 / 8 when there is none
}
#endif

// The inside of a string.
char* write_json_text(char* out, std::string_view text) {
  const char* at = text.data();
  const char* end = at + text.size();
  while (static_cast<std::size_t>(end - at) >= kStride) {
    std::memcpy(out, at, kStride);
    const std::size_t plain = plain_bytes(at);
    at += plain;
    out += plain;
    if (plain < kStride) out = write_byte(out, *at++);
  }
  while (at != end) out = write_byte(out, *at++);
  return out;
}

}  // namespace

char* write_json_string(char* out, std::string_view text) {
  *out++ = '"';
  out = write_json_text(out, text);
  *out++ = '"';
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::size_t kBlockBytes = 128;
  std::array<char, json_room(kBlockBytes)> block;  // NOLINT(*-member-init): filled when used
  out += '"';
  while (!text.empty()) {
    const std::string_view some = text.substr(0, kBlockBytes);
    char* end = write_json_text(block.data(), some);
    out.append(block.data(), end);
    text.remove_prefix(some.size());
  }
  out += '"';
}

void JsonWriter::separate() {
  if (need_comma_) out_ += ',';
  need_comma_ = true;
}

JsonWriter& JsonWriter::begin_object() {
  separate();
  out_ += '{';
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  out_ += '}';
  need_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  separate();
  out_ += '[';
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  out_ += ']';
  need_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
  separate();
  append_json_string(out_, value);
  return *this;
}

JsonWriter& JsonWriter::integer(std::int64_t value) {
  return raw(std::to_string(value));
}

JsonWriter& JsonWriter::boolean(bool value) {
  return raw(value ? "true" : "false");
}

JsonWriter& JsonWriter::null() {
  return raw("null");
}

JsonWriter& JsonWriter::number(double value) {
  CHECK(std::isfinite(value));
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return raw(std::string_view(text.data(), static_cast<std::size_t>(end - text.data())));
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

JsonWriter& JsonWriter::value(const Json& value) {
  switch (value.type()) {
    case Json::Type::Null:
      return null();
    case Json::Type::Boolean:
      return boolean(value.boolean_);
    case Json::Type::Number:
      return raw(value.text_);
    case Json::Type::String:
      return string(value.text_);
    case Json::Type::Array:
      begin_array();
      for (const Json& item : value.items_) this->value(item);
      return end_array();
    case Json::Type::Object:
      begin_object();
      for (const auto& [name, member] : value.members_) key(name).value(member);
      return end_object();
  }
  return *this;
}

}  // namespace nostril
