// Simulated GPUs: sound ones, and one deviation each that the verifier must name.
#include "attestation/gpu_verify.h"

#include "attestation/gpu_certificates.h"
#include "attestation/gpu_references.h"
#include "tests/attestation/gpu_fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

using test::gpu_simulator;
using test::judge;
using test::simulated_gpu_policy;
using test::status_of;

/// Reference values are looked at elsewhere.
GpuPolicy without_rims() {
  GpuPolicy out = simulated_gpu_policy();
  out.allow_missing_rims = true;
  return out;
}

std::vector<std::string> failed(const Verdict& verdict) {
  std::vector<std::string> out;
  for (const Check& check : verdict.checks) {
    if (refuses(check)) out.push_back(check.name);
  }
  return out;
}

using Names = std::vector<std::string>;

TEST(VerifyGpus, AcceptsSoundOnesOfBothKindsAndMarksThem) {
  GpuSimulatorOptions blackwell;
  blackwell.blackwell = true;
  blackwell.protected_pcie.reset();
  GpuSimulatorOptions decoding;
  decoding.nvdec0 = true;
  for (const auto& options : {GpuSimulatorOptions{}, blackwell, decoding}) {
    const Verdict verdict = judge(options, without_rims());
    EXPECT_TRUE(verdict.accepted) << explain(verdict);
    EXPECT_TRUE(verdict.simulated);
    EXPECT_EQ(verdict.level, Level::Declared);
  }
}

TEST(VerifyGpus, NeverTakesSimulatedOnesUnasked) {
  GpuPolicy policy = without_rims();
  policy.accept_simulated = false;
  EXPECT_EQ(failed(judge(GpuSimulatorOptions{}, policy)), Names{"simulated"});
  const GpuSimulator simulator = gpu_simulator();
  const auto gpus = simulator.evidence(1, test::filled(0x66));
  const GpuPolicy asked = without_rims();
  const Verdict verdict = verify_gpus({gpus, {}, TrustRoots::vendors(), test::kNow, asked});
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.find("gpu_chain")->found, "root not trusted");
}

TEST(VerifyGpus, RefusesWithoutReferenceValuesByDefault) {
  EXPECT_EQ(failed(judge(GpuSimulatorOptions{})),
            (Names{"gpu_driver_rim", "gpu_vbios_rim", "gpu_measurements"}));
}

TEST(VerifyGpus, TakesTheSimulatorsReferenceValues) {
  GpuSimulatorOptions blackwell;
  blackwell.blackwell = true;
  blackwell.nvdec0 = true;
  for (GpuSimulatorOptions options : {GpuSimulatorOptions{}, blackwell}) {
    const GpuSimulator simulator = gpu_simulator(options);
    const auto gpus = simulator.evidence(2, test::filled(0x66));
    const auto rims = simulator.manifests();
    const GpuPolicy policy = simulated_gpu_policy();
    const TrustRoots roots = test::roots_of(simulator);
    const Verdict sound = verify_gpus({gpus, rims, roots, test::kNow, policy});
    EXPECT_TRUE(sound.accepted) << explain(sound);
    EXPECT_TRUE(sound.simulated);
    EXPECT_EQ(sound.level, Level::Declared);

    options.wrong_index = 21;
    const auto other = gpu_simulator(options).evidence(2, test::filled(0x66));
    const Verdict verdict = verify_gpus({other, rims, roots, test::kNow, policy});
    EXPECT_EQ(failed(verdict), Names{"gpu_measurements"});
  }
}

struct Deviation {
  std::string check;
  std::function<void(GpuSimulatorOptions&)> make;
};

