#pragma once

#include "base/config.h"
#include "client/home.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace nostril::client {

/// HOME/config.toml: what a command takes where its line says nothing. `nostril init` writes it;
/// without it the defaults hold. Files that are named without a leading slash lie in the home.
struct HomeConfig {
  std::vector<std::string> relays;
  std::string ca_file;
  std::string identity;
  std::string policy;
  std::vector<std::string> trust_test_roots;
  bool allow_unchecked_tcb = false;
  std::int64_t budget = 1'000'000;

  struct Gateway {
    std::string listen = "127.0.0.1:8788";
    std::vector<std::string> hosts;
    std::string tls_cert;
    std::string tls_key;
    std::int64_t hedge_ms = 0;
    std::string rules;
  } gateway;

  struct Reputation {
    std::vector<std::string> follows;
    std::string follows_of;
    std::vector<std::string> providers;
    std::string providers_of;
    bool publish_proofs = false;
  } reputation;

  /// Defaults when the home has none. Throws ConfigError.
  [[nodiscard]] static HomeConfig read(const std::filesystem::path& home);
  /// The commented file with these values.
  [[nodiscard]] std::string print();
  /// Throws ConfigError when a key is none.
  [[nodiscard]] ClientSettings settings(const std::filesystem::path& home) const;

 private:
  void declare(Config& config);
  void place_in(const std::filesystem::path& home);
};

[[nodiscard]] std::filesystem::path config_file_of(const std::filesystem::path& home);

}  // namespace nostril::client
