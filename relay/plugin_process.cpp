#include "relay/plugin_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

namespace nostril::relay {

namespace {

constexpr int kGraceTries = 50;
constexpr std::chrono::milliseconds kGraceStep{10};
constexpr std::size_t kReadBytes = 16 << 10;

struct PipeEnds {
  UniqueFd read;
  UniqueFd write;
};

Result<PipeEnds, int> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return failure(errno);
  return PipeEnds{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Ours only: what the program does with its own end is its business.
bool make_non_blocking(const UniqueFd& fd) {
  // NOLINTNEXTLINE(*-vararg)
  return fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0;
}

/// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(char* const* arguments, int input, int output, int errors, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);   // NOLINT(*-vararg)
  if (getppid() != parent) _exit(1);  // the relay died before the line above
  setpgid(0, 0);                      // a terminal's Ctrl-C is the relay's business
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGXFSZ, SIG_DFL);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, UINT_MAX, 0);  // whatever was opened without O_CLOEXEC
  execvp(arguments[0], arguments);
  _exit(127);
}

}  // namespace

Result<std::unique_ptr<PluginProcess>, std::string> PluginProcess::start(
    const std::vector<std::string>& command) {
  const auto error = [] { return failure(std::generic_category().message(errno)); };
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  auto input = make_pipe();
  auto output = make_pipe();
  auto errors = make_pipe();
  if (!input || !output || !errors || !make_non_blocking(input->write) ||
      !make_non_blocking(output->read) || !make_non_blocking(errors->read)) {
    return error();
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return error();
  if (child == 0) {
    become(arguments.data(), input->read.get(), output->write.get(), errors->write.get(), parent);
  }
  setpgid(child, child);  // also here: a kill must not come before the child's own
  return std::unique_ptr<PluginProcess>(new PluginProcess(
      child, std::move(input->write), std::move(output->read), std::move(errors->read)));
}

PluginProcess::~PluginProcess() {
  (void)input_.close_now();
  for (int i = 0; pid_ > 0 && !has_ended() && i < kGraceTries; ++i) {
    std::this_thread::sleep_for(kGraceStep);
  }
  kill_now();
}

// Its exit status stays until its group is dead: the group's number is not given to others
// meanwhile.
bool PluginProcess::has_ended() const {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid_;
}

void PluginProcess::kill_now() {
  if (pid_ <= 0) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

PluginProcess::Pipe PluginProcess::write(std::string_view& bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::write(input_.get(), bytes.data(), bytes.size());
    if (written > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      break;
    } else if (written == 0 || errno != EINTR) {
      return Pipe::Ended;
    }
  }
  return Pipe::Open;
}

PluginProcess::Pipe PluginProcess::read(int fd, std::string& out, std::size_t bytes_max) {
  std::array<char, kReadBytes> piece;  // NOLINT(*-member-init): filled by read()
  while (bytes_max > 0) {
    const ssize_t got = ::read(fd, piece.data(), std::min(piece.size(), bytes_max));
    if (got > 0) {
      out.append(piece.data(), static_cast<std::size_t>(got));
      bytes_max -= static_cast<std::size_t>(got);
    } else if (got < 0 && errno == EAGAIN) {
      break;
    } else if (got == 0 || errno != EINTR) {
      return Pipe::Ended;
    }
  }
  return Pipe::Open;
}

}  // namespace nostril::relay
