#pragma once

#include "relay/config.h"

#include <functional>
#include <string>
#include <vector>

namespace nostril::relay {

/// What `nostril-relay run` was told.
struct ServingOptions {
  RelayConfig config;
  /// Reads the configuration again, with what the command line says before it. Throws ConfigError.
  std::function<RelayConfig()> read_config;
  std::string config_path;  ///< looked at once a second; empty: there is no file
  /// This program's words, the first included, for its successor.
  std::vector<std::string> arguments;
  /// Words that let a successor check the same configuration: it ends with status 0 when it is fit.
  std::vector<std::string> check_arguments;
};

/// Serves until SIGTERM or SIGINT.
///
/// SIGHUP, or a changed file (configuration, certificate, key): what may change does; each key that
/// needs a restart is named in the log; a file that can't be used changes nothing.
///
/// SIGUSR2: a restart that refuses nobody. The program as it lies on the disk now checks the
/// configuration first; only then this one stops reading, answers what is under way, tells clients
/// to come again (1012), closes the store and becomes the new program, which inherits the listening
/// sockets: connections wait in them meanwhile. When that fails, this one serves on.
///
/// Takes listening sockets that the process was started with (systemd). Before any other thread.
int serve(const ServingOptions& options);

/// Level and format of the log.
void set_up_log(const RelayConfig& config);

}  // namespace nostril::relay
