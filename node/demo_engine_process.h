#pragma once

#include "base/file.h"
#include "base/result.h"
#include "net/loop.h"

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace nostril::node {

struct DemoEngineSettings {
  std::filesystem::path folder;  ///< node/demo_engine of the source tree, packages installed
  std::filesystem::path model;   ///< GGUF; empty: the folder's own
  std::int64_t slow_ms = 0;
};

/// The demo engine as a child process: started when no engine was found, stopped with the node (by
/// SIGTERM, and by the kernel if the node is killed). Threads: the loop's only.
class DemoEngineProcess {
 public:
  /// `on_ready` gets http://HOST:PORT; `on_exit` comes when it ends by itself, before or after
  /// that, with a line for the operator.
  DemoEngineProcess(net::Loop& loop, DemoEngineSettings settings,
                    std::function<void(std::string)> on_ready,
                    std::function<void(std::string)> on_exit);
  /// Stops the child and waits for it.
  ~DemoEngineProcess();
  DemoEngineProcess(const DemoEngineProcess&) = delete;
  DemoEngineProcess& operator=(const DemoEngineProcess&) = delete;

  /// The error is one line for the operator.
  [[nodiscard]] Result<void, std::string> start();
  /// The model file that it serves: for the manifest.
  [[nodiscard]] std::filesystem::path model_file() const;

 private:
  void poll();
  void read_lines(std::string_view output);

  net::Loop& loop_;
  DemoEngineSettings settings_;
  std::function<void(std::string)> on_ready_;
  std::function<void(std::string)> on_exit_;
  pid_t child_ = -1;
  UniqueFd output_;    // read end of its standard output
  std::string lines_;  ///< of its output, not read yet
  net::TimerId poll_timer_ = net::TimerId::None;
};

}  // namespace nostril::node
