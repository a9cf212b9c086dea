#include "events/filter.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"

#include <algorithm>
#include <functional>

namespace nostril {

namespace {

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

template <typename Values, typename Value>
bool contains(const Values& sorted, const Value& value) {
#ifndef NDEBUG
  CHECK(std::is_sorted(sorted.begin(), sorted.end()));  // else normalize() was forgotten
#endif
  return std::binary_search(sorted.begin(), sorted.end(), value, std::less<>{});
}

bool has_tag(const Event& event, const Filter::TagValues& wanted) {
  for (const Tags::View tag : event.tags) {
    const std::string_view name = tag.name();
    if (name.size() != 1 || name[0] != wanted.name || tag.size() < 2) continue;
    if (contains(wanted.values, tag[1])) return true;
  }
  return false;
}

template <typename Ids>
void write_ids(JsonWriter& writer, std::string_view name, const Ids& ids) {
  writer.key(name).begin_array();
  for (const auto& id : ids) writer.string(encode_hex(id));
  writer.end_array();
}

void write_tag(JsonWriter& writer, const Filter::TagValues& tag) {
  const char name[] = {'#', tag.name};
  writer.key(std::string_view(name, 2)).begin_array();
  for (const std::string& value : tag.values) writer.string(value);
  writer.end_array();
}

}  // namespace

void Filter::normalize() {
  if (ids) sort_unique(*ids);
  if (authors) sort_unique(*authors);
  if (kinds) sort_unique(*kinds);
  for (TagValues& tag : tags) sort_unique(tag.values);
}

bool Filter::matches(const Event& event) const {
  if (since && event.created_at < *since) return false;
  if (until && event.created_at > *until) return false;
  if (kinds && !contains(*kinds, event.kind)) return false;
  if (authors && !contains(*authors, event.pubkey)) return false;
  if (ids && !contains(*ids, event.id)) return false;
  if (!std::ranges::all_of(tags, [&](const TagValues& tag) { return has_tag(event, tag); })) {
    return false;
  }
  return !is_search() || search->matches(event);
}

bool Filter::matches_nothing() const {
  if (since && until && *since > *until) return true;
  if ((ids && ids->empty()) || (authors && authors->empty()) || (kinds && kinds->empty())) {
    return true;
  }
  return std::ranges::any_of(tags, [](const TagValues& tag) { return tag.values.empty(); });
}

bool matches_any(const std::vector<Filter>& filters, const Event& event) {
  return std::ranges::any_of(filters, [&](const Filter& filter) { return filter.matches(event); });
}

void append_json(std::string& out, const Filter& filter) {
  JsonWriter writer;
  writer.begin_object();
  if (filter.ids) write_ids(writer, "ids", *filter.ids);
  if (filter.authors) write_ids(writer, "authors", *filter.authors);
  if (filter.kinds) {
    writer.key("kinds").begin_array();
    for (const std::uint32_t kind : *filter.kinds) writer.integer(kind);
    writer.end_array();
  }
  for (const Filter::TagValues& tag : filter.tags) write_tag(writer, tag);
  if (filter.since) writer.key("since").integer(*filter.since);
  if (filter.until) writer.key("until").integer(*filter.until);
  if (filter.limit) writer.key("limit").raw(std::to_string(*filter.limit));
  if (filter.search) writer.key("search").string(filter.search->text());
  writer.end_object();
  out += writer.text();
}

}  // namespace nostril
