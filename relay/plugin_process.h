#pragma once

#include "base/file.h"
#include "base/result.h"

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// A program with pipes to its standard input, output and error. It is killed, with all that it
/// started in its process group, when this goes or when the thread that started it ends, whatever
/// ends that: no relay leaves one behind. Threads: one, which starts it and outlives it.
class PluginProcess {
 public:
  /// `command`: the program, by path or looked for in PATH, and its arguments; no shell. An error
  /// is the system's. A program that can't be run ends at once with status 127.
  [[nodiscard]] static Result<std::unique_ptr<PluginProcess>, std::string> start(
      const std::vector<std::string>& command);
  /// Closes its input, gives it a moment to end, then kills it.
  ~PluginProcess();
  PluginProcess(const PluginProcess&) = delete;
  PluginProcess& operator=(const PluginProcess&) = delete;
  PluginProcess(PluginProcess&&) = delete;
  PluginProcess& operator=(PluginProcess&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

  // For poll().
  [[nodiscard]] int input() const { return input_.get(); }

  [[nodiscard]] int output() const { return output_.get(); }

  [[nodiscard]] int errors() const { return errors_.get(); }

  enum class Pipe : std::uint8_t { Open, Ended };

  /// Writes what the pipe takes off the front of `bytes`, now.
  [[nodiscard]] Pipe write(std::string_view& bytes) const;
  /// Appends what is there, `bytes_max` at most.
  [[nodiscard]] static Pipe read(int fd, std::string& out, std::size_t bytes_max);
  /// No moment of grace.
  void kill_now();
  /// It has ended, and waits for kill_now().
  [[nodiscard]] bool has_ended() const;

  void close_input() { (void)input_.close_now(); }

  void close_errors() { (void)errors_.close_now(); }

 private:
  PluginProcess(pid_t pid, UniqueFd input, UniqueFd output, UniqueFd errors)
      : pid_(pid),
        input_(std::move(input)),
        output_(std::move(output)),
        errors_(std::move(errors)) {}

  pid_t pid_;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd errors_;
};

}  // namespace nostril::relay
