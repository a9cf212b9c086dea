#include "bench/relay/load/relay_line.h"

#include <charconv>

namespace nostril::bench {

namespace {

constexpr std::size_t kIdHexChars = 64;
constexpr std::size_t kKeyHexChars = 16;

std::string_view skip(std::string_view text, std::string_view chars) {
  const std::size_t at = text.find_first_not_of(chars);
  return at == std::string_view::npos ? std::string_view() : text.substr(at);
}

// The string at the front, without its quotes; `text` goes on behind it. Labels, ids and our own
// subscriptions hold no escapes.
std::string_view take_string(std::string_view& text) {
  text = skip(text, " ,");
  if (!text.starts_with('"')) return {};
  const std::size_t end = text.find('"', 1);
  if (end == std::string_view::npos) return {};
  const std::string_view value = text.substr(1, end - 1);
  text.remove_prefix(end + 1);
  return value;
}

RelayLine::Kind kind_of(std::string_view label) {
  if (label == "EVENT") return RelayLine::Kind::Event;
  if (label == "OK") return RelayLine::Kind::Ok;
  if (label == "EOSE") return RelayLine::Kind::EndOfStored;
  if (label == "COUNT") return RelayLine::Kind::Count;
  if (label == "CLOSED") return RelayLine::Kind::Closed;
  if (label == "NOTICE") return RelayLine::Kind::Notice;
  return RelayLine::Kind::Other;
}

// From the value of the member on. Quotes inside strings are escaped, so `name` in quotes, followed
// by a colon, is a member.
std::string_view member(std::string_view object, std::string_view name, char begins_with) {
  std::size_t at = 0;
  while ((at = object.find(name, at)) != std::string_view::npos) {
    at += name.size();
    std::string_view value = skip(object.substr(at), " ");
    if (!value.starts_with(':')) continue;
    value = skip(value.substr(1), " ");
    if (begins_with == 0 || value.starts_with(begins_with)) return value;
  }
  return {};
}

// Only the event has a member of that name.
std::string_view id_of_event(std::string_view event) {
  const std::string_view value = member(event, "\"id\"", '"');
  return value.empty() ? value : value.substr(1, kIdHexChars);
}

}  // namespace

bool RelayLine::accepted() const {
  return kind == Kind::Ok && skip(rest, " ,").starts_with("true");
}

std::optional<std::uint64_t> RelayLine::id_key() const {
  const std::string_view hex = kind == Kind::Ok ? subject : id_of_event(rest);
  if (hex.size() != kIdHexChars) return std::nullopt;
  std::uint64_t key = 0;
  const char* end = hex.data() + kKeyHexChars;
  const auto read = std::from_chars(hex.data(), end, key, 16);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return key;
}

std::optional<std::uint64_t> RelayLine::count() const {
  if (kind != Kind::Count) return std::nullopt;
  const std::string_view digits = member(rest, "\"count\"", 0);
  std::uint64_t value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (read.ec != std::errc()) return std::nullopt;
  return value;
}

RelayLine read_relay_line(std::string_view text) {
  RelayLine line;
  std::string_view rest = skip(text, " [");
  line.kind = kind_of(take_string(rest));
  line.subject = take_string(rest);
  line.rest = rest;
  return line;
}

}  // namespace nostril::bench
