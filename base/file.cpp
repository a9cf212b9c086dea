#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

namespace nostril {

UniqueFd::~UniqueFd() {
  close_now();
}

UniqueFd::UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

int UniqueFd::close_now() {
  const int fd = std::exchange(fd_, -1);
  return fd < 0 || close(fd) == 0 ? 0 : errno;
}

Result<FileLock, int> FileLock::take(const std::filesystem::path& file) {
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.is_open() || flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return failure(int{errno});
  return FileLock(std::move(fd));
}

int write_all(int fd, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t done = write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0) return EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return 0;
}

int sync_folder(const std::filesystem::path& folder) {
  const UniqueFd opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return opened.is_open() && fsync(opened.get()) == 0 ? 0 : errno;
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

}  // namespace nostril
