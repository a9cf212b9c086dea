#include "client/cli/command_line.h"

#include <CLI/CLI.hpp>

namespace nostril::client::cli {

void add_relays(CLI::App& app, std::vector<std::string>& relays, std::string& ca_file,
                bool required) {
  app.add_option("-r,--relay", relays, "relay, ws://… or wss://…; again for more")
      ->required(required)
      ->envname("NOSTRIL_RELAY");
  app.add_option("--ca-file", ca_file,
                 "PEM file of the roots that wss:// relays are checked against; else the system's");
}

void add_test_roots(CLI::App& app, SettingsOptions& settings) {
  app.add_option("--trust-test-root", settings.test_roots,
                 "DER file: also take SIMULATED evidence under this test root (development); again "
                 "for more")
      ->allow_extra_args(false);
}

void add_home(CLI::App& app, std::string& home) {
  app.add_option("--home", home, "folder of keys, receipts and config.toml")->capture_default_str();
}

void add_client(CLI::App& app, SettingsOptions& settings, std::string& home) {
  add_relays(app, settings.relays, settings.ca_file, false);
  add_home(app, home);
  add_test_roots(app, settings);
  app.add_option("--policy", settings.policy,
                 "TOML file: what evidence is taken; `nostril verify policy` prints all keys");
  app.add_flag("--allow-unchecked-tcb", settings.allow_unchecked_tcb,
               "take genuine evidence that comes without Intel's collateral");
  app.add_option("--budget", settings.budget, "most that one node may be owed, base units; 1000000")
      ->check(CLI::NonNegativeNumber);
}

ClientSettings settings_of(const Options& o) {
  return with_config(o.client, HomeConfig::read(o.home), o.home);
}

void use_identity(const Options& o, std::string& key, std::string& ca_file) {
  const HomeConfig config = HomeConfig::read(o.home);
  if (key.empty()) key = config.identity;
  if (ca_file.empty()) ca_file = config.ca_file;
}

ClientSettings with_config(const SettingsOptions& options, const HomeConfig& config,
                           const std::filesystem::path& home) {
  ClientSettings out = config.settings(home);
  const auto prefer = [](auto& value, const auto& named) {
    if (!named.empty()) value = named;
  };
  prefer(out.relays, options.relays);
  prefer(out.ca_file, options.ca_file);
  prefer(out.test_roots, options.test_roots);
  prefer(out.policy, options.policy);
  out.allow_unchecked_tcb |= options.allow_unchecked_tcb;
  if (options.budget) out.budget = *options.budget;
  return out;
}

}  // namespace nostril::client::cli
