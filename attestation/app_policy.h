#pragma once

#include "schnorr/types.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace nostril::attestation {

using AppId = std::array<std::uint8_t, 20>;

/// What the caller will accept of the application on a dstack machine, besides its compose file,
/// which Acceptance lists: the one list that fixes what runs (images, scripts, mounts, the names of
/// the variables that an operator may set). Empty lists: any.
struct AppPolicy {
  std::vector<AppId> app_ids;
  std::vector<Digest> os_images;
  /// Ids of the key provider (its public key), hex.
  std::vector<std::string> key_providers;
  /// Names of events that may stand after system-ready. What they say is any container's word.
  std::vector<std::string> late_events;
  /// SHA-256 of compose files that may be started after the boot (NEAR's compose-manager).
  std::vector<Digest> post_boot_files;
  /// Take compose texts that name images by tag, or build them, or let the operator choose them.
  bool allow_unpinned_images = false;
};

}  // namespace nostril::attestation