TEST(VerifyGpus, NamesEachDeviation) {
  const std::vector<Deviation> deviations = {
      {"gpu_fwid", [](auto& o) { o.states_fwid = false; }},
      {"gpu_fwid", [](auto& o) { o.fwid = test::measurement(1); }},
      {"gpu_fwid",
       [](auto& o) {
         o.blackwell = true;
         o.fwid = Measurement{};  // a Blackwell certificate lists an empty one too
       }},
      {"gpu_debug",
       [](auto& o) {
         o.blackwell = true;
         o.debug = true;
       }},
      {"gpu_mode", [](auto& o) { o.features = 2; }},
      {"gpu_mode", [](auto& o) { o.switch_link_count = 18; }},
      {"gpu_report", [](auto& o) { o.features = 3; }},
      {"gpu_report", [](auto& o) { o.opaque_version = 2; }},
      {"gpu_report", [](auto& o) { o.driver = ""; }},
      {"gpu_report", [](auto& o) { o.driver = "550.90 07"; }},
      {"gpu_chain", [](auto& o) { o.leaf_chip = "GH200"; }},
      {"gpu_chain", [](auto& o) { o.leaf_not_after = test::kNow - 1; }},
      {"gpu_chain", [](auto& o) { o.leaf_not_before = test::kNow + 1; }},
      {"gpu_chain", [](auto& o) { o.brom_is_ca = false; }},
  };
  for (const Deviation& deviation : deviations) {
    GpuSimulatorOptions options;
    deviation.make(options);
    const Verdict verdict = judge(options, without_rims());
    EXPECT_FALSE(verdict.accepted) << deviation.check;
    const Names names = failed(verdict);
    EXPECT_NE(std::find(names.begin(), names.end(), deviation.check), names.end())
        << deviation.check << "\n"
        << explain(verdict);
  }
}

TEST(VerifyGpus, ProtectedPcieNeedsItsSwitchesJudged) {
  GpuSimulatorOptions options;
  options.protected_pcie = true;
  options.features = 2;
  options.switch_link_count = 18;
  GpuPolicy policy = without_rims();
  EXPECT_EQ(failed(judge(options, policy)), Names{"gpu_switches"});
  policy.allow_unchecked_switches = true;
  EXPECT_TRUE(judge(options, policy).accepted);
}

// ---- NVSwitches ----

/// Two GPUs would do, but a switch names eight.
class Board {
 public:
  explicit Board(const GpuSimulatorOptions& options = {})
      : simulator(gpu_simulator(with(options))) {}

  [[nodiscard]] Verdict judge(const GpuPolicy& policy = simulated_gpu_policy()) const {
    const TrustRoots roots = test::roots_of(simulator);
    return verify_gpus({gpus, rims, roots, test::kNow, policy, {}, switches});
  }

  static GpuSimulatorOptions with(GpuSimulatorOptions options) {
    options.protected_pcie = true;
    options.features = 2;
    options.switch_count = 4;
    return options;
  }

  GpuSimulator simulator;
  std::vector<GpuEvidence> gpus = simulator.evidence(8, test::filled(0x66));
  std::vector<GpuEvidence> switches = simulator.switches(test::filled(0x66));
  std::vector<Bytes> rims = simulator.manifests();
};

TEST(VerifySwitches, AcceptsABoardWhoseSwitchesAreSoundAndNamed) {
  const Board board;
  GpuPolicy policy = simulated_gpu_policy();
  policy.switch_count = 4;
  const Verdict verdict = board.judge(policy);
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(verdict.find("gpu_switches")->found, "8 GPUs: 4 named, 4 given and sound");
  EXPECT_EQ(verdict.find("switch_gpus")->found, "8 GPUs at every switch");
}

TEST(VerifySwitches, NamesEachDeviation) {
  const auto expect = [](const Board& board, const Names& wanted,
                         const GpuPolicy& policy = simulated_gpu_policy()) {
    const Verdict verdict = board.judge(policy);
    EXPECT_FALSE(verdict.accepted);
    EXPECT_THAT(failed(verdict), ::testing::UnorderedElementsAreArray(wanted)) << explain(verdict);
  };
  Board none;
  none.switches.clear();
  expect(none, {"gpu_switches"});
  GpuPolicy five = simulated_gpu_policy();
  five.switch_count = 5;
  expect(Board(), {"switch_count", "gpu_switches"}, five);
  Board fewer;
  fewer.switches.pop_back();
  expect(fewer, {"gpu_switches"});
  Board twice;
  twice.switches[3] = twice.switches[0];
  expect(twice, {"gpu_switches", "switch_distinct"});
  Board forged;
  forged.switches[2].report[200] ^= 1;
  expect(forged, {"gpu_switches", "switch_signature", "switch_measurements"});
  Board stale;
  stale.switches = stale.simulator.switches(test::filled(0x67));
  expect(stale, {"gpu_switches", "switch_nonce"});
  Board cut;
  cut.switches[1].report.pop_back();
  expect(cut, {"gpu_switches", "switch_report", "switch_chain", "switch_signature",
               "switch_distinct", "switch_rim", "switch_measurements", "switch_gpus"});
  Board gpu_as_switch;
  gpu_as_switch.switches[0] = gpu_as_switch.gpus[0];
  EXPECT_EQ(test::status_of(gpu_as_switch.judge(), "switch_report"), CheckStatus::Failed);
  Board other_chain;
  other_chain.switches[0].chain = other_chain.gpus[0].chain;
  EXPECT_EQ(test::status_of(other_chain.judge(), "switch_chain"), CheckStatus::Failed);
  EXPECT_EQ(test::status_of(other_chain.judge(), "switch_signature"), CheckStatus::Failed);
  Board without_rim;
  without_rim.rims.pop_back();
  expect(without_rim, {"gpu_switches", "switch_rim", "switch_measurements"});
  Board missing_gpu;
  missing_gpu.gpus.pop_back();
  expect(missing_gpu, {"gpu_switches", "switch_gpus"});
  GpuSimulatorOptions hidden;
  hidden.hidden_switch = true;
  expect(Board(hidden), {"gpu_switches"});
  GpuSimulatorOptions odd;
  odd.odd_switch = true;
  expect(Board(odd), {"gpu_switches", "switch_gpus"});
}

