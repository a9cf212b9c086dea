#pragma once

#include "attestation/simulator.h"
#include "attestation/verify.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string>

namespace nostril::attestation::test {

inline constexpr UnixTime kNow = 1790000000;  // 2026-09-21

inline std::array<std::uint8_t, 32> filled(std::uint8_t value) {
  std::array<std::uint8_t, 32> out{};
  out.fill(value);
  return out;
}

inline Measurement measurement(std::uint8_t value) {
  Measurement out{};
  out.fill(value);
  return out;
}

/// A statement with every field set and different.
inline Statement statement() {
  Statement out;
  out.node.bytes = filled(0x11);
  out.encryption_key.bytes = filled(0x22);
  out.encryption_key_expires_at = kNow + 1800;
  out.tls_spki.bytes = filled(0x33);
  out.gpu_evidence = gpu_evidence_digest({});
  out.model_manifest.bytes = filled(0x44);
  out.nonce = filled(0x55);
  return out;
}

inline Measurements measurements() {
  Measurements out;
  out.mrtd = measurement(0xa0);
  for (std::uint8_t i = 0; i < 4; ++i) {
    out.rtmr.at(i) = measurement(static_cast<std::uint8_t>(0xb0 + i));
  }
  out.mrconfigid = measurement(0xc0);
  return out;
}

inline Simulator simulator(const SimulatorOptions& options = {}, std::uint8_t seed = 7) {
  return Simulator(filled(seed), options);
}

inline TrustRoots roots_of(const Simulator& simulator) {
  return TrustRoots::with_test_root(simulator.root_der()).value();
}

inline Policy simulated_policy() {
  Policy out;
  out.accept_simulated = true;
  return out;
}

inline Evidence sound_evidence(const Simulator& simulator) {
  return simulator.evidence(statement(), kNow, measurements());
}

inline Verdict judge(const Simulator& simulator, const Evidence& evidence,
                     const Policy& policy = simulated_policy()) {
  return verify(evidence, statement(), roots_of(simulator), kNow, policy);
}

/// Every failed check with its finding, for tables of vectors.
inline std::string why(const Verdict& verdict) {
  std::string out;
  for (const Check& check : verdict.checks) {
    if (check.status != CheckStatus::Failed) continue;
    out += fmt::format("{}{} ({:.50})", out.empty() ? "" : ", ", check.name, check.found);
  }
  return out;
}

/// The status of one check; NotChecked when there is none of that name.
inline CheckStatus status_of(const Verdict& verdict, std::string_view name) {
  const Check* check = verdict.find(name);
  return check == nullptr ? CheckStatus::NotChecked : check->status;
}

}  // namespace nostril::attestation::test
