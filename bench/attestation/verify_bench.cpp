// What one verdict costs a client: a TDX quote with collateral, nine P-256 verifications or so.
#include "attestation/verify.h"

#include "attestation/pack.h"
#include "attestation/simulator.h"

#include <benchmark/benchmark.h>

#include <array>

namespace nostril::attestation {
namespace {

constexpr UnixTime kNow = 1790000000;

struct Setup {
  Simulator simulator{std::array<std::uint8_t, 32>{1}};
  TrustRoots roots = TrustRoots::with_test_root(simulator.root_der()).value();
  Statement statement;
  Policy policy;
  Evidence evidence;

  Setup() {
    statement.encryption_key_expires_at = kNow + 60;
    statement.gpu_evidence = gpu_evidence_digest({});
    policy.accept_simulated = true;
    evidence = simulator.evidence(statement, kNow);
  }
};

void BM_VerifyTdxWithCollateral(benchmark::State& state) {
  const Setup setup;
  for (auto _ : state) {
    const Verdict verdict =
        verify(setup.evidence, setup.statement, setup.roots, kNow, setup.policy);
    if (!verdict.accepted) state.SkipWithError("refused");
  }
}

void BM_UnpackEvidence(benchmark::State& state) {
  const std::string packed = pack_evidence(Setup().evidence);
  for (auto _ : state) {
    if (!unpack_evidence(packed)) state.SkipWithError("not unpacked");
  }
}

BENCHMARK(BM_VerifyTdxWithCollateral)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_UnpackEvidence)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace nostril::attestation
