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

/// The sound answers of the corpus, as the simulator makes them.
std::vector<Bytes> sound_answers(const GpuSimulator& simulator) {
  SimOcsp by_issuer;
  by_issuer.delegated = false;
  SimOcsp with_nonce;
  with_nonce.nonce = Bytes(16, 7);
  std::vector<Bytes> out;
  for (const SimOcsp& fields : {SimOcsp(), by_issuer, with_nonce}) {
    out.push_back(simulator.ocsp_answers(0, fields).front());
  }
  return out;
}

/// What is signed is the simulator's.
bool is_signed_by_simulator(const OcspAnswer& answer, const std::vector<Bytes>& sound) {
  return std::any_of(sound.begin(), sound.end(), [&](const Bytes& bytes) {
    const OcspAnswer known = parse_ocsp(bytes).value();
    return std::equal(answer.signed_part.begin(), answer.signed_part.end(),
                      known.signed_part.begin(), known.signed_part.end());
  });
}

}  // namespace

// Any bytes as an answer about a simulated GPU's BROM certificate: no crash, and only what the
// simulator signed is taken.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const GpuSimulator kSimulator = test::gpu_simulator();
  static const std::vector<Certificate> kChain = parse_gpu_chain(kSimulator.chain(0)).value();
  static const std::vector<Bytes> kSound = sound_answers(kSimulator);
  const auto answer = parse_ocsp(ByteSpan(data, size));
  if (!answer) return 0;
  ChainCache cache;
  const auto good = judge_ocsp(*answer, kChain[1], kChain[2], test::kNow, {}, cache);
  CHECK(!good || is_signed_by_simulator(*answer, kSound));
  return 0;
}
