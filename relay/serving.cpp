#include "relay/serving.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/log_format.h"
#include "base/log_seldom.h"
#include "base/rng.h"
#include "net/inherited_sockets.h"
#include "net/loop.h"
#include "net/service_notify.h"
#include "relay/cluster/disk_probe.h"
#include "relay/relay.h"
#include "relay/reload.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX wants it declared

namespace nostril::relay {

namespace {

constexpr std::array kSignals = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
constexpr auto kCheckWaitMax = std::chrono::seconds(30);

std::string error_text(int error) {
  return std::generic_category().message(error);
}

/// Of files that may be replaced: when, how large, which.
class FileWatch {
 public:
  void look_at(const std::vector<std::string>& paths) {
    seen_.clear();
    for (const auto& path : paths) {
      if (!path.empty()) seen_.emplace_back(path, state_of(path));
    }
  }

  /// Since the last look; the new state counts as seen.
  [[nodiscard]] bool has_changed() {
    bool changed = false;
    for (auto& [path, state] : seen_) {
      const State now = state_of(path);
      // A file that is being replaced may be missing for a moment.
      if (now == state || now == State{}) continue;
      state = now;
      changed = true;
    }
    return changed;
  }

 private:
  using State = std::array<std::int64_t, 4>;

  static State state_of(const std::string& path) {
    struct stat found {};

    if (stat(path.c_str(), &found) != 0) return {};
    return {static_cast<std::int64_t>(found.st_ino), found.st_size, found.st_mtim.tv_sec,
            found.st_mtim.tv_nsec};
  }

