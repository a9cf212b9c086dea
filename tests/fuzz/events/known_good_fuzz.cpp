#include "events/known_good.h"

#include "base/bytes.h"
#include "base/check.h"
#include "events/kinds.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Input: tags as lines of elements parted by tabs. What parses is written again as the same tags,
/// but for unknown ones and the order.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nostril::Event event;
  event.kind = nostril::kinds::kKnownGood;
  event.created_at = 1'800'000'000;
  std::string_view rest = nostril::as_text({data, size});
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    while (true) {
      const std::size_t tab = line.find('\t');
      event.tags.add_element(line.substr(0, tab));
      if (tab == std::string_view::npos) break;
      line.remove_prefix(tab + 1);
    }
    event.tags.finish_tag();
  }
  const auto list = nostril::parse_known_good(event);
  if (!list) return 0;
  nostril::Event again = event;
  again.tags = nostril::build_known_good(*list).tags;
  const auto second = nostril::parse_known_good(again);
  CHECK(second && *second == *list);
  return 0;
}
