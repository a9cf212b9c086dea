#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace nostril::bench {

/// The server seen from outside, through /proc: all threads of all its processes.
class ServerProcess {
 public:
  explicit ServerProcess(std::vector<int> pids);

  /// Those that hold the listening socket of this port, of any address. Throws std::runtime_error
  /// when there is none that this user may look at.
  [[nodiscard]] static ServerProcess listening_on(std::uint16_t port);

  [[nodiscard]] const std::vector<int>& pids() const { return pids_; }

  /// So far. Nanoseconds from schedstat, where /proc/PID/stat counts ticks of 10 ms.
  [[nodiscard]] std::int64_t cpu_ns() const;

  struct Memory {
    std::int64_t anonymous_bytes = 0;  ///< heap and stacks
    std::int64_t file_bytes = 0;       ///< mapped files in memory: code and, with LMDB, the data
  };

  [[nodiscard]] Memory memory() const;

 private:
  std::vector<int> pids_;
};

/// What a folder takes on the disk: allocated blocks, not the sizes of sparse files.
[[nodiscard]] std::int64_t disk_bytes(const std::filesystem::path& folder);

}  // namespace nostril::bench
