#include "node/file_tree.h"

#include "attestation/model_manifest.h"

#include <fmt/format.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::size_t kDepthMax = 16;
constexpr std::int64_t kNsPerS = 1'000'000'000;

std::string because(const std::string& name, int error) {
  if (error == ELOOP || error == ENOTDIR) {
    return name +
           ": a symbolic link, or below one; the manifest takes files in the folder itself "
           "(copy them there: cp -rL)";
  }
  return fmt::format("{}: {}", name, std::generic_category().message(error));
}

std::int64_t to_ns(const timespec& time) {
  return std::int64_t{time.tv_sec} * kNsPerS + time.tv_nsec;
}

UniqueFd open_at(int folder, const char* name, int flags) {
  return UniqueFd(openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags));
}

struct DirCloser {
  void operator()(DIR* folder) const { closedir(folder); }
};

/// Adds what is below `folder`; the names begin with `prefix`. The error, if any.
std::optional<std::string> list_below(UniqueFd folder, const std::string& prefix, std::size_t depth,
                                      std::vector<std::string>& out) {
  if (depth > kDepthMax) return prefix + ": folders too deep in each other";
  const int copy = dup(folder.get());
  const std::unique_ptr<DIR, DirCloser> entries(copy < 0 ? nullptr : fdopendir(copy));
  if (!entries) return because(prefix, errno);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own
  while (const dirent* entry = readdir(entries.get())) {
    const std::string part(static_cast<const char*>(entry->d_name));
    if (part == "." || part == "..") continue;
    const std::string name = prefix + part;
    if (!attestation::is_manifest_name(name)) {
      return name + ": a manifest has printable ASCII names of 255 characters at most";
    }

    struct stat status {};

    if (fstatat(folder.get(), part.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return because(name, errno);
    }
    if (S_ISLNK(status.st_mode)) return because(name, ELOOP);
    if (S_ISDIR(status.st_mode)) {
      UniqueFd below = open_at(folder.get(), part.c_str(), O_DIRECTORY);
      if (!below.is_open()) return because(name, errno);
      if (auto error = list_below(std::move(below), name + "/", depth + 1, out)) return error;
      continue;
    }
    if (!S_ISREG(status.st_mode)) return name + ": neither a file nor a folder";
    if (out.size() == attestation::kManifestFilesMax) {
      return fmt::format("more than {} files; is this the model's folder?", out.size());
    }
    out.push_back(name);
  }
  return std::nullopt;
}

}  // namespace

Result<FileIdentity, std::string> identity_of(const UniqueFd& file, const std::string& name) {
  struct stat status {};

  if (fstat(file.get(), &status) != 0) return failure(because(name, errno));
  if (!S_ISREG(status.st_mode)) return failure(name + ": not a regular file");
  return FileIdentity{status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
                      to_ns(status.st_mtim), to_ns(status.st_ctim)};
}

Result<FileTree, std::string> FileTree::open(const std::filesystem::path& folder) {
  // The folder itself may be named through links: the operator wrote this path.
  UniqueFd opened(::open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  if (!opened.is_open()) {
    return failure(fmt::format("{}: {}", folder.string(), std::generic_category().message(errno)));
  }
  return FileTree(folder, std::move(opened));
}

Result<UniqueFd, std::string> FileTree::open_file(const std::string& name) const {
  if (!attestation::is_manifest_name(name)) return failure(name + ": no name of a manifest");
  UniqueFd folder;
  std::string_view rest = name;
  for (;;) {
    const int at = folder.is_open() ? folder.get() : folder_.get();
    const std::size_t slash = rest.find('/');
    const std::string part(rest.substr(0, slash));
    const bool last = slash == std::string_view::npos;
    UniqueFd next = open_at(at, part.c_str(), last ? 0 : O_DIRECTORY);
    if (!next.is_open()) return failure(because((path_ / name).string(), errno));
    if (last) return next;
    folder = std::move(next);
    rest.remove_prefix(slash + 1);
  }
}

Result<std::vector<std::string>, std::string> FileTree::list() const {
  std::vector<std::string> out;
  UniqueFd folder(fcntl(folder_.get(), F_DUPFD_CLOEXEC, 0));
  if (auto error = list_below(std::move(folder), "", 0, out)) {
    return failure(path_.string() + ": " + *error);
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace nostril::node
