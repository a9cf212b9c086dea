#include "events/event.h"
#include "events/json_input.h"
#include "events/kinds.h"
#include "events/text.h"

#include <limits>
#include <utility>

namespace nostril {

namespace json_input {

namespace {

enum class Member : std::uint8_t { Id, Pubkey, CreatedAt, Kind, Tags, Content, Sig, Unknown };
constexpr unsigned kAllMembers = (1U << static_cast<unsigned>(Member::Unknown)) - 1;

Member find_member(std::string_view key) {
  switch (key.size()) {
    case 2:
      return key == "id" ? Member::Id : Member::Unknown;
    case 3:
      return key == "sig" ? Member::Sig : Member::Unknown;
    case 4:
      if (key == "kind") return Member::Kind;
      return key == "tags" ? Member::Tags : Member::Unknown;
    case 6:
      return key == "pubkey" ? Member::Pubkey : Member::Unknown;
    case 7:
      return key == "content" ? Member::Content : Member::Unknown;
    case 10:
      return key == "created_at" ? Member::CreatedAt : Member::Unknown;
    default:
      return Member::Unknown;
  }
}

Outcome read_tag(od::array array, const EventLimits& limits, Tags& out) {
  Elements elements(array);
  std::size_t count = 0;
  od::value value;
  while (true) {
    const auto more = elements.next(value);
    if (!more) return failure(more.error());
    if (!*more) break;
    if (++count > limits.tag_elements_max) return failure(ParseError::TooMany);
    const auto text = read_text(value);
    if (!text) {
      return failure(text.error() == ParseError::BadType ? ParseError::BadTag : text.error());
    }
    if (text->size() > limits.tag_element_bytes_max) return failure(ParseError::TooLarge);
    out.add_element(*text);
  }
  if (count == 0) return failure(ParseError::BadTag);
  out.finish_tag();
  return {};
}

Outcome read_each_tag(od::value& tags, const EventLimits& limits, Tags& out) {
  const auto array = read_array(tags, ParseError::BadType);
  if (!array) return failure(array.error());
  Elements elements(*array);
  od::value value;
  while (true) {
    const auto more = elements.next(value);
    if (!more) return failure(more.error());
    if (!*more) return {};
    if (out.size() == limits.tags_max) return failure(ParseError::TooMany);
    const auto tag = read_array(value, ParseError::BadTag);
    if (!tag) return failure(tag.error());
    if (auto read = read_tag(*tag, limits, out); !read) return read;
  }
}

/// Most events have few tags: gathered in memory that the thread keeps, their list is then copied
/// in its exact size, three allocations in place of a dozen. A large list is handed over as it
/// grew.
Outcome read_tags(od::value& tags, const EventLimits& limits, Tags& out) {
  static const Tags kNone;
  static constexpr std::size_t kCopiedBytesMax = 4096;
  thread_local Tags gathered;
  gathered = kNone;  // keeps its memory
  if (auto read = read_each_tag(tags, limits, gathered); !read) return read;
  if (gathered.bytes() <= kCopiedBytesMax) {
    out = gathered;
  } else {
    out = std::exchange(gathered, Tags());
  }
  return {};
}

Outcome read_content(od::value& value, const EventLimits& limits, std::string& out) {
  const auto text = read_text(value);
  if (!text) return failure(text.error());
  if (text->size() > limits.content_bytes_max) return failure(ParseError::TooLarge);
  if (text->size() > limits.content_chars_max && char_count(*text) > limits.content_chars_max) {
    return failure(ParseError::TooLarge);
  }
  out = *text;
  return {};
}

Outcome read_member(Member member, od::value& value, const EventLimits& limits, Event& out) {
  switch (member) {
    case Member::Id:
      return read_hex(value, out.id);
    case Member::Pubkey:
      return read_hex(value, out.pubkey);
    case Member::Sig:
      return read_hex(value, out.sig);
    case Member::CreatedAt: {
      const auto time = read_unsigned(value, std::numeric_limits<std::int64_t>::max());
      if (!time) return failure(time.error());
      out.created_at = static_cast<std::int64_t>(*time);
      return {};
    }
    case Member::Kind: {
      const auto kind = read_unsigned(value, kKindMax);
      if (!kind) return failure(kind.error());
      out.kind = static_cast<std::uint32_t>(*kind);
      return {};
    }
    case Member::Tags:
      return read_tags(value, limits, out.tags);
    case Member::Content:
      return read_content(value, limits, out.content);
    case Member::Unknown:
      break;
  }
  return failure(ParseError::UnknownField);
}

Outcome read_past_other(simdjson::simdjson_result<od::field>& field, const EventLimits& limits) {
  if (!limits.drops_other_members) return failure(ParseError::UnknownField);
  od::value value;
  if (field.value().get(value) != simdjson::SUCCESS) return failure(ParseError::NotJson);
  return read_past(value);
}

}  // namespace

Outcome read_event(od::object& object, const EventLimits& limits, Event& out) {
  unsigned seen = 0;
  for (auto field : object) {
    std::string_view key;
    // Unescaped: "\u0069d" is id, too.
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    const Member member = find_member(key);
    if (member == Member::Unknown) {
      if (auto passed = read_past_other(field, limits); !passed) return passed;
      continue;
    }
    const unsigned bit = 1U << static_cast<unsigned>(member);
    if ((seen & bit) != 0) return failure(ParseError::DoubleField);
    seen |= bit;
    od::value value;
    if (field.value().get(value) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    if (auto read = read_member(member, value, limits, out); !read) return read;
  }
  if (seen != kAllMembers) return failure(ParseError::MissingField);
  return {};
}

}  // namespace json_input

Result<UnverifiedEvent, ParseError> parse_event(std::string_view json, const EventLimits& limits) {
  if (json.size() > limits.json_bytes_max) return failure(ParseError::TooLarge);
  auto& input = json_input::Input::of_this_thread();
  if (auto opened = input.open(json); !opened) return failure(opened.error());
  auto object = input.object();
  if (!object) return failure(object.error());
  Event event;
  if (auto read = json_input::read_event(*object, limits, event); !read) {
    return failure(read.error());
  }
  if (auto end = input.finish(); !end) return failure(end.error());
  return check_id(std::move(event));
}

}  // namespace nostril
