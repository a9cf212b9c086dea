#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/hash.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Which files a model is: names, sizes, and a Merkle root of each. The node's measured agent makes
/// it, the attested statement carries its digest. Pure functions; safe from any thread. The page is
/// spec/04-attestation.md.
namespace nostril::attestation {

/// Bytes of one leaf: what a reader must have to check any part of a file by itself.
inline constexpr std::size_t kManifestLeafBytes = 1U << 20U;
inline constexpr std::size_t kManifestFilesMax = 2048;
inline constexpr std::size_t kManifestNameBytesMax = 255;
inline constexpr std::size_t kManifestTextBytesMax = 256U << 10U;

struct ManifestFile {
  /// Path below the model's folder: printable ASCII, components joined by "/", none of them empty,
  /// "." or "..".
  std::string name;
  std::uint64_t bytes = 0;
  Digest root;

  bool operator==(const ManifestFile&) const = default;
};

/// Files in ascending order of their names' bytes, each name once.
struct ModelManifest {
  std::vector<ManifestFile> files;

  bool operator==(const ModelManifest&) const = default;

  /// The file of that name, or nullptr.
  [[nodiscard]] const ManifestFile* find(std::string_view name) const;
};

[[nodiscard]] bool is_manifest_name(std::string_view name);

/// The one text of a manifest; every line ends in LF, numbers are decimal without leading zeros:
///
///   nostril-manifest 2
///   leaf 1048576
///   file <root, 64 hex digits> <bytes> <name>          one line a file
[[nodiscard]] std::string print_manifest(const ModelManifest& manifest);

/// The inverse. Nothing for any other text, also one that says the same in another way.
[[nodiscard]] std::optional<ModelManifest> parse_manifest(std::string_view text);

/// H("nostril/manifest/2", text): the statement's model_manifest.
[[nodiscard]] Digest manifest_digest(std::string_view text);

/// Merkle tree hash of RFC 6962: a leaf is SHA-256(00 ‖ up to kManifestLeafBytes of the file), a
/// node SHA-256(01 ‖ left ‖ right), a left subtree is as large as it can be; of no leaf SHA-256().
[[nodiscard]] Digest leaf_digest(ByteSpan leaf);

class MerkleRoot {
 public:
  void add(const Digest& leaf);
  [[nodiscard]] Digest root() const;

 private:
  std::vector<std::pair<unsigned, Digest>> subtrees_;  // heights descending
};

/// The root of a file that comes in pieces of any size. Threads: one.
class FileRoot {
 public:
  void update(ByteSpan bytes);
  [[nodiscard]] Digest finish();

 private:
  void close_leaf();

  Sha256 leaf_;
  std::size_t leaf_bytes_ = 0;
  MerkleRoot tree_;
};

}  // namespace nostril::attestation
