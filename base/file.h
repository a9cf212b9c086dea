#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <filesystem>
#include <utility>

namespace nostril {

/// A file descriptor that is closed. Threads: one owner.
class UniqueFd {
 public:
  UniqueFd() = default;

  explicit UniqueFd(int fd) : fd_(fd) {}

  ~UniqueFd();
  UniqueFd(UniqueFd&& other) noexcept;
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  [[nodiscard]] int get() const { return fd_; }

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }

  /// For who takes it over.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

  /// 0 or an errno: a device may say only here what was wrong with a write.
  int close_now();

 private:
  int fd_ = -1;
};

/// A lock file (flock) of one process at a time; the kernel lets go of it when the process ends,
/// however it ends. The file stays. Threads: one owner.
class FileLock {
 public:
  /// Makes the file (0600) when missing. Else an errno; EWOULDBLOCK: somebody else holds it.
  [[nodiscard]] static Result<FileLock, int> take(const std::filesystem::path& file);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

/// All of `bytes` at the file's position. 0 or an errno.
[[nodiscard]] int write_all(int fd, ByteSpan bytes);

/// A new or renamed file is on the disk when its folder is. 0 or an errno.
[[nodiscard]] int sync_folder(const std::filesystem::path& folder);

/// The folder that holds `file`: "." for a bare name.
[[nodiscard]] std::filesystem::path folder_of(const std::filesystem::path& file);

}  // namespace nostril
