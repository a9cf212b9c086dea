// Evidence of a node with GPUs: its reports bound to the quote and to the node, packed and judged.
#include "attestation/pack.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/attestation/live_fixtures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::attestation {
namespace {

using test::simulated_policy;
using test::status_of;

void set_gpus(Evidence& evidence, const std::vector<GpuEvidence>& gpus) {
  for (const GpuEvidence& gpu : gpus) {
    evidence.gpu_reports.push_back(gpu.report);
    evidence.gpu_chains.push_back(gpu.chain);
  }
}

Digest digest_of(const std::vector<GpuEvidence>& gpus) {
  std::vector<ByteSpan> reports;
  for (const GpuEvidence& gpu : gpus) reports.emplace_back(gpu.report);
  return gpu_evidence_digest(reports);
}

/// A simulated node with two simulated GPUs.
class GpuOffer : public ::testing::Test {
 protected:
  /// GPUs that were asked over `asked`, in evidence that commits to them.
  [[nodiscard]] Evidence evidence(const Statement& asked) {
    const Digest nonce = gpu_nonce(asked.nonce, asked.node);
    const auto gpus = gpus_.evidence(2, nonce.bytes);
    expected_ = test::statement();
    expected_.gpu_evidence = digest_of(gpus);
    Evidence out = cpu_.evidence(expected_, test::kNow, test::measurements());
    set_gpus(out, gpus);
    out.gpu_manifests = gpus_.manifests();
    return out;
  }

  [[nodiscard]] Evidence evidence() { return evidence(test::statement()); }

  [[nodiscard]] Verdict judge(const Evidence& evidence,
                              const Policy& policy = simulated_policy()) const {
    const TrustRoots roots = test::roots_of(cpu_).joined(test::roots_of(gpus_));
    return verify(evidence, expected_, roots, test::kNow, policy);
  }

  const Simulator cpu_ = test::simulator();
  const GpuSimulator gpus_ = test::gpu_simulator();
  Statement expected_;
};

TEST_F(GpuOffer, IsAcceptedAfterItWasPacked) {
  const auto unpacked = unpack_evidence(pack_evidence(evidence()));
  ASSERT_TRUE(unpacked.has_value());
  const Verdict verdict = judge(*unpacked);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_TRUE(verdict.simulated);
  EXPECT_NE(verdict.claim("gpu0.driver"), nullptr);
  EXPECT_NE(verdict.claim("gpu1.ueid"), nullptr);
  EXPECT_EQ(verdict.claim("gpu2.ueid"), nullptr);
  EXPECT_EQ(std::count_if(verdict.identities.begin(), verdict.identities.end(),
                          [](const Identity& identity) { return identity.name == "gpu_serial"; }),
            2);
}

struct Change {
  std::string check;
  std::function<void(Evidence&)> make;
};

TEST_F(GpuOffer, EveryPartMustBeThereAndInPlace) {
  const std::vector<Change> changes = {
      {"gpu_evidence", [](Evidence& e) { std::swap(e.gpu_reports[0], e.gpu_reports[1]); }},
      {"gpu_signature", [](Evidence& e) { std::swap(e.gpu_chains[0], e.gpu_chains[1]); }},
      {"gpu_evidence",
       [](Evidence& e) {
         e.gpu_reports.pop_back();
         e.gpu_chains.pop_back();
       }},
      {"gpu_evidence", [](Evidence& e) { e.gpu_reports.push_back(e.gpu_reports[0]); }},
      {"gpu_evidence",
       [](Evidence& e) {
         e.gpu_reports.clear();
         e.gpu_chains.clear();
       }},
      {"gpu_distinct",
       [](Evidence& e) {
         e.gpu_reports[1] = e.gpu_reports[0];
         e.gpu_chains[1] = e.gpu_chains[0];
       }},
      {"gpu_chain", [](Evidence& e) { e.gpu_chains.pop_back(); }},
      {"gpu_driver_rim", [](Evidence& e) { e.gpu_manifests.erase(e.gpu_manifests.begin()); }},
      {"gpu_vbios_rim", [](Evidence& e) { e.gpu_manifests.pop_back(); }},
      {"driver_rim_digest",
       [](Evidence& e) {
         Bytes& manifest = e.gpu_manifests[0];
         std::string text(as_text(manifest));
         const std::size_t at = text.find("Measurement_30");
         ASSERT_NE(at, std::string::npos);
         manifest[at] = 'N';
       }},
      {"size", [](Evidence& e) { e.gpu_manifests.resize(kGpuManifestCountMax + 1); }},
      {"size", [](Evidence& e) { e.gpu_chains.emplace_back(); }},
  };
  const Evidence sound = evidence();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Evidence evidence = sound;
    changes[i].make(evidence);
    const Verdict verdict = judge(evidence);
    EXPECT_FALSE(verdict.accepted) << i;
    const Check* check = verdict.find(changes[i].check);
    ASSERT_NE(check, nullptr) << i;
    EXPECT_TRUE(refuses(*check)) << i << " " << changes[i].check << "\n" << explain(verdict);
  }
}

