#include "events/json_input.h"

#include "events/text.h"

#include <algorithm>
#include <cstring>

namespace nostril {

bool is_event_text(std::string_view text) {
  return text.find('\0') == std::string_view::npos && simdjson::validate_utf8(text);
}

std::size_t char_count(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace nostril

namespace nostril::json_input {

Input& Input::of_this_thread() {
  thread_local Input input;
  return input;
}

Outcome Input::open(std::string_view text) {
  const std::size_t needed = text.size() + simdjson::SIMDJSON_PADDING;
  if (buffer_.size() < needed) buffer_.resize(needed);
  if (!text.empty()) std::memcpy(buffer_.data(), text.data(), text.size());
  std::memset(buffer_.data() + text.size(), ' ', simdjson::SIMDJSON_PADDING);
  text_bytes_ = text.size();
  if (parser_.iterate(buffer_.data(), text.size(), buffer_.size()).get(document_) !=
      simdjson::SUCCESS) {
    return failure(ParseError::NotJson);
  }
  return {};
}

Result<od::object, ParseError> Input::object() {
  od::object object;
  const auto error = document_.get_object().get(object);
  if (error != simdjson::SUCCESS) return failure(parse_error(error, ParseError::NotAnObject));
  return object;
}

Result<od::array, ParseError> Input::array() {
  od::array array;
  const auto error = document_.get_array().get(array);
  if (error != simdjson::SUCCESS) return failure(parse_error(error, ParseError::NotAnArray));
  return array;
}

std::size_t Input::bytes_from(od::value& value) const {
  return text_bytes_ - static_cast<std::size_t>(value.raw_json_token().data() - buffer_.data());
}

Outcome Input::finish() {
  if (document_.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return failure(ParseError::NotJson);
  }
  return {};
}

Result<bool, ParseError> Elements::next(od::value& out) {
  if (started_) ++at_;
  started_ = true;
  if (!(at_ != end_)) return false;
  if ((*at_).get(out) != simdjson::SUCCESS) return failure(ParseError::NotJson);
  return true;
}

ParseError parse_error(simdjson::error_code error, ParseError wrong_type) {
  return error == simdjson::INCORRECT_TYPE ? wrong_type : ParseError::NotJson;
}

Result<std::string_view, ParseError> read_text(od::value& value) {
  std::string_view text;
  const auto error = value.get_string().get(text);
  if (error != simdjson::SUCCESS) return failure(parse_error(error, ParseError::BadType));
  if (text.find('\0') != std::string_view::npos) return failure(ParseError::BadText);
  return text;
}

Result<std::uint64_t, ParseError> read_unsigned(od::value& value, std::uint64_t value_max) {
  std::uint64_t number = 0;
  if (value.get_uint64().get(number) != simdjson::SUCCESS) {
    od::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    return failure(type == od::json_type::number ? ParseError::BadNumber : ParseError::BadType);
  }
  if (number > value_max) return failure(ParseError::BadNumber);
  return number;
}

Result<bool, ParseError> read_boolean(od::value& value) {
  bool flag = false;
  const auto error = value.get_bool().get(flag);
  if (error != simdjson::SUCCESS) return failure(parse_error(error, ParseError::BadType));
  return flag;
}

Result<od::array, ParseError> read_array(od::value& value, ParseError wrong_type) {
  od::array array;
  const auto error = value.get_array().get(array);
  if (error != simdjson::SUCCESS) return failure(parse_error(error, wrong_type));
  return array;
}

Result<od::object, ParseError> read_object(od::value& value) {
  od::object object;
  const auto error = value.get_object().get(object);
  if (error != simdjson::SUCCESS) return failure(parse_error(error, ParseError::NotAnObject));
  return object;
}

namespace {

Outcome checked(simdjson::error_code error) {
  if (error != simdjson::SUCCESS) return failure(ParseError::NotJson);
  return {};
}

Outcome read_past_array(od::value& value, std::size_t depth_left) {
  if (depth_left == 0) return failure(ParseError::TooDeep);
  const auto array = read_array(value, ParseError::NotJson);
  if (!array) return failure(array.error());
  Elements elements(*array);
  od::value item;
  while (true) {
    const auto more = elements.next(item);
    if (!more) return failure(more.error());
    if (!*more) return {};
    if (auto passed = read_past(item, depth_left - 1); !passed) return passed;
  }
}

Outcome read_past_object(od::value& value, std::size_t depth_left) {
  if (depth_left == 0) return failure(ParseError::TooDeep);
  auto object = read_object(value);
  if (!object) return failure(object.error());
  for (auto field : *object) {
    std::string_view key;
    od::value item;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    if (field.value().get(item) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    if (auto passed = read_past(item, depth_left - 1); !passed) return passed;
  }
  return {};
}

}  // namespace

Outcome read_past(od::value& value, std::size_t depth_left) {
  od::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return failure(ParseError::NotJson);
  switch (type) {
    case od::json_type::array:
      return read_past_array(value, depth_left);
    case od::json_type::object:
      return read_past_object(value, depth_left);
    case od::json_type::string:
      return checked(value.get_string().error());
    case od::json_type::number:
      return checked(value.get_double().error());
    case od::json_type::boolean:
      return checked(value.get_bool().error());
    case od::json_type::null:
      return checked(value.is_null().error());
  }
  return failure(ParseError::NotJson);
}

}  // namespace nostril::json_input
