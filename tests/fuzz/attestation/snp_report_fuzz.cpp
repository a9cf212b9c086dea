#include "attestation/snp_report.h"

#include "base/check.h"
#include "tests/attestation/snp_fixtures.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace {

using nostril::ByteSpan;
using namespace nostril::attestation;  // NOLINT(google-build-using-namespace): a program of its own

constexpr std::size_t kSignedBytes = 0x2a0;

/// What is signed is the simulator's; of an empty chain or CRL nothing is.
bool is_same(const SnpEvidence& evidence, const SnpEvidence& sound) {
  return evidence.report.size() == sound.report.size() &&
         evidence.certificates.vek == sound.certificates.vek &&
         std::equal(sound.report.begin(), sound.report.begin() + kSignedBytes,
                    evidence.report.begin());
}

}  // namespace

// The first byte says which part the rest is: 0 a report, 1 a certificate, 2 the chain, 3 the CRL;
// the others stay the simulator's. No crash, and nothing but the simulator's own is accepted.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const SnpSimulator kSimulator = test::snp_simulator();
  static const SnpEvidence kSound = test::snp_evidence(kSimulator);
  static const TrustRoots kRoots = test::roots_of(kSimulator);
  if (size == 0) return 0;
  const ByteSpan bytes = ByteSpan(data, size).subspan(1);
  SnpEvidence evidence = kSound;
  switch (data[0] % 4) {
    case 0:
      evidence.report.assign(bytes.begin(), bytes.end());
      break;
    case 1:
      evidence.certificates.vek.assign(bytes.begin(), bytes.end());
      break;
    case 2:
      evidence.certificates.chain.assign(bytes.begin(), bytes.end());
      break;
    default:
      evidence.certificates.crl.assign(bytes.begin(), bytes.end());
      break;
  }
  const Verdict verdict = verify_snp(evidence, kRoots, test::kNow, test::simulated_snp_policy());
  CHECK(!verdict.accepted || is_same(evidence, kSound));
  CHECK(!explain(verdict).empty() && !to_json(verdict).empty());
  return 0;
}
