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
};

int manifest_make(const ManifestOptions& options);
/// Which files are as the manifest says, changed, missing, or not in it.
int manifest_check(const ManifestOptions& options);
/// What shows that one leaf is of a file, without the other leaves. Reads that file alone.
int manifest_prove(const ManifestOptions& options);
/// Digest, files and sizes, for people: of the manifest's file, else of the folder.
int manifest_show(const ManifestOptions& options);

}  // namespace nostril::node
