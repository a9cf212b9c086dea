#pragma once

#include <gtest/gtest.h>

#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace nostril::test {

/// What a person types once `after` is on the screen; nothing where he only reads.
struct TypedLine {
  std::string after;
  std::string typed;
};

struct TerminalOutcome {
  int exit = -1;       ///< 128 and the signal, where one ended it
  std::string output;  ///< all that the terminal showed
};

/// The program with a terminal of its own (a real pty: echo, line editing, signals by keys), at
/// which `lines` are typed, each when it is asked for.
inline TerminalOutcome run_at_terminal(const std::vector<std::string>& command,
                                       const std::vector<TypedLine>& lines) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  int terminal = -1;
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (pid == 0) {
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  TerminalOutcome out;
  std::size_t asked = 0;
  std::size_t seen = 0;
  for (;;) {
    pollfd ready{terminal, POLLIN, 0};
    char buffer[1024];
    if (poll(&ready, 1, 20'000) <= 0) break;
    const ssize_t got = read(terminal, buffer, sizeof buffer);
    if (got <= 0) break;
    out.output.append(buffer, static_cast<std::size_t>(got));
    for (; asked < lines.size(); ++asked) {
      const auto& [after, typed] = lines[asked];
      const std::size_t question = out.output.find(after, seen);
      if (question == std::string::npos) break;
      seen = question + after.size();
      EXPECT_EQ(write(terminal, typed.data(), typed.size()), static_cast<ssize_t>(typed.size()));
    }
  }
  EXPECT_EQ(asked, lines.size()) << "it never asked: " << out.output;
  close(terminal);
  int status = 0;
  waitpid(pid, &status, 0);
  out.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return out;
}

}  // namespace nostril::test
