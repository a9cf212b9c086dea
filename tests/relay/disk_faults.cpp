#include "tests/relay/disk_faults.h"

#include "base/check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>

namespace nostril::relay::test::disk {

namespace {

struct State {
  bool is_watching = false;
  bool is_recording = false;
  Fault fault = Fault::None;
  std::size_t fault_at = 0;
  std::size_t count = 0;
  bool can_allocate = true;
  std::string directory;
  std::vector<Step> steps;
};

State& state() {
  static State once;
  return once;
}

// A test thread steers what another one's writes meet.
std::recursive_mutex& mutex() {
  static std::recursive_mutex once;
  return once;
}

std::string path_of(int fd) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(link.c_str(), path.data(), path.size());
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : "";
}

bool is_watched(int fd) {
  return state().is_watching && path_of(fd).starts_with(state().directory);
}

// What becomes of the step that is about to be taken.
Fault next_step(int fd) {
  State& self = state();
  if (!is_watched(fd)) return Fault::None;
  ++self.count;
  if (self.fault == Fault::Full && self.count >= self.fault_at) return Fault::Full;
  if (self.count != self.fault_at) return Fault::None;
  if (self.fault == Fault::Exit) _exit(kExitStatus);
  return self.fault;
}

// The file's name when what happens to it is to be kept, else nothing.
std::string recorded_name(int fd) {
  if (!state().is_recording) return "";
  const std::string path = path_of(fd);
  const std::string name = path.substr(path.rfind('/') + 1);
  return name == "data.mdb" || name == "log" ? name : "";
}

std::uint64_t size_of(int fd) {
  struct stat info {};

  CHECK(fstat(fd, &info) == 0);
  return static_cast<std::uint64_t>(info.st_size);
}

ssize_t raw_write(int fd, const std::uint8_t* bytes, std::size_t size, off_t at) {
  return syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t write_at(int fd, const iovec* parts, int count, off_t at) {
  const std::lock_guard lock(mutex());
  Bytes all;
  for (int i = 0; i < count; ++i) {
    const auto* bytes = static_cast<const std::uint8_t*>(parts[i].iov_base);
    all.insert(all.end(), bytes, bytes + parts[i].iov_len);
  }
  const Fault fault = next_step(fd);
  if (fault == Fault::Fail) {
    errno = EIO;
    return -1;
  }
  if (fault == Fault::ExitHalf) {
    (void)raw_write(fd, all.data(), all.size() / 2, at);
    _exit(kExitStatus);
  }
  if (fault == Fault::Full) {
    const std::uint64_t end = size_of(fd);
    const auto begin = static_cast<std::uint64_t>(at);
    if (begin >= end) {
      errno = ENOSPC;
      return -1;
    }
    if (begin + all.size() > end) all.resize(end - begin);
  }
  const ssize_t written = raw_write(fd, all.data(), all.size(), at);
  if (const std::string name = recorded_name(fd); !name.empty()) {
    const bool is_durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    state().steps.push_back(
        {Step::Kind::Write, static_cast<std::uint64_t>(at), std::move(all), name, is_durable});
  }
  return written;
}

int simple_step(int fd, Step::Kind kind, std::uint64_t at, long call) {
  const std::lock_guard lock(mutex());
  const Fault fault = next_step(fd);
  if (fault == Fault::ExitHalf) _exit(kExitStatus);
  if (fault == Fault::Fail) {
    errno = EIO;
    return -1;
  }
  if (fault == Fault::Full && kind == Step::Kind::Truncate && at > size_of(fd)) {
    errno = ENOSPC;
    return -1;
  }
  const long done = kind == Step::Kind::Truncate ? syscall(call, fd, at) : syscall(call, fd);
  const std::string name = recorded_name(fd);
  if (!name.empty()) state().steps.push_back({kind, at, {}, name, false});
  return static_cast<int>(done);
}

// No step of its own: it makes nothing durable.
int allocate(int fd, int mode, off_t at, off_t size) {
  const std::lock_guard lock(mutex());
  const State& self = state();
  if (!self.can_allocate) {
    errno = EOPNOTSUPP;
    return -1;
  }
  const bool is_full = self.fault == Fault::Full && self.count >= self.fault_at && is_watched(fd);
  if (is_full && static_cast<std::uint64_t>(at + size) > size_of(fd)) {
    errno = ENOSPC;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fallocate, fd, mode, at, size));
}

}  // namespace

