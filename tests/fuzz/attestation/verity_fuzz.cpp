#include "attestation/verity.h"

#include "base/bytes.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>

// Any text: refused, or the one text of what it says.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::attestation;
  const auto text = nostril::as_text(nostril::ByteSpan(data, size));
  const auto device = parse_verity(text);
  CHECK(!device || print_verity(*device) == text);
  return 0;
}
