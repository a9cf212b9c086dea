#pragma once

#include "attestation/checklist.h"
#include "attestation/event_log.h"
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

inline constexpr std::size_t kAppComposeBytesMax = 256U << 10U;

using AppId = std::array<std::uint8_t, 20>;

/// What the caller will accept of an application. Empty lists: any.
struct AppPolicy {
  /// SHA-256 of whole compose texts. The one list that fixes what runs: images, scripts, mounts and
  /// the names of the variables that an operator may set.
  std::vector<Digest> compose_hashes;
  std::vector<AppId> app_ids;
  std::vector<Digest> os_images;
  /// Ids of the key provider (its public key), hex.
  std::vector<std::string> key_providers;
  /// Names of events that may stand after system-ready. What they say is any container's word.
  std::vector<std::string> late_events;
  /// SHA-256 of compose files that may be started after boot (NEAR's compose-manager).
  std::vector<Digest> post_boot_files;
  /// Take compose texts that name images by tag, or build them, or let the operator choose them.
  bool allow_unpinned_images = false;

  /// Something is asked that only an event log can answer.
  [[nodiscard]] bool needs_log() const;
};

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

/// Lists: event_log, event_replay, boot_events, late_events, compose_hash, app_compose,
/// images_pinned, app_id, mrconfigid, os_image, key_provider. `expected`: there is a log, or there
/// must be one; otherwise none of them is required.
void list_app_checks(Checklist& checks, const AppPolicy& policy, bool expected);

/// Records them all, and claims what the log and the text say. True when the application is one of
/// the caller's list of compose hashes.
bool examine_app(const AppEvidence& app, const AppRegisters& registers, const AppPolicy& policy,
                 Verdict& verdict);

/// SEV-SNP has no registers that grow: HOST_DATA is the digest of an "mr-config" document, which
/// names the application; a log of runtime events beside it must say the same. Lists: mr_config,
/// boot_events, compose_hash, app_compose, images_pinned, app_id, os_image
/// (never checked), key_provider.
void list_snp_app_checks(Checklist& checks, const AppPolicy& policy);
bool examine_snp_app(const AppEvidence& app, std::span<const std::uint8_t, 32> host_data,
                     const AppPolicy& policy, Verdict& verdict);

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

/// What the document says, in the terms of a boot record.
std::optional<BootRecord> read_mr_config(std::string_view document);

}  // namespace nostril::attestation
