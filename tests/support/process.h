#pragma once

#include "tests/support/patience.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::test {

/// A program under test: its standard output comes here, it is killed by its PID when this goes.
class Process {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kWaitMax = std::chrono::seconds(20) * kPatience;

  /// `input`: what it reads from standard input (at most a pipe's 64 KiB).
  explicit Process(const std::vector<std::string>& command, const std::string& input = {}) {
    int in[2];
    int out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    std::vector<char*> arguments;
    for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that aborts leaves nothing behind
      dup2(in[0], 0);
      dup2(out[1], 1);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    output_ = out[0];
    if (write(in[1], input.data(), input.size()) != static_cast<ssize_t>(input.size())) {
      throw std::runtime_error("write to the program's input");
    }
    close(in[1]);
  }

  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    if (output_ >= 0) close(output_);
  }

  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  Process(Process&&) = delete;
  Process& operator=(Process&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Nobody has waited for its end yet.
  [[nodiscard]] bool is_running() const { return pid_ > 0; }

  /// The next line of its output without the line end; nothing at the end or after the wait.
  std::optional<std::string> read_line(Milliseconds wait_max = kWaitMax) {
    const auto until = std::chrono::steady_clock::now() + wait_max;
    while (true) {
      const std::size_t end = text_.find('\n');
      if (end != std::string::npos) {
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      if (!read_some(until)) return std::nullopt;
    }
  }

  /// All that is left of its output, until it closes it.
  std::string read_all(Milliseconds wait_max = kWaitMax) {
    const auto until = std::chrono::steady_clock::now() + wait_max;
    while (read_some(until)) {
    }
    return std::exchange(text_, {});
  }

  void signal(int number) const { kill(pid_, number); }

  /// Its exit status; 128 + the signal that killed it; nothing when it still runs after the wait.
  std::optional<int> wait(Milliseconds wait_max = kWaitMax) {
    const auto until = std::chrono::steady_clock::now() + wait_max;
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() >= until) return std::nullopt;
      std::this_thread::sleep_for(Milliseconds(5));
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  /// SIGKILL: no chance to tidy up. Throws when it had ended by itself: something was wrong.
  void kill_now() {
    signal(SIGKILL);
    if (wait() != 128 + SIGKILL) throw std::runtime_error("the program had ended before the kill");
  }

 private:
  bool read_some(std::chrono::steady_clock::time_point until) {
    const auto left =
        std::chrono::duration_cast<Milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ready{output_, POLLIN, 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
    char buffer[4096];
    const ssize_t count = read(output_, buffer, sizeof buffer);
    if (count <= 0) return false;
    text_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  pid_t pid_ = -1;
  int output_ = -1;
  std::string text_;
};

/// A program of this build: its path.
inline std::string program(const std::string& name) {
  return std::string(NOSTRIL_BIN_DIR) + "/" + name;
}

}  // namespace nostril::test
