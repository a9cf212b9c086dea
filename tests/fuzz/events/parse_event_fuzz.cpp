#include "base/bytes.h"
#include "base/check.h"
#include "events/event.h"
#include "events/text.h"

#include <algorithm>
#include <string>

using namespace nostril;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::size_t kContentBytesMax = 2000;

EventLimits limits(bool drops_other_members = false) {
  EventLimits out;
  out.drops_other_members = drops_other_members;
  out.json_bytes_max = 1U << 16;
  out.tags_max = 50;
  out.tag_elements_max = 8;
  out.tag_element_bytes_max = 200;
  out.content_bytes_max = kContentBytesMax;
  return out;
}

/// A text as it came. Accepted: it comes back the same from what we write of it, which has no
/// member that a strict reader does not know; and what that one takes, a relay takes.
void read_text(std::string_view text) {
  const auto first = parse_event(text, limits(true));
  CHECK(first.has_value() || !parse_event(text, limits()).has_value());
  if (!first) return;
  CHECK(first->event().content.size() <= kContentBytesMax);
  const std::string written = to_json(first->event());
  EventLimits wide = limits();
  wide.json_bytes_max *= 6;  // an escaped control character is six times as long
  const auto second = parse_event(written, wide);
  CHECK(second.has_value());
  CHECK(to_json(second->event()) == written);
}

/// The bytes as content and tags of an event with the right id: a mutated text never has that.
/// Accepted exactly when all of it is text, and then unchanged.
void write_bytes(std::string_view bytes) {
  Event event;
  event.content = std::string(bytes.substr(0, std::min(bytes.size() / 2, kContentBytesMax)));
  bool is_text = is_event_text(event.content);
  const std::string_view rest = bytes.substr(bytes.size() / 2);
  for (std::size_t at = 0; at < rest.size() && event.tags.size() < 50; at += 16) {
    const std::string_view element = rest.substr(at, 16);
    is_text = is_text && is_event_text(element);
    event.tags.add({"t", element});
  }
  event.id = compute_id(event);
  const std::string written = to_json(event);
  const auto parsed = parse_event(written);
  CHECK(parsed.has_value() == is_text);
  CHECK(!parsed || to_json(parsed->event()) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_text(as_text({data, size}));
  write_bytes(as_text({data, size}));
  return 0;
}
