#include "events/tag_reader.h"

#include <algorithm>

namespace nostril {

bool is_name(std::string_view text, std::size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c <= '~' && c != '"' && c != '\\';
  });
}

TagReader::TagReader(const Event& event, std::uint32_t kind) : event_(event) {
  if (event.kind != kind) fail(InferenceError::WrongKind);
}

void TagReader::fail(InferenceError error) {
  if (!error_) error_ = error;
}

void TagReader::version(std::string_view expected) {
  const auto tag = exactly("v", 2);
  if (tag && (*tag)[1] != expected) fail(InferenceError::WrongVersion);
}

std::vector<Tags::View> TagReader::all(std::string_view name, std::size_t count_max) {
  std::vector<Tags::View> found;
  for (const Tags::View tag : event_.tags) {
    if (tag.name() != name) continue;
    if (found.size() == count_max) {
      fail(InferenceError::TooMany);
      break;
    }
    found.push_back(tag);
  }
  return found;
}

std::optional<Tags::View> TagReader::optional(std::string_view name) {
  std::optional<Tags::View> found;
  for (const Tags::View tag : event_.tags) {
    if (tag.name() != name) continue;
    if (found) {
      fail(InferenceError::DoubleTag);
      return std::nullopt;
    }
    found = tag;
  }
  return found;
}

std::optional<Tags::View> TagReader::exactly(std::string_view name, std::size_t elements) {
  const auto tag = optional(name);
  if (!tag) {
    fail(InferenceError::MissingTag);
    return std::nullopt;
  }
  if (tag->size() != elements) {
    fail(InferenceError::BadTag);
    return std::nullopt;
  }
  return tag;
}

std::string TagReader::text(std::string_view name, std::size_t bytes_max) {
  const auto tag = exactly(name, 2);
  return tag ? checked_text((*tag)[1], bytes_max) : std::string();
}

std::string TagReader::name(std::string_view name, std::size_t bytes_max) {
  const auto tag = exactly(name, 2);
  return tag ? checked_name((*tag)[1], bytes_max) : std::string();
}

std::uint64_t TagReader::number(std::string_view name, std::uint64_t max) {
  const auto tag = exactly(name, 2);
  return tag ? integer((*tag)[1], max) : 0;
}

std::string_view TagReader::value(const Tags::View& tag) {
  if (tag.size() < 2) {
    fail(InferenceError::BadTag);
    return {};
  }
  return tag[1];
}

std::string TagReader::checked_text(std::string_view text, std::size_t bytes_max) {
  if (text.empty() || text.size() > bytes_max) {
    fail(InferenceError::BadTag);
    return {};
  }
  return std::string(text);
}

std::string TagReader::checked_name(std::string_view text, std::size_t bytes_max) {
  if (!is_name(text, bytes_max)) {
    fail(InferenceError::BadTag);
    return {};
  }
  return std::string(text);
}

std::uint64_t TagReader::integer(std::string_view text, std::uint64_t max) {
  const auto value = parse_decimal_u64(text, max);
  if (!value) fail(InferenceError::BadTag);
  return value.value_or(0);
}

std::int64_t TagReader::time(std::string_view text) {
  return static_cast<std::int64_t>(integer(text, (std::uint64_t{1} << 53) - 1));
}

Amount TagReader::amount(std::string_view text) {
  const auto value = Amount::parse(text);
  if (!value) fail(InferenceError::BadTag);
  return value.value_or(Amount{});
}

}  // namespace nostril
