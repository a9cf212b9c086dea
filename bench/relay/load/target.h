#pragma once

#include "bench/relay/load/server_process.h"
#include "net/url.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace nostril::bench {

/// One contender: a relay that runs already.
struct Target {
  std::string name;
  net::Url url;
  ServerProcess process;
  std::filesystem::path data;  ///< its folder on the disk; empty: unknown
  bool deflate = false;        ///< its clients ask for permessage-deflate
};

/// Reads [NAME=]ws://HOST:PORT[/PATH][,pid=PID][,data=FOLDER]. Without a pid the process is the one
/// that listens on the port. Throws std::runtime_error.
[[nodiscard]] Target read_target(std::string_view text);

}  // namespace nostril::bench