TEST(VerifyGpus, OneUnsoundGpuRefusesAll) {
  const GpuSimulator simulator = gpu_simulator();
  auto gpus = simulator.evidence(8, test::filled(0x66));
  EXPECT_TRUE(judge(simulator, gpus, without_rims()).accepted);
  EXPECT_EQ(judge(simulator, gpus, without_rims()).find("gpu_distinct")->found, "8 different");
  gpus[5].report[200] ^= 1;
  const Verdict verdict = judge(simulator, gpus, without_rims());
  EXPECT_EQ(failed(verdict), Names{"gpu_signature"});
  EXPECT_EQ(verdict.find("gpu_signature")->found, "GPU 5: report signature");

  gpus = simulator.evidence(3, test::filled(0x66));
  gpus[2] = gpus[0];
  EXPECT_EQ(failed(judge(simulator, gpus, without_rims())), Names{"gpu_distinct"});
  gpus = simulator.evidence(2, test::filled(0x66));
  std::swap(gpus[0].chain, gpus[1].chain);
  EXPECT_EQ(failed(judge(simulator, gpus, without_rims())), Names{"gpu_signature"});
  gpus = simulator.evidence(2, test::filled(0x66));
  gpus[1].report = simulator.report(1, test::filled(0x67));
  EXPECT_EQ(failed(judge(simulator, gpus, without_rims())), Names{"gpu_nonce"});
}

// ---- reference values ----

Rim reference(const std::vector<std::uint8_t>& indices) {
  Rim out;
  for (const std::uint8_t index : indices) {
    out.measurements.push_back({index, "", {Measurement{}, GpuSimulator::reference(index)}});
  }
  return out;
}

class CompareMeasurements : public ::testing::Test {
 protected:
  static GpuComparison compare(const GpuSimulatorOptions& options, const Rim& driver,
                               const Rim& vbios) {
    const Bytes bytes = gpu_simulator(options).report(0, test::filled(1));
    const auto report = parse_gpu_report(bytes);
    return compare_measurements(report.value(), &driver, &vbios);
  }
};

using Indices = std::vector<std::uint8_t>;

TEST_F(CompareMeasurements, TakesAnyAcceptedValueAndNamesTheOthers) {
  GpuSimulatorOptions options;
  EXPECT_EQ(compare(options, reference({1, 3}), reference({2})).mismatches, Indices{});
  EXPECT_EQ(compare(options, reference({1, 3}), reference({2})).compared_count, 3U);
  options.wrong_index = 2;
  EXPECT_EQ(compare(options, reference({1, 3}), reference({2})).mismatches, Indices{2});
  EXPECT_EQ(compare({}, reference({1, 200}), reference({2})).mismatches, Indices{200});
}

TEST_F(CompareMeasurements, SkipsTheDecodersIndexOnlyWhileItIsOff) {
  GpuSimulatorOptions options;
  options.wrong_index = 35;
  EXPECT_EQ(compare(options, reference({35}), reference({2})).mismatches, Indices{});
  EXPECT_EQ(compare(options, reference({35}), reference({2})).compared_count, 1U);
  options.nvdec0 = true;
  EXPECT_EQ(compare(options, reference({35}), reference({2})).mismatches, Indices{35});
}

TEST_F(CompareMeasurements, RefusesAnIndexThatBothClaim) {
  EXPECT_EQ(compare({}, reference({1, 2}), reference({2, 3})).overlaps, Indices{2});
}

}  // namespace
}  // namespace nostril::attestation
