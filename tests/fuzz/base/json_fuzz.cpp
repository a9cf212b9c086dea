#include "base/json.h"

#include "base/bytes.h"
#include "base/check.h"

/// What is accepted must come back the same from its own text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nostril::JsonLimits limits;
  limits.bytes_max = 1U << 16;
  limits.depth_max = 16;
  const auto first = nostril::Json::parse(nostril::as_text({data, size}), limits);
  if (!first) return 0;
  const std::string text = first->dump();
  limits.bytes_max *= 6;  // an escaped control character is six times as long
  const auto second = nostril::Json::parse(text, limits);
  CHECK(second.has_value());
  CHECK(second->dump() == text);
  return 0;
}
