#pragma once

#include "client/reputation_settings.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace nostril::client {

/// What a user says about relays, trust and money, for every command that talks to nodes.
struct ClientSettings {
  std::filesystem::path home = {};  ///< payment key and journal; made with mode 0700
  std::vector<std::string> relays = {};
  std::string ca_file = {};  ///< PEM roots for wss:// relays; empty: the system's
  /// DER files: also take SIMULATED evidence under these roots (of a processor, of GPUs).
  std::vector<std::string> test_roots = {};
  std::string policy = {};  ///< TOML file (`nostril policy`, docs/verify.md); empty: the defaults
  bool allow_unchecked_tcb = false;
  std::int64_t budget = 1'000'000;  ///< most that one node may be owed, base units
  ReputationSettings reputation = {};
};

/// ~/.nostril, or $NOSTRIL_HOME.
[[nodiscard]] std::filesystem::path default_home();

}  // namespace nostril::client
