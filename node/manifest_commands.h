#pragma once

#include <cstdint>
#include <string>

/// `nostril-node manifest …`: the exit status is 0, or 1 with a line on standard error.
namespace nostril::node {

struct ManifestOptions {
  std::string folder;
  std::string output;    ///< make: the manifest's file; empty: standard output
  std::string manifest;  ///< check: the file to compare with; show: to print
  std::string cache;     ///< folder of leaf digests; empty: none
  std::int64_t threads = 0;
  std::string name;        ///< prove: of the file, as the manifest has it
  std::uint64_t leaf = 0;  ///< prove: which, from 0
  std::string page;        ///< prove: where its bytes go; empty: nowhere
  std::string root;        ///< verity: hex; empty: of the device below the folder
  std::string salt;        ///< verity: hex
  std::uint64_t data_blocks = 0;
  std::uint32_t data_block_bytes = 4096;
  std::uint32_t hash_block_bytes = 4096;
};

int manifest_make(const ManifestOptions& options);
/// Which files are as the manifest says, changed, missing, or not in it.
int manifest_check(const ManifestOptions& options);
/// What shows that one leaf is of a file, without the other leaves. Reads that file alone.
int manifest_prove(const ManifestOptions& options);
/// Digest, files and sizes, for people: of the manifest's file, else of the folder.
int manifest_show(const ManifestOptions& options);
/// The text that stands in a manifest's place for a dm-verity device, and its digest on standard
/// error: of the device below the folder, or of what `veritysetup format` said.
int manifest_verity(const ManifestOptions& options);

}  // namespace nostril::node
