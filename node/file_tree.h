#pragma once

#include "base/file.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

struct stat;

namespace nostril::node {

/// What tells one state of a file from another without reading it.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;  ///< since 1970
  std::int64_t changed_ns = 0;   ///< of the inode, which nobody can set back

  bool operator==(const FileIdentity&) const = default;
};

[[nodiscard]] Result<FileIdentity, std::string> identity_of(const UniqueFd& file,
                                                            const std::string& name);

/// A folder whose files are opened by names that cannot lead out of it: no symbolic link is
/// followed, at any component. Errors are one line for the operator. Threads: const, any.
class FileTree {
 public:
  static Result<FileTree, std::string> open(const std::filesystem::path& folder);

  /// A regular file below the folder; its name as in a manifest (attestation/model_manifest.h).
  [[nodiscard]] Result<UniqueFd, std::string> open_file(const std::string& name) const;

  /// All regular files, sorted by name. Anything else than files and folders, and a name that no
  /// manifest can have, is an error.
  [[nodiscard]] Result<std::vector<std::string>, std::string> list() const;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  FileTree(std::filesystem::path path, UniqueFd folder)
      : path_(std::move(path)), folder_(std::move(folder)) {}

  std::filesystem::path path_;
  UniqueFd folder_;
};

}  // namespace nostril::node