TEST_F(GpuOffer, ReportsOfAnotherNodeOrNonceAreRefused) {
  Statement other = test::statement();
  other.node.bytes[0] ^= 1;
  EXPECT_EQ(status_of(judge(evidence(other)), "gpu_nonce"), CheckStatus::Failed);
  other = test::statement();
  other.nonce[0] ^= 1;
  const Verdict verdict = judge(evidence(other));
  EXPECT_EQ(status_of(verdict, "gpu_evidence"), CheckStatus::Passed);
  EXPECT_EQ(status_of(verdict, "gpu_nonce"), CheckStatus::Failed);
  EXPECT_FALSE(verdict.accepted);
}

TEST_F(GpuOffer, SimulatedGpusMarkTheVerdictAndAreNeverTakenUnasked) {
  Policy policy;
  EXPECT_FALSE(judge(evidence(), policy).accepted);
  EXPECT_EQ(status_of(judge(evidence(), policy), "simulated"), CheckStatus::Failed);
  const Evidence sound = evidence();
  const Verdict verdict =
      verify(sound, expected_, test::roots_of(cpu_), test::kNow, simulated_policy());
  EXPECT_EQ(verdict.find("gpu_chain")->found, "2 GPUs: root not trusted");
}

// ---- whole boards ----

/// A simulated node with eight GPUs behind four NVSwitches, and OCSP answers about all of them.
class BoardOffer : public ::testing::Test {
 protected:
  static GpuSimulatorOptions options() {
    GpuSimulatorOptions out;
    out.protected_pcie = true;
    out.features = 2;
    out.switch_count = 4;
    return out;
  }

  static std::vector<ByteSpan> spans(const std::vector<Bytes>& reports) {
    return {reports.begin(), reports.end()};
  }

  [[nodiscard]] Evidence evidence(const SimOcsp& fields = {}) {
    const Statement asked = test::statement();
    const Digest nonce = gpu_nonce(asked.nonce, asked.node);
    Evidence parts;
    set_gpus(parts, board_.evidence(8, nonce.bytes));
    for (const GpuEvidence& one : board_.switches(nonce.bytes)) {
      parts.switch_reports.push_back(one.report);
      parts.switch_chains.push_back(one.chain);
    }
    expected_ = asked;
    expected_.gpu_evidence =
        gpu_evidence_digest(spans(parts.gpu_reports), spans(parts.switch_reports));
    Evidence out = cpu_.evidence(expected_, test::kNow, test::measurements());
    out.gpu_reports = parts.gpu_reports;
    out.gpu_chains = parts.gpu_chains;
    out.switch_reports = parts.switch_reports;
    out.switch_chains = parts.switch_chains;
    out.gpu_manifests = board_.manifests();
    const auto add = [&out](const std::vector<Bytes>& answers) {
      for (const Bytes& answer : answers) {
        auto& all = out.ocsp_answers;
        if (std::find(all.begin(), all.end(), answer) == all.end()) all.push_back(answer);
      }
    };
    for (std::size_t i = 0; i < 8; ++i) add(board_.ocsp_answers(i, fields));
    for (std::size_t i = 0; i < 4; ++i) add(board_.switch_ocsp_answers(i, fields));
    return out;
  }

  [[nodiscard]] Verdict judge(const Evidence& evidence, const Policy& policy) const {
    const TrustRoots roots = test::roots_of(cpu_).joined(test::roots_of(board_));
    return verify(evidence, expected_, roots, test::kNow, policy);
  }

  static Policy strict() {
    Policy out = simulated_policy();
    out.gpu.switch_count = 4;
    out.gpu.require_ocsp = true;
    return out;
  }

  const Simulator cpu_ = test::simulator();
  const GpuSimulator board_ = test::gpu_simulator(options());
  Statement expected_;
};

