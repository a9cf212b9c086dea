// What relays of a cluster say to each other: the first byte chooses which reader. What is read and
// written again reads as the same.
#include "base/check.h"
#include "relay/cluster/codec.h"

#include <cstdint>
#include <string_view>

namespace {

using namespace nostril;         // NOLINT(google-build-using-namespace): a program's own file
using namespace nostril::relay;  // NOLINT(google-build-using-namespace)

template <typename Parse>
void reads_again(Parse parse, std::string_view text) {
  const auto read = parse(text);
  if (!read) return;
  const auto again = parse(to_json(*read));
  CHECK(again.has_value());
  CHECK(*again == *read);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'c':
      reads_again(parse_control_request, text);
      break;
    case 'r':
      reads_again(parse_control_reply, text);
      break;
    case 'm': {
      // An escaped character may be longer than what it stands for: what is read may be too long
      // when written.
      const auto read = parse_moderation(text);
      if (read && to_json(*read).size() <= kModerationBytesMax) reads_again(parse_moderation, text);
      break;
    }
    case 's':
      reads_again(parse_snapshot_request, text);
      break;
    case 'o':
      reads_again(parse_snapshot_offer, text);
      break;
    case 'h':
      reads_again(parse_snapshot_opened, text);
      break;
    case 'p': {
      const auto piece = parse_piece_reply(as_bytes(text));
      CHECK(!piece || piece->size() <= kChunkBytes);
      break;
    }
    default:
      break;
  }
  return 0;
}
