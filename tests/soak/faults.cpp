// Preloaded into the relay by tests/soak: what the machine does to it, steered by a small file that
// both sides have mapped. The wall clock may jump (monotonic clocks don't), and the disk below one
// directory may be full.
//
//   NOSTRIL_SOAK_CONTROL    16 bytes: seconds that the wall clock is off, i64; disk full if not 0,
//   i64 NOSTRIL_SOAK_DIRECTORY  whose files may meet a full disk
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

struct Control {
  std::atomic<std::int64_t> clock_off_s;
  std::atomic<std::int64_t> disk_is_full;
};

static_assert(sizeof(Control) == 16);

const Control* open_control() {
  const char* path = std::getenv("NOSTRIL_SOAK_CONTROL");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* bytes = mmap(nullptr, sizeof(Control), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return bytes == MAP_FAILED ? nullptr : static_cast<const Control*>(bytes);
}

const Control* control() {
  static const Control* const once = open_control();
  return once;
}

// True, with errno set, when the file's disk is full: what is there already can be written over, as
// on most file systems; nothing can grow.
bool is_full(int fd, std::int64_t end) {
  static const char* const directory = std::getenv("NOSTRIL_SOAK_DIRECTORY");
  if (control() == nullptr || directory == nullptr || control()->disk_is_full == 0) return false;
  std::array<char, 64> link{"/proc/self/fd/"};
  std::array<char, 4096> path{};
  char* number = link.data() + std::strlen(link.data());
  int digits = 1;
  for (int rest = fd; rest >= 10; rest /= 10) ++digits;
  for (int rest = fd, i = digits; i > 0; --i, rest /= 10) {
    number[i - 1] = static_cast<char>('0' + rest % 10);
  }
  if (readlink(link.data(), path.data(), path.size() - 1) <= 0) return false;
  if (std::strncmp(path.data(), directory, std::strlen(directory)) != 0) return false;

  struct stat file {};

  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || end <= file.st_size) return false;
  errno = ENOSPC;
  return true;
}

std::int64_t size_of(const iovec* parts, int count) {
  std::int64_t size = 0;
  for (int i = 0; i < count; ++i) size += static_cast<std::int64_t>(parts[i].iov_len);
  return size;
}

}  // namespace

// The system's functions, as liblmdb, libstdc++ and the relay call them.
extern "C" {

int clock_gettime(clockid_t clock, timespec* out) noexcept {
  const long result = syscall(SYS_clock_gettime, clock, out);
  if (result == 0 && control() != nullptr &&
      (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    out->tv_sec += control()->clock_off_s;
  }
  return static_cast<int>(result);
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  return is_full(fd, at + static_cast<std::int64_t>(size))
             ? -1
             : syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  return is_full(fd, at + static_cast<std::int64_t>(size))
             ? -1
             : syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  return is_full(fd, at + size_of(parts, count)) ? -1
                                                 : syscall(SYS_pwritev, fd, parts, count, at, 0);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  const off_t at = lseek(fd, 0, SEEK_CUR);  // -1: a socket
  return at >= 0 && is_full(fd, at + size_of(parts, count)) ? -1
                                                            : syscall(SYS_writev, fd, parts, count);
}

int fallocate(int fd, int mode, off_t at, off_t size) {
  return is_full(fd, at + size) ? -1 : static_cast<int>(syscall(SYS_fallocate, fd, mode, at, size));
}

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  return is_full(fd, at + size) ? -1 : static_cast<int>(syscall(SYS_fallocate, fd, mode, at, size));
}

int ftruncate(int fd, off_t size) noexcept {
  return is_full(fd, size) ? -1 : static_cast<int>(syscall(SYS_ftruncate, fd, size));
}

int ftruncate64(int fd, off64_t size) noexcept {
  return is_full(fd, size) ? -1 : static_cast<int>(syscall(SYS_ftruncate, fd, size));
}

}  // extern "C"
