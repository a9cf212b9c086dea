#include "attestation/model_manifest.h"
#include "base/bytes.h"
#include "base/check.h"

#include <cstddef>
#include <cstdint>

/// Input: the text of a proof. What is read is the one text of what it says, and proves nothing of
/// bytes that are not the leaf.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril;
  const std::string_view text = as_text({data, size});
  const auto proof = attestation::parse_leaf_proof(text);
  if (!proof) return 0;
  CHECK(attestation::print_leaf_proof(*proof) == text);
  CHECK(!attestation::is_leaf(*proof, {data, size}));
  return 0;
}
