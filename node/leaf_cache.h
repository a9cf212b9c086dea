#pragma once

#include "base/file.h"
#include "node/file_tree.h"
#include "schnorr/types.h"

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace nostril::node {

/// Leaf digests of one file, kept on the disk while it stays as it is. Layout:
///
///   off  size  field
///     0     8  "NLEAVES1"
///     8    32  SHA-256 of the file's identity: device, inode, bytes, modified_ns, changed_ns,
///              each 8 bytes big-endian
///    40    24  zero
///    64   32n  digest of leaf i; zero: not yet known
///
/// Slots are written in place as they become known, by any number of threads: a slot never crosses
/// a sector, so after a crash it is whole or still unknown.
/// A cache that can't be read or written is an empty one: it costs time only.
class LeafCache {
 public:
  /// `key` names the file among others of the folder; `folder` empty: keeps nothing.
  LeafCache(const std::filesystem::path& folder, const std::string& key,
            const FileIdentity& identity, std::size_t leaf_count);

  /// What was known; zero for the rest. As many as there are leaves.
  [[nodiscard]] const std::vector<Digest>& known() const { return known_; }

  /// Threads: any.
  void put(std::size_t index, const Digest& leaf) const;

 private:
  UniqueFd file_;
  std::vector<Digest> known_;
};

}  // namespace nostril::node
