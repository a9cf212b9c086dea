// What one verdict costs a client: a TDX quote with collateral, nine P-256 verifications or so; an
// SNP report, one of P-384 and two of RSA (2048 bits here, AMD's have 4096), beside these alone.
#include "attestation/verify.h"

#include "attestation/pack.h"
#include "attestation/simulator.h"
#include "attestation/snp_simulator.h"

#include <benchmark/benchmark.h>

#include <array>
#include <memory>

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

struct SnpSetup {
  SnpSimulator simulator{std::make_shared<const SnpSimKeys>(std::array<std::uint8_t, 32>{1})};
  TrustRoots roots = TrustRoots::with_test_root(simulator.root_der()).value();
  SnpEvidence evidence = simulator.evidence(std::array<std::uint8_t, 64>{}, Measurement{});
  SnpPolicy policy;

  SnpSetup() { policy.accept_simulated = true; }
};

void BM_VerifySnp(benchmark::State& state) {
  const SnpSetup setup;
  for (auto _ : state) {
    const Verdict verdict = verify_snp(setup.evidence, setup.roots, kNow, setup.policy);
    if (!verdict.accepted) state.SkipWithError("refused");
  }
}

void BM_SnpSignaturesAlone(benchmark::State& state) {
  const SnpSetup setup;
  const auto report = parse_snp_report(setup.evidence.report);
  const auto vek = parse_certificate(setup.evidence.certificates.vek);
  const auto issuers = parse_pem_chain(setup.evidence.certificates.chain);
  const auto signed_by = [](const Certificate& child, const Certificate& issuer) {
    return X509_verify(child.get(), X509_get0_pubkey(issuer.get())) == 1;
  };
  for (auto _ : state) {
    const bool good = verify_p384(p384_key_of(*vek), report->signed_part, report->signature) &&
                      signed_by(*vek, issuers->at(0)) && signed_by(issuers->at(0), issuers->at(1));
    if (!good) state.SkipWithError("a signature is wrong");
  }
}

BENCHMARK(BM_VerifyTdxWithCollateral)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_UnpackEvidence)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_VerifySnp)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_SnpSignaturesAlone)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace nostril::attestation
