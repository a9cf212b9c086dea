#include "events/filter.h"
#include "events/json_input.h"
#include "events/kinds.h"

#include <algorithm>
#include <limits>

namespace nostril {

namespace json_input {

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Calls read(value) for each element of the array `list`; its result goes into `out`.
template <typename T, typename Read>
Outcome read_list(od::value& list, std::size_t values_max, std::vector<T>& out, Read&& read) {
  const auto array = read_array(list, ParseError::BadType);
  if (!array) return failure(array.error());
  Elements elements(*array);
  od::value value;
  while (true) {
    const auto more = elements.next(value);
    if (!more) return failure(more.error());
    if (!*more) return {};
    if (out.size() == values_max) return failure(ParseError::TooMany);
    T element{};
    if (Outcome outcome = read(value, element); !outcome) return outcome;
    out.push_back(std::move(element));
  }
}

/// Reads members of one filter, each once.
class FilterReader {
 public:
  FilterReader(const FilterLimits& limits, Filter& out) : limits_(limits), out_(out) {}

  Outcome read(std::string_view key, od::value& value) {
    if (key.size() == 2 && key[0] == '#' && is_letter(key[1])) return read_tag(key[1], value);
    if (key == "ids") return read_hex_list(value, out_.ids);
    if (key == "authors") return read_hex_list(value, out_.authors);
    if (key == "kinds") return read_kinds(value);
    if (key == "since") return read_number(value, kTimeMax, out_.since);
    if (key == "until") return read_number(value, kTimeMax, out_.until);
    if (key == "limit") {
      return read_number(value, std::numeric_limits<std::uint64_t>::max(), out_.limit);
    }
    if (key == "search") return read_search(value);
    return failure(ParseError::UnknownField);
  }

 private:
  static constexpr std::uint64_t kTimeMax = std::numeric_limits<std::int64_t>::max();

  template <typename Id>
  Outcome read_hex_list(od::value& value, std::optional<std::vector<Id>>& out) {
    if (out) return failure(ParseError::DoubleField);
    return read_list(value, limits_.values_max, out.emplace(),
                     [](od::value& item, Id& id) { return read_hex(item, id); });
  }

  Outcome read_kinds(od::value& value) {
    if (out_.kinds) return failure(ParseError::DoubleField);
    return read_list(value, limits_.values_max, out_.kinds.emplace(),
                     [](od::value& item, std::uint32_t& kind) -> Outcome {
                       const auto number = read_unsigned(item, kKindMax);
                       if (!number) return failure(number.error());
                       kind = static_cast<std::uint32_t>(*number);
                       return {};
                     });
  }

  Outcome read_tag(char name, od::value& value) {
    if (std::ranges::find(out_.tags, name, &Filter::TagValues::name) != out_.tags.end()) {
      return failure(ParseError::DoubleField);
    }
    if (out_.tags.size() == limits_.tag_names_max) return failure(ParseError::TooMany);
    out_.tags.push_back(Filter::TagValues{name, {}});
    return read_list(value, limits_.values_max, out_.tags.back().values,
                     [this](od::value& item, std::string& text) -> Outcome {
                       const auto read = read_text(item);
                       if (!read) return failure(read.error());
                       if (read->size() > limits_.tag_value_bytes_max) {
                         return failure(ParseError::TooLarge);
                       }
                       text = *read;
                       return {};
                     });
  }

  Outcome read_search(od::value& value) {
    if (out_.search) return failure(ParseError::DoubleField);
    const auto text = read_text(value);
    if (!text) return failure(text.error());
    if (text->size() > limits_.search_bytes_max) return failure(ParseError::TooLarge);
    out_.search.emplace(*text);
    return {};
  }

  template <typename Number>
  static Outcome read_number(od::value& value, std::uint64_t value_max,
                             std::optional<Number>& out) {
    if (out) return failure(ParseError::DoubleField);
    const auto number = read_unsigned(value, value_max);
    if (!number) return failure(number.error());
    out = static_cast<Number>(*number);
    return {};
  }

  const FilterLimits& limits_;
  Filter& out_;
};

}  // namespace

Outcome read_filter(od::object& object, const FilterLimits& limits, Filter& out) {
  FilterReader reader(limits, out);
  for (auto field : object) {
    std::string_view key;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    od::value value;
    if (field.value().get(value) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    if (auto read = reader.read(key, value); !read) return read;
  }
  out.normalize();
  return {};
}

}  // namespace json_input

Result<Filter, ParseError> parse_filter(std::string_view json, const FilterLimits& limits) {
  auto& input = json_input::Input::of_this_thread();
  if (auto opened = input.open(json); !opened) return failure(opened.error());
  auto object = input.object();
  if (!object) return failure(object.error());
  Filter filter;
  if (auto read = json_input::read_filter(*object, limits, filter); !read) {
    return failure(read.error());
  }
  if (auto end = input.finish(); !end) return failure(end.error());
  return filter;
}

}  // namespace nostril