void can_allocate(bool yes) {
  const std::lock_guard lock(mutex());
  state().can_allocate = yes;
}

void watch(const std::string& directory, Fault fault, std::size_t fault_at) {
  const std::lock_guard lock(mutex());
  state() = {true, false, fault, fault_at, 0, state().can_allocate, directory, {}};
}

void record(const std::string& directory) {
  const std::lock_guard lock(mutex());
  state() = {true, true, Fault::None, 0, 0, state().can_allocate, directory, {}};
}

void mark(std::uint64_t number) {
  if (state().is_recording) state().steps.push_back({Step::Kind::Mark, number, {}, "", false});
}

std::vector<Step> stop() {
  const std::lock_guard lock(mutex());
  std::vector<Step> steps = std::move(state().steps);
  const std::size_t count = state().count;
  state() = {false, false, Fault::None, 0, count, state().can_allocate, "", {}};
  return steps;
}

std::size_t steps() {
  const std::lock_guard lock(mutex());
  return state().count;
}

Ended run_with_fault(const std::string& directory, Fault fault, std::size_t step,
                     const std::function<bool(const Acknowledge&)>& work) {
  std::array<int, 2> ends{};
  CHECK(pipe(ends.data()) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    watch(directory, fault, step);
    const bool done = work([&ends](std::size_t count) {
      const char byte = static_cast<char>(count);
      if (write(ends[1], &byte, 1) != 1) _exit(5);
    });
    _exit(steps() < step ? 0 : done ? 2 : 1);
  }
  close(ends[1]);
  Ended ended;
  for (char byte = 0; read(ends[0], &byte, 1) == 1;) {
    ended.acknowledged = static_cast<std::size_t>(byte);
  }
  close(ends[0]);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

bool is_torn_at_birth(const std::filesystem::path& directory) {
  constexpr std::uintmax_t kMetaBytes = 8192;
  const auto file = directory / "data.mdb";
  return std::filesystem::exists(file) && std::filesystem::file_size(file) < kMetaBytes;
}

}  // namespace nostril::relay::test::disk

namespace disk = nostril::relay::test::disk;

// The system's functions. liblmdb calls these; so does everything else in the program.
extern "C" {

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  const iovec part{const_cast<void*>(bytes), size};
  return disk::write_at(fd, &part, 1, at);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  const iovec part{const_cast<void*>(bytes), size};
  return disk::write_at(fd, &part, 1, at);
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  return disk::write_at(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t at) {
  return disk::write_at(fd, parts, count, at);
}

// After an lseek(), as liblmdb writes several pages; pipes and terminals have no place.
ssize_t writev(int fd, const iovec* parts, int count) {
  const off_t at = lseek(fd, 0, SEEK_CUR);
  if (at < 0) return syscall(SYS_writev, fd, parts, count);
  const ssize_t written = disk::write_at(fd, parts, count, at);
  if (written > 0) lseek(fd, written, SEEK_CUR);
  return written;
}

int fdatasync(int fd) {
  return disk::simple_step(fd, disk::Step::Kind::Sync, 0, SYS_fdatasync);
}

int fsync(int fd) {
  return disk::simple_step(fd, disk::Step::Kind::Sync, 0, SYS_fsync);
}

int fallocate(int fd, int mode, off_t at, off_t size) {
  return disk::allocate(fd, mode, at, size);
}

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  return disk::allocate(fd, mode, at, size);
}

int ftruncate(int fd, off_t size) noexcept {
  return disk::simple_step(fd, disk::Step::Kind::Truncate, static_cast<std::uint64_t>(size),
                           SYS_ftruncate);
}

int ftruncate64(int fd, off64_t size) noexcept {
  return disk::simple_step(fd, disk::Step::Kind::Truncate, static_cast<std::uint64_t>(size),
                           SYS_ftruncate);
}

}  // extern "C"
