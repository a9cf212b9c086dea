#include "base/file_at.h"

#include <unistd.h>

#include <cerrno>

namespace nostril {

Result<std::size_t, int> read_at(int fd, std::uint64_t at, std::span<std::uint8_t> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failure(int{errno});
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

int write_at(int fd, std::uint64_t at, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    if (put == 0) return EIO;
    at += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return 0;
}

}  // namespace nostril
