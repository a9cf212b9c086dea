#pragma once

#include <filesystem>
#include <string>

namespace nostril::relay {

/// Whether files below this folder can be written now: tried with one of kDiskProbeBytes, synced
/// and removed. Empty: they can; else why not, one line. Threads: any, one at a time a folder.
[[nodiscard]] std::string disk_problem(const std::filesystem::path& folder);

/// More than a store needs to be opened: what fits no more is found here, before the one that works
/// for readers is closed.
inline constexpr std::size_t kDiskProbeBytes = 256 << 10;

}  // namespace nostril::relay
