#include "events/known_good.h"

#include "base/bytes.h"
#include "base/check.h"
#include "events/kinds.h"
#include "tests/fuzz/events/tag_lines.h"

#include <cstddef>
#include <cstdint>

/// Input: tags as lines (tag_lines.h). What parses is written again as the same tags,
/// but for unknown ones and the order.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nostril::Event event;
  event.kind = nostril::kinds::kKnownGood;
  event.created_at = 1'800'000'000;
  event.tags = nostril::fuzz::read_tags(nostril::as_text({data, size}));
  const auto list = nostril::parse_known_good(event);
  if (!list) return 0;
  nostril::Event again = event;
  again.tags = nostril::build_known_good(*list).tags;
  const auto second = nostril::parse_known_good(again);
  CHECK(second && *second == *list);
  return 0;
}
