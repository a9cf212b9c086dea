#include "events/frame_stream.h"

#include "base/check.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace {

constexpr std::size_t kBytesMax = 7168;

}  // namespace

/// Parts of a stream, each behind its length in one byte. None gives more than it may; and what was
/// read goes through a stream of our own unchanged.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nostril::FrameDecompressor theirs;
  nostril::FrameCompressor ours;
  nostril::FrameDecompressor back;
  for (nostril::ByteSpan left(data, size); !left.empty();) {
    const std::size_t length = std::min<std::size_t>(left[0], left.size() - 1);
    const auto read = theirs.unpack(left.subspan(1, length), kBytesMax);
    left = left.subspan(1 + length);
    if (!read) return 0;
    CHECK(!read->empty() && read->size() <= kBytesMax);
    const auto again = back.unpack(ours.pack(*read), kBytesMax);
    CHECK(again && *again == *read);
  }
  return 0;
}
