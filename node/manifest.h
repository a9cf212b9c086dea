#pragma once

#include "attestation/model_manifest.h"
#include "base/result.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace nostril::node {

/// What to hash and how.
struct ManifestSettings {
  /// All files below it; empty: none.
  std::filesystem::path folder;
  /// Single files; their names are their last path components and must differ.
  std::vector<std::filesystem::path> files;
  unsigned threads = 0;  ///< 0: one a core
  /// The folder is the mount of a dm-verity device: nothing is hashed, the device's root is taken.
  bool is_verity = false;
  /// Where leaf digests are kept, a file each (node/leaf_cache.h); empty: nowhere. Work that was
  /// interrupted goes on where it stopped, and files that did not change are not read again.
  std::filesystem::path cache;
  /// A file that changed less than this before it is hashed is not kept: a second change within
  /// one tick of the file system's clock would not show.
  std::int64_t settle_ms = 2'000;
};

struct ManifestProgress {
  std::uint64_t bytes = 0;         ///< of those that must be read
  std::uint64_t bytes_total = 0;   ///< must be read
  std::uint64_t bytes_reused = 0;  ///< known from before
};

struct ManifestCalls {
  /// About once a second, on the calling thread.
  std::function<void(const ManifestProgress&)> progress;
  /// Set by another thread: stop soon. May be null.
  const std::atomic<bool>* cancelled = nullptr;
};

/// Hashes the files, 1 MiB at a time, on `threads` threads. Refuses symbolic links, and files that
/// change while they are hashed. The error is one line for the operator.
///
/// What it proves is what the files held while they were read: storage that the host can change
/// behind the guest's back must be protected by the guest (dm-verity, dm-crypt with integrity, or
/// a copy in memory), and so must `cache`.
[[nodiscard]] Result<attestation::ModelManifest, std::string> make_manifest(
    const ManifestSettings& settings, const ManifestCalls& calls = {});

/// What evidence carries of the weights: the text of their manifest; or, where that is_verity, of
/// the device below the folder (verity.h).
[[nodiscard]] Result<std::string, std::string> weights_text(const ManifestSettings& settings,
                                                            const ManifestCalls& calls = {});

}  // namespace nostril::node
