#include "base/check.h"
#include "settlement/evm/transaction.h"

#include <algorithm>
#include <array>

using namespace nostril;                   // NOLINT(google-build-using-namespace)
using namespace nostril::settlement::evm;  // NOLINT(google-build-using-namespace)

namespace {

const EcdsaKey& fuzz_key() {
  static const EcdsaKey kKey = [] {
    std::array<std::uint8_t, 32> bytes{};
    bytes.fill(7);
    return *EcdsaKey::from_secret(SecretBytes<32>(std::span<const std::uint8_t, 32>(bytes)));
  }();
  return kKey;
}

}  // namespace

/// What is taken is in its one spelling; the same fields, signed by us, are taken again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan input(data, size);
  const auto parsed = parse_transaction(input);
  if (!parsed) return 0;
  CHECK(parsed->raw == Bytes(input.begin(), input.end()));
  const SignedTransaction ours = sign(parsed->transaction, fuzz_key());
  const auto again = parse_transaction(ours.raw);
  CHECK(again.has_value() && *again == ours);
  return 0;
}
