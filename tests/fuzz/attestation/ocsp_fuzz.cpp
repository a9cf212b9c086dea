#include "attestation/ocsp.h"

#include "attestation/gpu_certificates.h"
#include "base/check.h"
#include "tests/attestation/gpu_fixtures.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using nostril::Bytes;
using nostril::ByteSpan;
using namespace nostril::attestation;  // NOLINT(google-build-using-namespace): a program of its own

/// What is signed is the simulator's.
bool is_same(const OcspAnswer& found, const OcspAnswer& sound) {
  return std::equal(found.signed_part.begin(), found.signed_part.end(), sound.signed_part.begin(),
                    sound.signed_part.end());
}

}  // namespace

// Any bytes as an answer about a simulated GPU's BROM certificate: no crash, and only what the
// simulator signed is taken.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const GpuSimulator kSimulator = test::gpu_simulator();
  static const std::vector<Certificate> kChain = parse_gpu_chain(kSimulator.chain(0)).value();
  static const Bytes kSound = kSimulator.ocsp_answers(0, {}).front();
  static const OcspAnswer kAnswer = parse_ocsp(kSound).value();
  const auto answer = parse_ocsp(ByteSpan(data, size));
  if (!answer) return 0;
  ChainCache cache;
  const auto good = judge_ocsp(*answer, kChain[1], kChain[2], test::kNow, {}, cache);
  CHECK(!good || is_same(*answer, kAnswer));
  return 0;
}
