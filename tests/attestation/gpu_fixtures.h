#pragma once

#include "attestation/gpu_simulator.h"
#include "tests/attestation/fixtures.h"

#include <vector>

namespace nostril::attestation::test {

inline GpuSimulator gpu_simulator(const GpuSimulatorOptions& options = {}, std::uint8_t seed = 7) {
  return GpuSimulator(filled(seed), options);
}

inline TrustRoots roots_of(const GpuSimulator& simulator) {
  return TrustRoots::with_test_root(simulator.root_der()).value();
}

inline GpuPolicy simulated_gpu_policy() {
  GpuPolicy out;
  out.accept_simulated = true;
  const auto nonce = filled(0x66);
  out.nonce.assign(nonce.begin(), nonce.end());
  return out;
}

inline Verdict judge(const GpuSimulator& simulator, const std::vector<GpuEvidence>& gpus,
                     const GpuPolicy& policy = simulated_gpu_policy()) {
  return verify_gpus({gpus, {}, roots_of(simulator), kNow, policy});
}

/// The verdict on the sound evidence of one GPU with these options.
inline Verdict judge(const GpuSimulatorOptions& options,
                     const GpuPolicy& policy = simulated_gpu_policy()) {
  const GpuSimulator simulator = gpu_simulator(options);
  return judge(simulator, simulator.evidence(1, filled(0x66)), policy);
}

}  // namespace nostril::attestation::test
