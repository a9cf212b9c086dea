#include "relay/store/record.h"

#include "base/check.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

using namespace nostril;         // NOLINT(google-build-using-namespace)
using namespace nostril::relay;  // NOLINT(google-build-using-namespace)

// A record from a damaged file is refused, or is an event: then all readings of it agree.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  const auto view = RecordView::parse(bytes);
  if (!view) return 0;
  const Event event = view->to_event();
  CHECK(event.tags.size() == view->tag_count());
  std::string json;
  append_json(json, *view);
  CHECK(json == to_json(event));

  // What the expiration field says may differ from the tag in a damaged file; all else is one form.
  if (expiration_of(event) == view->expiration()) {
    Bytes again;
    encode_record(again, event);
    CHECK(std::ranges::equal(again, bytes));
  }
  Filter filter;
  filter.kinds = {event.kind};
  for (const auto tag : event.tags) {
    if (tag.name().size() == 1 && tag.value()) {
      filter.tags.push_back({tag.name()[0], {std::string(*tag.value())}});
    }
  }
  CHECK(view->matches(RecordFilter(filter)));
  return 0;
}
