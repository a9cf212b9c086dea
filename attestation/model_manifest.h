#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "schnorr/hash.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
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

/// One leaf of a file and what must be hashed with it to come to the file's root: nobody needs the
/// other leaves. With the manifest, whose digest the statement carries, it proves 1 MiB of a model.
struct LeafProof {
  ManifestFile file;
  std::uint64_t index = 0;   ///< from 0; the leaf begins at index * kManifestLeafBytes
  std::vector<Digest> path;  ///< siblings from the leaf upwards

  bool operator==(const LeafProof&) const = default;
};

inline constexpr std::size_t kLeafProofTextBytesMax = 8192;

/// How many leaves a file of so many bytes has.
[[nodiscard]] constexpr std::uint64_t leaf_count(std::uint64_t bytes) {
  return bytes / kManifestLeafBytes + (bytes % kManifestLeafBytes == 0 ? 0 : 1);
}

/// Of leaf `index`, below leaves.size(). `leaves` are all of the file's, in order.
[[nodiscard]] std::vector<Digest> leaf_path(std::span<const Digest> leaves, std::size_t index);

/// These bytes are that leaf of a file with this size and root (RFC 9162, 2.1.3.2).
[[nodiscard]] bool is_leaf(const LeafProof& proof, ByteSpan leaf);

/// The one text of a proof, lines as in a manifest:
///
///   nostril-leaf 1
///   file <root> <bytes> <name>
///   leaf <index>
///   hash <64 hex digits>                               one line a sibling, from the leaf upwards
[[nodiscard]] std::string print_leaf_proof(const LeafProof& proof);

/// The inverse; nothing for any other text, or a path that no file of this size has.
[[nodiscard]] std::optional<LeafProof> parse_leaf_proof(std::string_view text);

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
