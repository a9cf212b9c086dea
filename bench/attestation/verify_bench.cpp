// What one verdict costs a client: a TDX quote with collateral, nine P-256 verifications or so; an
// SNP report, one of P-384 and two of RSA (2048 bits here, AMD's have 4096); GPUs with their
// reference manifests, three of P-384 each and seven that they share; a reference manifest, four of
// P-384. The last three beside these signatures alone.
#include "attestation/verify.h"

#include "attestation/gpu_certificates.h"
#include "attestation/gpu_simulator.h"
#include "attestation/pack.h"
#include "attestation/rim_simulator.h"
#include "attestation/simulator.h"
#include "attestation/snp_simulator.h"
#include "attestation/tdx_quote.h"
#include "attestation/xml_signature.h"

#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

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

/// As many as the verdict above cannot do without: PCK leaf and CA, QE report, quote, TCB signer,
/// TCB info, QE identity, two CRLs.
void BM_TdxSignaturesAlone(benchmark::State& state) {
  constexpr int kCount = 9;
  const Setup setup;
  const auto quote = parse_tdx_quote(setup.evidence.cpu_quote);
  const auto chain = parse_pem_chain(quote->pck_chain);
  EVP_PKEY* key = p256_key_of(chain->front());
  for (auto _ : state) {
    for (int i = 0; i < kCount; ++i) {
      if (!verify_p256(key, quote->qe_report, quote->qe_report_signature.first<64>())) {
        state.SkipWithError("wrong");
      }
    }
  }
}

/// From what the event holds: nothing of it was seen before.
void BM_VerifyTdxFromEvent(benchmark::State& state) {
  const Setup setup;
  const std::string packed = pack_evidence(setup.evidence);
  for (auto _ : state) {
    const auto evidence = unpack_evidence(packed);
    if (!evidence ||
        !verify(*evidence, setup.statement, setup.roots, kNow, setup.policy).accepted) {
      state.SkipWithError("refused");
    }
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
  for (auto _ : state) {
    const bool good = verify_p384(p384_key_of(*vek), report->signed_part, report->signature) &&
                      is_signed_by(*vek, issuers->at(0)) &&
                      is_signed_by(issuers->at(0), issuers->at(1));
    if (!good) state.SkipWithError("a signature is wrong");
  }
}

struct GpuSetup {
  GpuSimulator simulator{std::array<std::uint8_t, 32>{1}};
  TrustRoots roots = TrustRoots::with_test_root(simulator.root_der()).value();
  std::vector<GpuEvidence> gpus;
  std::vector<Bytes> manifests = simulator.manifests();
  GpuPolicy policy;

  explicit GpuSetup(std::size_t count)
      : gpus(simulator.evidence(count, std::array<std::uint8_t, 32>{2})) {
    policy.accept_simulated = true;
  }
};

void BM_VerifyGpus(benchmark::State& state) {
  const GpuSetup setup(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    const Verdict verdict =
        verify_gpus({setup.gpus, setup.manifests, setup.roots, kNow, setup.policy});
    if (!verdict.accepted) state.SkipWithError("refused");
  }
}

/// As many as the verdict above cannot do without. Of each GPU: report, leaf, BROM. Shared:
/// provisioner, identity; of the manifests two signatures, and four certificates, of which the
/// upper two are the same.
void BM_GpuSignaturesAlone(benchmark::State& state) {
  constexpr std::int64_t kShared = 2 + 2 + 3;
  const GpuSetup setup(1);
  const auto report = parse_gpu_report(setup.gpus[0].report);
  const auto chain = parse_gpu_chain(setup.gpus[0].chain);
  EVP_PKEY* key = p384_key_of(chain->front());
  for (auto _ : state) {
    for (std::int64_t i = 0; i < 3 * state.range(0) + kShared; ++i) {
      if (!verify_p384(key, report->signed_part, report->signature)) state.SkipWithError("wrong");
    }
  }
}

struct RimSetup {
  RimSimulator simulator{std::array<std::uint8_t, 32>{1}};
  TrustRoots roots = TrustRoots::with_test_root(simulator.root_der()).value();
  Bytes manifest;

  RimSetup() {
    RimSimulatorTag tag;
    for (std::uint8_t i = 20; i < 41; ++i) {
      tag.measurements.push_back({i, "", {Measurement{i}, Measurement{}}});
    }
    manifest = simulator.manifest(tag);
  }
};

void BM_ExamineRim(benchmark::State& state) {
  const RimSetup setup;
  for (auto _ : state) {
    std::vector<Check> list;
    std::vector<Claim> claims;
    Checklist checks(list);
    list_rim_checks(checks, RimKind::Driver);
    const auto rim = examine_rim(setup.manifest, RimKind::Driver, setup.roots, kNow, RimPolicy{},
                                 checks, claims);
    if (!rim) state.SkipWithError("refused");
  }
}

/// Of the document and of three certificates: the root's own proves nothing.
void BM_RimSignaturesAlone(benchmark::State& state) {
  const RimSetup setup;
  const auto document = XmlDocument::parse(as_text(setup.manifest));
  const auto signature = read_xml_signature(*document);
  std::vector<Certificate> chain;
  for (const Bytes& der : signature->certificates) chain.push_back(*parse_certificate(der));
  const std::string signed_info = canonicalize(*document, signature->signed_info);
  for (auto _ : state) {
    bool good = verify_p384(p384_key_of(chain[0]), as_bytes(signed_info), signature->value);
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
      good = good && is_signed_by(chain[i], chain[i + 1]);
    }
    if (!good) state.SkipWithError("a signature is wrong");
  }
}

BENCHMARK(BM_VerifyTdxWithCollateral)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_TdxSignaturesAlone)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_VerifyTdxFromEvent)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_VerifySnp)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_SnpSignaturesAlone)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_VerifyGpus)->Arg(1)->Arg(8)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_GpuSignaturesAlone)->Arg(1)->Arg(8)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_ExamineRim)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_RimSignaturesAlone)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace nostril::attestation
