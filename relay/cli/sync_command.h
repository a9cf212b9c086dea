#pragma once

#include "events/negentropy.h"
#include "relay/config.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace nostril::relay {

struct SyncArguments {
  static constexpr std::size_t kFrameBytesMin = negentropy::kFrameBytesMin;

  std::string url;
  std::string filter = "{}";
  std::string direction = "down";
  std::int64_t answer_s_max = 30;
  std::size_t frame_bytes_max = 32 << 10;  ///< before hex
  std::string ca_path;
  std::string key_path;  ///< to show where the other relay asks (NIP-42)
};

/// How `sync` ended: the program's exit status. 2 is of wrong command lines (base/command_tree.h).
enum class SyncStatus : std::uint8_t {
  InSync = 0,
  Error = 1,
  TimedOut = 3,
  Incomplete = 4,  ///< some events were refused, or not given
  NoNegentropy = 5,
};

/// Reconciles this relay's store with another relay. The store is used as by `import`: a relay may
/// run on it meanwhile, and shows what has come to whoever asks; those who listen live hear nothing
/// of it (for that there is [[mirror]]). Begun again, it goes on where it was.
/// Throws std::runtime_error with one line. Threads: the program's main one.
int sync_with(const RelayConfig& config, const SyncArguments& arguments);

}  // namespace nostril::relay
