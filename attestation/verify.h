#pragma once

#include "attestation/acceptance.h"
#include "attestation/app_policy.h"
#include "attestation/evidence.h"
#include "attestation/gpu_verify.h"
#include "attestation/snp_verify.h"
#include "attestation/statement.h"
#include "attestation/trust_roots.h"
#include "attestation/verdict.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nostril::attestation {

/// One known-good image. A register left out is not compared (RTMR0 varies with machine shape).
struct AllowedMeasurements {
  Measurement mrtd{};
  std::array<std::optional<Measurement>, 4> rtmr;
  std::optional<Measurement> mrconfigid;
};

/// In Policy::accepted_advisories.
inline constexpr std::string_view kAnyAdvisory = "any";

/// What the caller will accept. The defaults refuse whatever is not proven.
struct Policy {
  /// Take evidence that chains to a test root. The root must also have been given in TrustRoots.
  bool accept_simulated = false;
  /// Take evidence without collateral: patch level (TCB status), revocation and the quoting
  /// enclave's version are then not known. For diagnosis; a leaked platform key passes.
  /// Collateral that is present but wrong still refuses.
  bool allow_unchecked_tcb = false;
  /// TDs that may be migrated to another machine.
  bool allow_migratable = false;
  /// Intel TCB statuses taken besides UpToDate, e.g. "SWHardeningNeeded". Revoked is never taken.
  std::vector<std::string> accepted_tcb_statuses;
  /// Advisories that such a status may stand for; any other refuses. kAnyAdvisory: all.
  std::vector<std::string> accepted_advisories;
  /// Lowest tcbEvaluationDataNumber: keeps a host from choosing older, still valid collateral.
  std::uint32_t tcb_evaluation_number_min = 0;
  /// Service TDs (MRSERVICETD) taken besides none.
  std::vector<Measurement> allowed_service_tds;
  /// Known-good images besides those of `acceptance`; both empty: any, and the verdict's level
  /// stays Declared.
  std::vector<AllowedMeasurements> allowed_measurements;
  /// Known-good model manifests besides those of `acceptance`; both empty: any.
  std::vector<Digest> allowed_model_manifests;
  /// Session mode: the nonce this client chose.
  std::optional<Nonce> required_nonce;
  /// The encryption key must expire within this time of now. It is the age limit of evidence: the
  /// expiry is inside the quote, and a node's key lives at most an hour.
  std::int64_t encryption_key_life_s_max = 3600;
  /// Lowest level taken.
  Level level_min = Level::Declared;
  /// The offer's word for its machine, which the evidence must show (tee_tag.h); empty: none.
  std::string offered_tee;
  /// What else an SNP report must be. verify() sets its nonce by the expected statement, and
  /// its accept_simulated, level_min and acceptance by the fields here.
  SnpPolicy snp;
  /// What GPUs must be, where the evidence has any. As with `snp`.
  GpuPolicy gpu;
  Acceptance acceptance;
  AppPolicy app;
};

/// Judges `evidence` (of TDX or SNP, by its kind) against what the caller expects it to commit to.
/// Evidence that still names documents is refused, whatever the policy allows to be missing.
/// Pure: no clock, no file, no network; safe from any thread. Never throws on any bytes; about 2 ms
/// with collateral.
Verdict verify(const Evidence& evidence, const Statement& expected, const TrustRoots& roots,
               UnixTime now, const Policy& policy);

/// Judges a TDX quote (versions 4, 5) or an SGX quote (version 3) for itself: everything verify()
/// looks at, but no statement and no GPU. `nonce`, when it is not empty, must be the end of
/// report_data (64 bytes: all of it). `collateral` may be null. Pure, as verify().
Verdict verify_intel_quote(ByteSpan quote, const Collateral* collateral, const TrustRoots& roots,
                           UnixTime now, const Policy& policy, ByteSpan nonce);

/// `report_data` ends in `nonce`.
bool carries_nonce(std::span<const std::uint8_t, 64> report_data, ByteSpan nonce);

}  // namespace nostril::attestation
