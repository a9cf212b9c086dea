#include "attestation/gpu_report.h"

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

constexpr std::size_t kSignatureBytes = 96;

/// What is signed is the simulator's. ECDSA has two signatures of everything, r||s and r||-s.
bool is_same(const GpuEvidence& gpu, const GpuEvidence& sound) {
  const std::size_t size = sound.report.size() - kSignatureBytes;
  return gpu.chain == sound.chain && gpu.report.size() == sound.report.size() &&
         std::equal(sound.report.begin(), sound.report.begin() + static_cast<std::ptrdiff_t>(size),
                    gpu.report.begin());
}

}  // namespace

// The first byte says which part the rest is: 0 a report, 1 a chain; the other stays the
// simulator's. No crash, and nothing but the simulator's own is accepted.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const GpuSimulator kSimulator = test::gpu_simulator();
  static const std::vector<GpuEvidence> kSound = kSimulator.evidence(1, test::filled(0x66));
  static const TrustRoots kRoots = test::roots_of(kSimulator);
  if (size == 0) return 0;
  const ByteSpan bytes = ByteSpan(data, size).subspan(1);
  std::vector<GpuEvidence> gpus = kSound;
  Bytes& part = data[0] % 2 == 0 ? gpus[0].report : gpus[0].chain;
  part.assign(bytes.begin(), bytes.end());
  GpuPolicy policy = test::simulated_gpu_policy();
  policy.allow_missing_rims = true;
  const Verdict verdict = verify_gpus({gpus, {}, kRoots, test::kNow, policy});
  CHECK(!verdict.accepted || is_same(gpus[0], kSound[0]));
  CHECK(!explain(verdict).empty() && !to_json(verdict).empty());
  return 0;
}
