#include "base/base85.h"

#include "base/check.h"

#include <algorithm>

/// One value, one text: both directions.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const nostril::ByteSpan input(data, size);
  if (const auto bytes = nostril::decode_base85(nostril::as_text(input))) {
    CHECK(nostril::encode_base85(*bytes) == nostril::as_text(input));
  }
  const auto back = nostril::decode_base85(nostril::encode_base85(input));
  CHECK(back.has_value() && std::ranges::equal(*back, input));
  return 0;
}
