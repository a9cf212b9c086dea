#include "node/demo_engine_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr std::uint64_t kPollMs = 50;
constexpr std::size_t kLineBytesMax = 4096;
constexpr std::string_view kReady = "listening on ";
/// After SIGTERM, before SIGKILL.
constexpr int kStopTries = 60;

/// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(const std::vector<char*>& arguments, int output, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);   // NOLINT(*-vararg)
  if (getppid() != parent) _exit(1);  // the node died before the line above
  setpgid(0, 0);                      // a terminal's Ctrl-C is the node's business
  dup2(output, STDOUT_FILENO);
  execvp(arguments.front(), arguments.data());
  _exit(127);
}

}  // namespace

DemoEngineProcess::DemoEngineProcess(net::Loop& loop, DemoEngineSettings settings,
                                     std::function<void(std::string)> on_ready,
                                     std::function<void(std::string)> on_exit)
    : loop_(loop),
      settings_(std::move(settings)),
      on_ready_(std::move(on_ready)),
      on_exit_(std::move(on_exit)) {}

std::filesystem::path DemoEngineProcess::model_file() const {
  return settings_.model.empty() ? settings_.folder / "model" / "nostril-demo.gguf"
                                 : settings_.model;
}

Result<void, std::string> DemoEngineProcess::start() {
  const auto program = settings_.folder / "engine.mjs";
  if (!std::filesystem::exists(program)) {
    return failure(program.string() + " is not there; set engine.demo_folder or engine.url");
  }
  if (!std::filesystem::exists(model_file())) {
    return failure(model_file().string() + " is not there");
  }
  std::vector<std::string> words = {"node",     program.string(), "--model", model_file().string(),
                                    "--listen", "127.0.0.1:0"};
  if (settings_.slow_ms > 0) {
    words.emplace_back("--slow-ms");
    words.push_back(std::to_string(settings_.slow_ms));
  }
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return failure(std::string("demo engine: ") + std::generic_category().message(errno));
  }
  output_ = UniqueFd(pipe_ends[0]);
  const UniqueFd child_output(pipe_ends[1]);
  const pid_t parent = getpid();
  child_ = fork();
  if (child_ == 0) become(arguments, child_output.get(), parent);
  if (child_ < 0) {
    return failure(std::string("demo engine: ") + std::generic_category().message(errno));
  }
  poll_timer_ = loop_.every(kPollMs, [this] { poll(); });
  return {};
}

void DemoEngineProcess::poll() {
  std::array<char, 512> piece{};
  const ssize_t got = read(output_.get(), piece.data(), piece.size());
  if (got > 0) read_lines(std::string_view(piece.data(), static_cast<std::size_t>(got)));
  int status = 0;
  if (child_ <= 0 || waitpid(child_, &status, WNOHANG) != child_) return;
  child_ = -1;
  loop_.cancel(std::exchange(poll_timer_, net::TimerId::None));
  const bool missing = WIFEXITED(status) && WEXITSTATUS(status) == 127;
  on_exit_(missing ? "Node.js was not found; run ./scripts/setup demo"
                   : "the demo engine ended by itself");
}

/// Looks for the line that says where it listens; all others are its own business.
void DemoEngineProcess::read_lines(std::string_view output) {
  lines_ += output;
  for (std::size_t end = 0; on_ready_ && (end = lines_.find('\n')) != std::string::npos;) {
    std::string line = lines_.substr(0, end);
    lines_.erase(0, end + 1);
    if (!line.starts_with(kReady)) continue;
    line.erase(0, kReady.size());
    std::exchange(on_ready_, nullptr)(line.substr(0, line.find(' ')));
  }
  if (!on_ready_ || lines_.size() > kLineBytesMax) lines_.clear();
}

DemoEngineProcess::~DemoEngineProcess() {
  loop_.cancel(poll_timer_);
  if (child_ <= 0) return;
  kill(child_, SIGTERM);
  for (int i = 0; i < kStopTries; ++i) {
    if (waitpid(child_, nullptr, WNOHANG) == child_) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
}

}  // namespace nostril::node
