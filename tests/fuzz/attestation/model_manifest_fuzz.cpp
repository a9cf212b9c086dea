#include "attestation/model_manifest.h"

#include "base/check.h"

#include <cstddef>
#include <cstdint>

// Any text: refused, or the one text of what it says.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::attestation;
  const auto text = nostril::as_text(nostril::ByteSpan(data, size));
  const auto manifest = parse_manifest(text);
  CHECK(!manifest || print_manifest(*manifest) == text);
  return 0;
}
