#include "attestation/sgx_quote.h"

#include "base/check.h"
#include "tests/attestation/fixtures.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace {

using nostril::Bytes;
using nostril::ByteSpan;
using namespace nostril::attestation;  // NOLINT(google-build-using-namespace): a program of its own

}  // namespace

// Any bytes as a quote of version 3: no crash, and none but the simulator's own is accepted.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Simulator kSimulator = test::simulator();
  static const Bytes kSound = kSimulator.sgx_quote(report_data(test::statement()), {});
  static const Collateral kCollateral = kSimulator.collateral(test::kNow, IntelTee::Sgx);
  static const TrustRoots kRoots = test::roots_of(kSimulator);
  const ByteSpan bytes(data, size);
  const auto quote = parse_sgx_quote(bytes);
  if (!quote) return 0;
  const Verdict verdict =
      verify_intel_quote(bytes, &kCollateral, kRoots, test::kNow, test::simulated_policy(), {});
  const ByteSpan part = quote->signed_part;
  CHECK(!verdict.accepted || std::equal(part.begin(), part.end(), kSound.begin()));
  CHECK(!explain(verdict).empty() && !to_json(verdict).empty());
  return 0;
}
