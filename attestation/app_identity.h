#pragma once

#include "attestation/app_policy.h"
#include "attestation/checklist.h"
#include "attestation/event_log.h"
#include "attestation/verify.h"
#include "schnorr/types.h"

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Which application a dstack machine runs: its event log replayed against the quote, the compose
/// text against the log, the register MRCONFIGID against both. Pure.
namespace nostril::attestation {

/// How an application is judged.
struct AppRules {
  const AppPolicy& policy;
  /// The policy names compose files itself: the verdict needs the text of none, and the log of all.
  bool lists_compose = false;
  /// There is a log, or the caller's own form of evidence must have one.
  bool expected = false;

  /// Something is asked that only a log can answer.
  [[nodiscard]] bool needs_log() const;
};

AppRules app_rules(const Policy& policy, bool expected);

/// Untrusted bytes; borrowed for the call.
struct AppEvidence {
  Result<EventLog, EventLogError> log;
  /// The exact text; empty: not handed over.
  std::string_view compose;
  /// dstack's "mr-config" document of MRCONFIGID version 3; empty: none.
  std::string_view mr_config;
};

/// Registers that the quote signs, and those the caller's list of images fixes already: what is
/// fixed needs no replay ("lite" logs hold register 3 only).
struct AppRegisters {
  std::array<Measurement, 4> rtmr{};
  Measurement mrconfigid{};
  std::array<bool, 4> fixed{};
};

/// Of a TDX quote that was examined: its registers are in the verdict.
AppRegisters app_registers(const Verdict& verdict, const Acceptance& acceptance);

/// Lists: event_log, event_replay, boot_events, late_events, app_compose, images_pinned, app_id,
/// mrconfigid, os_image, key_provider; none of them required when no log is needed.
void list_app_checks(Checklist& checks, const AppRules& rules);

/// Records them all; claims what the log and the text say; adds the identity "compose", which
/// acceptance.h looks for in the policy's and its auditors' lists.
void examine_app(const AppEvidence& app, const AppRegisters& registers, const AppRules& rules,
                 Verdict& verdict);

/// SEV-SNP has no registers that grow: HOST_DATA is the digest of an "mr-config" document, which
/// names the application; a log of runtime events beside it must say the same. Lists: mr_config,
/// boot_events, app_compose, images_pinned, app_id, os_image (never checked: the launch measurement
/// says which image it is), key_provider.
void list_snp_app_checks(Checklist& checks, const AppRules& rules);
void examine_snp_app(const AppEvidence& app, std::span<const std::uint8_t, 32> host_data,
                     const AppRules& rules, Verdict& verdict);

/// One `image:` of a compose text.
struct ImageReference {
  std::string text;
  /// Names its bytes by @sha256:, and no variable that the operator may set can replace it.
  bool pinned = false;
  /// 64 hex digits, of pinned ones.
  std::string digest;
};

/// Every image that the compose file names, in order. An entry without a readable name, and every
/// `build:`, counts as an image that is not pinned. Nothing when the text is no dstack compose
/// document (a JSON object with the text `docker_compose_file`).
///
/// Looks at lines, not at YAML: a file made to deceive can hide an image in anchors or escapes.
/// Only a list of compose hashes is proof against that; this says what an honest file says.
std::optional<std::vector<ImageReference>> images_of(std::string_view app_compose);

/// SHA-256("dstack-mr-config-v3:", 0, document): MRCONFIGID version 3, HOST_DATA of SEV-SNP.
Digest mr_config_digest(std::string_view document);

/// The "mr-config" document in dstack's description of a guest ("vm_config"); empty: it has none.
std::string mr_config_of(std::string_view vm_config);

/// What the document says, in the terms of a boot record.
std::optional<BootRecord> read_mr_config(std::string_view document);

}  // namespace nostril::attestation
