#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nostril::node {

/// Where the interfaces of a TEE are looked for. The defaults are the machine's; tests have folders
/// of their own.
struct TeePaths {
  std::filesystem::path dstack_socket = "/var/run/dstack.sock";
  std::filesystem::path tsm_folder = "/sys/kernel/config/tsm/report";
  std::filesystem::path sev_guest = "/dev/sev-guest";
  /// Not sources of evidence here, but signs of a real TEE: the simulator refuses beside them.
  std::vector<std::filesystem::path> others = {"/dev/tdx_guest", "/dev/tdx-guest", "/dev/nsm",
                                               "/var/run/tappd.sock"};
};

/// Those that exist.
[[nodiscard]] std::vector<std::string> tee_interfaces(const TeePaths& paths);

}  // namespace nostril::node
