#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace nostril::relay::test {

/// What a process does to the files below one directory, seen between liblmdb and the kernel: the
/// test program has the system's functions (pwrite, pwritev, writev, fdatasync, ftruncate, …)
/// itself, and a shared library's calls come there first. One at a time; threads: any.
namespace disk {

struct Step {
  enum class Kind : std::uint8_t { Write, Sync, Truncate, Mark };

  Kind kind = Kind::Write;
  std::uint64_t at = 0;  ///< offset, or the size a Truncate asks for, or a Mark's number
  Bytes bytes;
  std::string file;         ///< data.mdb or log
  bool is_durable = false;  ///< written through an O_DSYNC descriptor
};

enum class Fault : std::uint8_t {
  None,
  Exit,      ///< ends the process instead of the step
  ExitHalf,  ///< writes half of it, then ends the process
  Fail,      ///< the step does nothing and reports EIO; later ones work
  Full       ///< from this step on no file grows, until stop(); a write reaches to its file's end
};
inline constexpr int kExitStatus = 77;

/// Whether the file system can set room aside (fallocate); it can unless said otherwise.
void can_allocate(bool yes);

/// From now on steps below `directory` are counted, from 1, and the `fault_at`th one fails.
void watch(const std::string& directory, Fault fault, std::size_t fault_at);
/// The same without faults, keeping the steps on the files data.mdb and log.
void record(const std::string& directory);
/// Among the recorded steps: here the program has acknowledged `number`.
void mark(std::uint64_t number);
/// Ends watching; the recorded steps.
std::vector<Step> stop();
/// Steps counted since watch().
std::size_t steps();

struct Ended {
  int status = -1;               ///< of the child; 0: it took fewer steps than the fault's
  std::size_t acknowledged = 0;  ///< the last count that the work gave
};

/// Told how much is done; below 128.
using Acknowledge = std::function<void(std::size_t)>;
/// `work` in a child that meets `fault` at its `step`th step below `directory`. When the work ends
/// in spite of it, the status is 2 for true and 1 for false.
Ended run_with_fault(const std::string& directory, Fault fault, std::size_t step,
                     const std::function<bool(const Acknowledge&)>& work);

/// A file that was ended in the first write of its two meta pages: liblmdb refuses it, and nothing
/// was ever in it.
bool is_torn_at_birth(const std::filesystem::path& directory);

}  // namespace disk

}  // namespace nostril::relay::test
