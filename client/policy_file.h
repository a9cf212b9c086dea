#pragma once

#include "attestation/gpu_verify.h"
#include "attestation/snp_verify.h"
#include "attestation/verify.h"
#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

/// What the policy demands of one model, in place of what it demands of all.
struct ModelRule {
  std::string model;  ///< as offers name it
  std::optional<attestation::Level> level_min;
  /// Allowed images, compose files and weights. A subject that is named here takes no other word,
  /// neither of the general list nor of auditors; denials hold all the same.
  std::vector<attestation::ListEntry> entries;
};

/// Whose lists of known things (kind 31473) count.
struct ListRules {
  std::vector<PublicKey> trusted;
  /// Trusted keys that must vouch for a thing; at least 1.
  std::int64_t auditors_min = 1;
  std::int64_t age_s_max = std::int64_t{90} * 86'400;
  std::vector<std::string> files;  ///< lists as signed events, besides those of relays
};

/// A policy: what evidence is taken, from a TOML file. What the file does not name keeps its
/// default, which refuses. Simulated evidence has no key here: only who names a test root takes it.
struct VerifyPolicy {
  attestation::Policy tdx;
  attestation::SnpPolicy snp;
  attestation::GpuPolicy gpu;
  std::vector<ModelRule> models;
  ListRules lists;
  std::vector<PublicKey> beacons;
};

/// `name` is what errors call the text. Throws ConfigError that names file and line or key: an
/// unknown key (with the nearest known one), a malformed value.
///
///   level_min = "image"           # declared, image, weights, auditable: spec/04-attestation.md
///   [tdx]
///   accepted_tcb_statuses = ["SWHardeningNeeded"]
///   accepted_advisories = ["INTEL-SA-00960"]
///   images = ["mrtd=HEX, rtmr1=HEX, rtmr2=HEX, mrconfigid=HEX"]    # only mrtd must be there
///   [machines]
///   denied = ["ppid=HEX"]
///   [lists]
///   trusted = ["npub1…", "npub1…"]
///   auditors_min = 2
///   [[model]]
///   name = "qwen3-32b"
///   level_min = "weights"
///   weights = ["HEX"]
///   [[exception]]
///   check = "tcb"
///   found = "OutOfDate with INTEL-SA-00960, FMSPC 90c06f000000"
///   until = "2026-12-01T00:00:00Z"
///   reason = "vendor update announced for November"
///
/// All keys: print_verify_policy(). To add a key: a field of PolicyText, its line in declare_…(),
/// its line in the to_…() function that fills the verifier's policy.
[[nodiscard]] VerifyPolicy parse_verify_policy(std::string_view toml, const std::string& name);

/// The defaults as a commented file.
[[nodiscard]] std::string print_verify_policy();

/// The policy for evidence of a node that offers `model`. `records_sampling`: the offer says that
/// its records hold seed and sampling.
[[nodiscard]] attestation::Policy policy_for_model(const VerifyPolicy& policy,
                                                   std::string_view model, bool records_sampling);

}  // namespace nostril::client
