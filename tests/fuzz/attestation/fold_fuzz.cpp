#include "attestation/fold.h"

#include "base/check.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

/// The input as text and as a folding: one text, one folding, within the bound that was given.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nostril::attestation::fold;
  using nostril::attestation::unfold;
  const nostril::ByteSpan input(data, size);
  const nostril::Bytes folded = fold(input);
  const auto back = unfold(folded, size);
  CHECK(back && std::ranges::equal(*back, input));
  CHECK(size == 0 || !unfold(folded, size - 1));
  if (const auto text = unfold(input, 2 * size)) CHECK(std::ranges::equal(fold(*text), input));
  return 0;
}
