#include "events/frames.h"

#include "base/bytes.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>

/// Whatever parses must print, and read back as the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto frame = nostril::parse_frame(nostril::as_text({data, size}));
  if (!frame) return 0;
  const auto again = nostril::parse_frame(nostril::print_frame(frame->n, frame->frame));
  CHECK(again && again->n == frame->n && again->frame == frame->frame);
  return 0;
}
