#include "events/filter.h"

#include "base/bytes.h"
#include "base/check.h"

#include <string>

using namespace nostril;  // NOLINT(google-build-using-namespace)

namespace {

std::string written(const Filter& filter) {
  std::string out;
  append_json(out, filter);
  return out;
}

/// An event made of the filter's own first values: it matches unless nothing can.
Event event_for(const Filter& filter) {
  Event event;
  if (filter.ids && !filter.ids->empty()) event.id = filter.ids->front();
  if (filter.authors && !filter.authors->empty()) event.pubkey = filter.authors->front();
  if (filter.kinds && !filter.kinds->empty()) event.kind = filter.kinds->front();
  event.created_at = filter.since.value_or(filter.until.value_or(0));
  for (const Filter::TagValues& tag : filter.tags) {
    if (!tag.values.empty()) event.tags.add({std::string_view(&tag.name, 1), tag.values.front()});
  }
  return event;
}

}  // namespace

/// What is accepted comes back the same from its own text, and matches what it names.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FilterLimits limits;
  limits.values_max = 50;
  const auto first = parse_filter(as_text({data, size}), limits);
  if (!first) return 0;
  const std::string text = written(*first);
  const auto second = parse_filter(text, limits);
  CHECK(second.has_value());
  CHECK(written(*second) == text);
  const Event event = event_for(*first);
  Filter plain = *first;  // what a search finds: search_fuzz.cpp
  plain.search.reset();
  CHECK(plain.matches(event) != plain.matches_nothing());
  CHECK(!first->matches(event) || plain.matches(event));
  return 0;
}
