#pragma once

#include "attestation/acceptance.h"
#include "attestation/checklist.h"
#include "attestation/trust_roots.h"
#include "attestation/verdict.h"
#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// NVIDIA GPUs: their reports, the certificates of the keys that signed them, and NVIDIA's
/// reference values for the driver and the VBIOS that they run.
///
///   Device Identity CA -> Identity -> Provisioner ICA -> BROM -> FMC -> report
///   CoRIM signing root -> … -> reference manifest (RIM) of the driver, of the VBIOS
///
/// NVSwitches, which stand between GPUs in protected PCIe mode: switch_verify.h.
namespace nostril::attestation {

/// Untrusted bytes.
struct GpuEvidence {
  /// SPDM request and response (gpu_report.h).
  Bytes report;
  /// Five certificates, leaf first: DER joined, or PEM (gpu_certificates.h).
  Bytes chain;
};

/// What the caller will accept. The defaults refuse whatever is not proven.
struct GpuPolicy {
  /// Take reports or reference values under roots that are not NVIDIA's. Those must also have been
  /// given in TrustRoots.
  bool accept_simulated = false;
  /// Take reports without reference values: that a GPU is genuine is then all that is known. Those
  /// that are given must be right all the same.
  bool allow_missing_rims = false;
  /// Refuse a manifest whose signer's certificate has expired (they live two years).
  bool refuse_expired_rims = false;
  /// Take reports that do not say which firmware holds the key: those of drivers before 2024.
  bool allow_missing_fwid = false;
  /// Take GPUs in protected PCIe mode, whose memory passes NVSwitches, when none of these is given.
  bool allow_unchecked_switches = false;
  /// Refuse without a sound OCSP answer about every certificate below the roots, but the leaves of
  /// GPUs, of which NVIDIA's responder does not speak. Answers that are given count in any case.
  bool require_ocsp = false;
  /// What the OCSP answers must carry; empty: not looked at.
  std::vector<std::uint8_t> ocsp_nonce;
  /// How many NVSwitches there must be, each with a report; 0: any. Those of an HGX board are 4.
  std::uint32_t switch_count = 0;
  /// Lowest driver, numbers with dots, "550.90.07"; empty: any.
  std::string driver_min;
  /// What each GPU was asked to sign, 32 bytes; empty: not looked at.
  std::vector<std::uint8_t> nonce;
  Level level_min = Level::Declared;
  /// Which GPUs are known or denied ("gpu_serial").
  Acceptance acceptance;
};

/// Borrowed for the call.
struct GpuInput {
  std::span<const GpuEvidence> gpus;
  /// As rim.h reads them, in any order. Several GPUs share them.
  std::span<const Bytes> rims;
  /// Of devices and of manifests; by the names below it, none of one kind vouches for the other.
  const TrustRoots& roots;
  UnixTime now;
  const GpuPolicy& policy;
  /// OCSP answers (ocsp.h), in any order.
  std::span<const Bytes> ocsp = {};
  /// Of all NVSwitches of the board.
  std::span<const GpuEvidence> switches = {};
};

/// Judges the GPUs of one machine, at least one. Each must pass every check: a check that one of
/// them fails is failed, and says by which. Pure: no clock, no file, no network; safe from any
/// thread. Never throws on any bytes. About 3 ms a GPU and 10 ms for what they share.
Verdict verify_gpus(const GpuInput& input);

/// The checks of verify_gpus() but `simulated` and `level`, as a part of another verdict.
/// `required`: there are GPUs; `switches`: and reports of NVSwitches.
void list_gpu_checks(Checklist& checks, const GpuPolicy& policy, bool required,
                     bool switches = false);

/// Records them, sets `simulated` when it must be, and adds the claims: of the first GPU
/// "gpu0.driver" and so on. True when every GPU runs what NVIDIA's reference values say.
bool examine_gpus(const GpuInput& input, Verdict& verdict);

}  // namespace nostril::attestation