  std::vector<std::pair<std::string, State>> seen_;
};

/// The program's file; by its first word where there is no /proc.
std::string own_program(const std::vector<std::string>& arguments) {
  std::error_code error;
  const auto found = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? arguments.front() : found.string();
}

/// Runs the check of the configuration by the program on the disk. Nothing: it is fit.
std::optional<std::string> unfit(const std::string& program,
                                 const std::vector<std::string>& arguments) {
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (const auto& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Its standard output says what is fit; ours is read by whoever waits for our lines.
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const int error =
      posix_spawn(&child, program.c_str(), &actions, &attributes, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return fmt::format("{}: {}", program, error_text(error));
  const auto give_up = std::chrono::steady_clock::now() + kCheckWaitMax;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() >= give_up) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return std::string("it did not finish checking the configuration");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  return fmt::format("it refuses the configuration, see above ({} {})",
                     WIFEXITED(status) ? "status" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/// One relay after another in this process: a second only when a restart has failed half way.
class Serving {
 public:
  explicit Serving(const ServingOptions& options)
      : options_(options),
        // Now: later it may name a file that is gone.
        program_(own_program(options.arguments)),
        config_(options.config),
        sockets_(net::take_inherited_sockets()) {}

  int run() {
    sigemptyset(&signals_);
    for (const int number : kSignals) sigaddset(&signals_, number);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    start();
    for (;;) {
      constexpr timespec kLook{1, 0};
      const int number = sigtimedwait(&signals_, nullptr, &kLook);
      if (number == SIGTERM || number == SIGINT) break;
      if (number == SIGHUP || (number < 0 && watch_.has_changed())) reload();
      if (number == SIGUSR2) restart();
      const auto wish = relay_->wish();
      if (wish == ClusterMember::Wish::Renew) renew();
      if (wish == ClusterMember::Wish::Leave) break;
    }
    net::notify_service("STOPPING=1");
    log(LogLevel::Info, "stopping: nothing more is read, what is under way is answered");
    relay_->stop();
    log(LogLevel::Info, "stopped");
    return 0;
  }

 private:
  void start() {
    relay_ = std::make_unique<Relay>(config_, clock_, rng_, sockets_);
    sockets_.clear();  // the relay has them
    relay_->start();
    watch_.look_at({options_.config_path, config_.tls_certificate, config_.tls_key});
    std::printf("listening on %s\n", relay_->listen_url().c_str());
    std::fflush(stdout);
    log(LogLevel::Info, "{} threads serve {}, events in {}", config_.loop_threads(),
        public_text(relay_->listen_url()), public_text(config_.data));
    net::notify_service("READY=1\nSTATUS=serving " + relay_->listen_url());
  }

  void reload() {
    (void)watch_.has_changed();  // else a file that is refused now is refused again in a second
    try {
      RelayConfig wanted = options_.read_config();
      wanted.check();
      const Config::Change change = plan_reload(wanted, config_);
      relay_->reconfigure(wanted);
      config_ = wanted;
      set_up_log(config_);
      relay_->operator_metrics().reloads.add();
      watch_.look_at({options_.config_path, config_.tls_certificate, config_.tls_key});
      log(LogLevel::Warning, "configuration read again: {}",
          public_text(change.taken.empty() ? "nothing to take over"
                                           : fmt::format("{}", fmt::join(change.taken, ", "))));
      if (change.needs_restart.empty()) return;
      log(LogLevel::Error, "these keys keep their old values until a restart: {}",
          public_text(fmt::format("{}", fmt::join(change.needs_restart, ", "))));
    } catch (const std::runtime_error& error) {
      relay_->operator_metrics().reloads_refused.add();
      log(LogLevel::Error, "the configuration stays as it is: {}", public_text(error.what()));
    }
  }

  void restart() {
    log(LogLevel::Warning, "restart: {} checks the configuration", public_text(program_));
    if (const auto why = unfit(program_, options_.check_arguments)) {
      relay_->operator_metrics().restarts_refused.add();
      log(LogLevel::Error, "no restart: {}", public_text(*why));
      return;
    }
    const bool listens_elsewhere = will_listen_elsewhere();
    net::notify_service("RELOADING=1");
    log(LogLevel::Warning,
        "restart: nothing more is read, what is under way is answered, connections wait");
    sockets_ = relay_->stop_for_restart();
    relay_.reset();  // closes the store, and gives back the lock of its folder
    if (listens_elsewhere) sockets_.clear();
    const int error = net::exec_with_sockets(program_, options_.arguments, sockets_);
    log(LogLevel::Error, "no restart: {}: {}; serving on", public_text(program_),
        public_text(error_text(error)));
    start();
  }

  // A snapshot of the cluster is ready, or the disk may have room again. In this process: nothing
  // else has changed.
  void renew() {
    // Where nothing can be written the next one would not begin, and this one answers for itself.
    if (const std::string why = disk_problem(config_.data); !why.empty()) {
      seldom_log_.error(public_text(why));
      return;
    }
    log(LogLevel::Warning, "starting anew for the cluster: what is under way is answered");
    sockets_ = relay_->stop_for_restart();
    relay_.reset();
    start();
  }

  // The sockets are of no use to a successor that is told to listen at another address.
  bool will_listen_elsewhere() const {
    try {
      return options_.read_config().listen != config_.listen;
    } catch (const std::runtime_error&) {
      return false;  // it has passed the check just now
    }
  }

  const ServingOptions& options_;
  const std::string program_;
  RelayConfig config_;
  std::vector<UniqueFd> sockets_;  // between two relays
  sigset_t signals_{};
  const SystemClock clock_;
  SystemRng rng_;
  std::unique_ptr<Relay> relay_;
  FileWatch watch_;
  SeldomLog seldom_log_;
};

}  // namespace

void set_up_log(const RelayConfig& config) {
  set_log_level(log_level_from(config.log_level));
  set_log_format(config.log_format == "json" ? LogFormat::Json : LogFormat::Text);
}

int serve(const ServingOptions& options) {
  // Each connection is a descriptor; the shell's soft limit is often 1,024.
  const std::uint64_t descriptors = net::raise_descriptor_limit();
  if (descriptors < static_cast<std::uint64_t>(options.config.limits.connections_max)) {
    log(LogLevel::Warning, "this process may open {} files, limits.connections_max is {}",
        descriptors, options.config.limits.connections_max);
  }
  return Serving(options).run();
}

}  // namespace nostril::relay
