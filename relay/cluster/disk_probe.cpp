#include "relay/cluster/disk_probe.h"

#include "base/bytes.h"
#include "base/file.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace nostril::relay {

namespace {

// 0 or an errno. What is there of an earlier attempt is overwritten.
int write_probe(const std::filesystem::path& file) {
  constexpr mode_t kMode = 0600;
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode));
  if (!fd.is_open()) return errno;
  if (const int error = write_all(fd.get(), Bytes(kDiskProbeBytes)); error != 0) return error;
  if (::fsync(fd.get()) != 0) return errno;
  return fd.close_now();
}

}  // namespace

std::string disk_problem(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "probe.tmp";
  const int error = write_probe(file);
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  return error == 0 ? std::string()
                    : fmt::format("{} can't be written: {}", folder.string(),
                                  std::generic_category().message(error));
}

}  // namespace nostril::relay
