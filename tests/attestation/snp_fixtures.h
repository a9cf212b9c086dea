#pragma once

#include "attestation/snp_simulator.h"
#include "tests/attestation/fixtures.h"

#include <array>
#include <cstdint>
#include <map>
#include <memory>

namespace nostril::attestation::test {

inline std::array<std::uint8_t, 64> snp_report_data() {
  std::array<std::uint8_t, 64> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out.at(i) = static_cast<std::uint8_t>(i);
  return out;
}

/// RSA keys take a while: made once a process.
inline std::shared_ptr<const SnpSimKeys> snp_keys(std::uint8_t seed) {
  static std::map<std::uint8_t, std::shared_ptr<const SnpSimKeys>> made;
  auto& keys = made[seed];
  if (!keys) keys = std::make_shared<const SnpSimKeys>(filled(seed));
  return keys;
}

inline SnpSimulator snp_simulator(const SnpSimulatorOptions& options = {}, std::uint8_t seed = 7) {
  return SnpSimulator(snp_keys(seed), options);
}

inline SnpEvidence snp_evidence(const SnpSimulator& simulator) {
  return simulator.evidence(snp_report_data(), measurement(0xa0));
}

inline TrustRoots roots_of(const SnpSimulator& simulator) {
  return TrustRoots::with_test_root(simulator.root_der()).value();
}

inline SnpPolicy simulated_snp_policy() {
  SnpPolicy out;
  out.accept_simulated = true;
  return out;
}

inline Verdict judge(const SnpSimulator& simulator, const SnpEvidence& evidence,
                     const SnpPolicy& policy = simulated_snp_policy()) {
  return verify_snp(evidence, roots_of(simulator), kNow, policy);
}

/// The verdict on the sound evidence of a simulator with these options.
inline Verdict judge(const SnpSimulatorOptions& options,
                     const SnpPolicy& policy = simulated_snp_policy()) {
  const SnpSimulator simulator = snp_simulator(options);
  return judge(simulator, snp_evidence(simulator), policy);
}

}  // namespace nostril::attestation::test
