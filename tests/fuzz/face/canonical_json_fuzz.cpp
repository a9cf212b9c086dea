#include "face/canonical_json.h"

#include "base/bytes.h"
#include "base/check.h"

/// A canonical form is its own canonical form.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nostril::JsonLimits limits;
  limits.bytes_max = 1U << 16;
  limits.depth_max = 16;
  const auto value = nostril::Json::parse(nostril::as_text({data, size}), limits);
  if (!value) return 0;
  const auto text = nostril::face::canonical_json(*value);
  if (!text) return 0;
  const auto again = nostril::Json::parse(*text);
  CHECK(again.has_value());
  CHECK(nostril::face::canonical_json(*again) == text);
  return 0;
}
