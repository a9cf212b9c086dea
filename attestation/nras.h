#pragma once

#include "attestation/acceptance.h"
#include "attestation/evidence.h"
#include "attestation/jwt.h"
#include "attestation/trust_roots.h"
#include "attestation/verdict.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// NVIDIA's Remote Attestation Service (NRAS): its word, in signed tokens, on reports that somebody
/// sent it. A second opinion: who judges the reports himself (gpu_verify.h) does not depend on it,
/// and it sees only what NVIDIA chose to look at.
namespace nostril::attestation {

inline constexpr std::size_t kNrasResponseBytesMax = 512U << 10U;

/// Untrusted text.
struct NrasEvidence {
  /// What the service answers: [["JWT", overall token], {"GPU-0": token, …}], 1 to
  /// kGpuReportCountMax devices.
  std::string response;
  /// Its keys, from https://nras.attestation.nvidia.com/.well-known/jwks.json at that time: each
  /// lives two days.
  std::string key_set;
};

/// What the caller will accept. The defaults refuse whatever is not proven.
struct NrasPolicy {
  /// Take tokens under a root that is not NVIDIA's. It must also have been given in TrustRoots.
  bool accept_simulated = false;
  /// The oldest that a token may be, in seconds; NVIDIA's own end of a token counts as well.
  std::int64_t age_s_max = 3600;
  /// Models (hwmodel), as "GH100"; empty: any.
  std::vector<std::string> allowed_models;
  /// Machines, by the decimal ueid of each device; empty: any.
  std::vector<std::string> allowed_devices;
  /// What the reports were asked to sign, 32 bytes; empty: not looked at.
  std::vector<std::uint8_t> nonce;
  Level level_min = Level::Declared;
  Acceptance acceptance;
};

/// Judges an answer. Pure: no clock, no file, no network; safe from any thread. Never throws on any
/// text. About 1 ms, and 1 ms a device. The level is Declared at best: the service says that
/// measurements are NVIDIA's, not which software runs.
Verdict verify_nras(const NrasEvidence& evidence, const TrustRoots& roots, UnixTime now,
                    const NrasPolicy& policy);

/// hwmodel of every simulated device; no genuine one has it.
inline constexpr std::string_view kSimulatedModel = "NOT A TEE";

}  // namespace nostril::attestation
