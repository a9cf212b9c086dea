#pragma once

#include "attestation/checklist.h"
#include "attestation/gpu_references.h"
#include "attestation/gpu_report.h"
#include "attestation/gpu_verify.h"
#include "attestation/ocsp.h"
#include "attestation/x509.h"

#include <array>
#include <set>
#include <string>
#include <vector>

/// NVSwitches: they stand between the GPUs of a board in protected PCIe mode and see what these say
/// to each other. Their reports have the form of a GPU's with other opaque fields (gpu_report.h),
/// their certificates other names:
///
///   LS_10 A01 FSP FMC LF <- LS_10 A01 FSP BROM <- NVIDIA LS_10 Provisioner ICA 1 <-
///   NVIDIA GH100 Identity <- NVIDIA Device Identity CA
///
/// and one manifest instead of two, of their BIOS. A GPU names the switch at each of its links, a
/// switch the GPUs at its ports, both by PDI. Which PDI is which GPU no report says: switches can
/// be held against each other and against the number of GPUs, not against each GPU by name.
namespace nostril::attestation {

/// What the GPUs need to know of the switches given.
struct JudgedSwitches {
  std::size_t count = 0;
  bool sound = false;  ///< every check of every switch passed
  std::set<Pdi> pdis;  ///< as the switches write them
  bool simulated = false;
  UnixTime valid_until = kForever;
};

/// Lists switch_count, switch_report, switch_nonce, switch_chain, switch_signature,
/// switch_distinct, switch_rim, switch_measurements, switch_gpus, switch_revocation. `required`:
/// there are switches, or the policy wants some.
void list_switch_checks(Checklist& checks, const GpuPolicy& policy, bool required);

/// Judges input.switches and records the listed checks: one that a switch fails is failed, and says
/// by which. Pure.
JudgedSwitches examine_switches(const GpuInput& input, GpuReferences& references, OcspAnswers& ocsp,
                                ChainCache& cache, Checklist& checks, std::vector<Claim>& claims);

/// The switches that a GPU names, as switches write their PDI: it has the bytes in reverse. Links
/// that lead nowhere (all zero) are left out.
std::set<Pdi> named_switches(const GpuReport& report);

}  // namespace nostril::attestation
