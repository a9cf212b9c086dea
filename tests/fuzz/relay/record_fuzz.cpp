#include "relay/store/record.h"

#include "base/check.h"
#include "relay/store/dictionary.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

using namespace nostril;         // NOLINT(google-build-using-namespace)
using namespace nostril::relay;  // NOLINT(google-build-using-namespace)

namespace {

// Two that a record may name, made of plain text; all other ids are unknown.
const Dictionaries& known_dictionaries() {
  static const auto once = [] {
    auto known = std::make_unique<Dictionaries>();
    known->add(Dictionary::make(DictionaryId{1}, as_bytes("the relay stores the event ")));
    known->add(Dictionary::make(DictionaryId{2}, as_bytes("{\"name\":\"\",\"about\":\"\"}")));
    return known;
  }();
  return *once;
}

void check_filter(const RecordView& view, const Event& event) {
  Filter filter;
  filter.kinds = {event.kind};
  for (const auto tag : event.tags) {
    if (tag.name().size() == 1 && tag.value()) {
      filter.tags.push_back({tag.name()[0], {std::string(*tag.value())}});
    }
  }
  CHECK(view.matches(RecordFilter(filter)));
}

// A record has one form, but for how its content is packed.
void check_other_forms(const RecordView& view, const Event& event) {
  // What the expiration field says may differ from the tag in a damaged file.
  if (expiration_of(event) == view.expiration()) {
    Bytes as_text;
    encode_record(as_text, event);
    Bytes repacked;
    CHECK(repack_record(repacked, view, nullptr).has_value() && repacked == as_text);
    if (!view.is_packed()) CHECK(std::ranges::equal(as_text, view.bytes()));
  }
  for (const unsigned id : {1U, 2U}) {
    const Dictionary* dictionary =
        known_dictionaries().find(DictionaryId{static_cast<std::uint8_t>(id)});
    Bytes packed;
    CHECK(repack_record(packed, view, dictionary).has_value());
    const auto again = RecordView::parse(packed, &known_dictionaries());
    CHECK(again.has_value() && again->content().value() == event.content);
  }
}

}  // namespace

// A record from a damaged file is refused, or is an event: then all readings of it agree.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  const auto view = RecordView::parse(bytes, &known_dictionaries());
  if (!view) return 0;
  const auto event = view->to_event();
  TextBuffer json;
  CHECK(append_json(json, *view) == event.has_value());
  if (!event) {
    CHECK(json.size() == 0 && view->is_packed());
    return 0;
  }
  CHECK(event->content.size() == view->content_bytes());
  CHECK(event->tags.size() == view->tag_count());
  CHECK(json.text() == to_json(*event));
  check_other_forms(*view, *event);
  check_filter(*view, *event);
  return 0;
}