TEST_F(BoardOffer, IsAcceptedAfterItWasPacked) {
  const Evidence made = evidence();
  const auto unpacked = unpack_evidence(pack_evidence(made));
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_EQ(*unpacked, made);
  const Verdict verdict = judge(*unpacked, strict());
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(status_of(verdict, "gpu_revocation"), CheckStatus::Passed);
  EXPECT_EQ(status_of(verdict, "switch_revocation"), CheckStatus::Passed);
  EXPECT_NE(verdict.claim("switch3.pdi"), nullptr);
}

TEST_F(BoardOffer, EveryPartMustBeThereAndInPlace) {
  const std::vector<Change> changes = {
      {"gpu_evidence", [](Evidence& e) { std::swap(e.switch_reports[0], e.switch_reports[1]); }},
      {"switch_count",
       [](Evidence& e) {
         e.switch_reports.pop_back();
         e.switch_chains.pop_back();
       }},
      {"gpu_switches",
       [](Evidence& e) {
         e.switch_reports.clear();
         e.switch_chains.clear();
       }},
      {"gpu_evidence",
       [](Evidence& e) {
         e.switch_reports.clear();
         e.switch_chains.clear();
       }},
      {"switch_signature", [](Evidence& e) { std::swap(e.switch_chains[0], e.switch_chains[1]); }},
      {"switch_chain", [](Evidence& e) { e.switch_chains.pop_back(); }},
      {"switch_rim", [](Evidence& e) { e.gpu_manifests.pop_back(); }},
      {"gpu_revocation", [](Evidence& e) { e.ocsp_answers.clear(); }},
      {"gpu_revocation", [](Evidence& e) { e.ocsp_answers.erase(e.ocsp_answers.begin()); }},
      {"switch_revocation", [](Evidence& e) { e.ocsp_answers.pop_back(); }},
      {"gpu_ocsp", [](Evidence& e) { e.ocsp_answers[0].pop_back(); }},
      {"size", [](Evidence& e) { e.ocsp_answers.resize(kOcspCountMax + 1); }},
      {"size",
       [](Evidence& e) {
         e.gpu_reports.clear();
         e.gpu_chains.clear();
       }},
  };
  const Evidence sound = evidence();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Evidence changed = sound;
    changes[i].make(changed);
    const Verdict verdict = judge(changed, strict());
    EXPECT_FALSE(verdict.accepted) << i;
    const Check* check = verdict.find(changes[i].check);
    ASSERT_NE(check, nullptr) << i;
    EXPECT_TRUE(refuses(*check)) << i << " " << changes[i].check << "\n" << explain(verdict);
  }
}

TEST_F(BoardOffer, AnAnswerThatSaysRevokedRefusesUnderAnyPolicy) {
  Evidence of_switch = evidence();
  SimOcsp revoked;
  revoked.word = OcspStatus::Word::Revoked;
  of_switch.ocsp_answers.push_back(board_.switch_ocsp_answers(2, revoked).front());
  const Verdict verdict = judge(of_switch, simulated_policy());
  EXPECT_EQ(status_of(verdict, "switch_revocation"), CheckStatus::Failed);
  EXPECT_FALSE(verdict.accepted);
  Evidence of_gpu = evidence();
  of_gpu.ocsp_answers.push_back(board_.ocsp_answers(7, revoked).front());
  EXPECT_EQ(status_of(judge(of_gpu, simulated_policy()), "gpu_revocation"), CheckStatus::Failed);
}

TEST_F(BoardOffer, TheStatementOfABoardIsNotThatOfItsGpusAlone) {
  const Evidence made = evidence();
  auto gpus = spans(made.gpu_reports);
  const auto switches = spans(made.switch_reports);
  EXPECT_NE(gpu_evidence_digest(gpus), gpu_evidence_digest(gpus, switches));
  const Digest board = gpu_evidence_digest(gpus, switches);
  gpus.insert(gpus.end(), switches.begin(), switches.end());
  EXPECT_NE(gpu_evidence_digest(gpus), board);
}

TEST(LiveGpus, AreJudgedWhole) {
  REQUIRE_SHARED("vectors/attestation/combined/cases.json");
  const Evidence evidence = test::live_evidence("venice-2026-06-10");
  std::vector<GpuEvidence> gpus;
  for (std::size_t i = 0; i < evidence.gpu_reports.size(); ++i) {
    gpus.push_back({evidence.gpu_reports[i], evidence.gpu_chains[i]});
  }
  GpuPolicy policy;
  policy.allow_missing_rims = true;
  policy.allow_unchecked_switches = true;
  const Verdict verdict = verify_gpus({gpus, {}, TrustRoots::vendors(), 1781056000, policy});
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(verdict.find("gpu_distinct")->found, "8 different");
}

}  // namespace
}  // namespace nostril::attestation
