#include "events/beacon.h"

#include "base/bytes.h"
#include "base/check.h"
#include "events/kinds.h"
#include "tests/fuzz/events/tag_lines.h"

#include <cstddef>
#include <cstdint>

/// Input: tags as lines (tag_lines.h). What parses is written again as a beacon that says the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nostril::Event event;
  event.kind = nostril::kinds::kBeacon;
  event.created_at = 1'800'000'000;
  event.tags = nostril::fuzz::read_tags(nostril::as_text({data, size}));
  const auto beacon = nostril::parse_beacon(event);
  if (!beacon) return 0;
  event.tags = nostril::build_beacon(beacon->created_at, beacon->random).tags;
  const auto second = nostril::parse_beacon(event);
  CHECK(second && *second == *beacon);
  return 0;
}
