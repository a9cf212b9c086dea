// nostril-relay: a Nostr relay. Its own words for every command: --help.
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "relay/config.h"
#include "relay/info.h"
#include "relay/relay.h"
#include "relay/store/import_export.h"
#include "relay/store/store.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>

namespace nostril::relay {

namespace {

/// One relay a data folder: a second one would serve without hearing what the first one commits.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    const std::filesystem::path file = folder / "relay.lock";
    descriptor_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);  // NOLINT(*-vararg)
    if (descriptor_ < 0) throw std::runtime_error(file.string() + ": can't be opened");
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      close(descriptor_);
      throw std::runtime_error(folder.string() + ": another relay is running on this folder");
    }
  }

  ~FolderLock() { close(descriptor_); }

  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log(LogLevel::Warning, "the limit of open files stays at {}", limit.rlim_cur);
  }
}

int run(const RelayConfig& config) {
  set_log_level(log_level_from(config.log_level));
  raise_file_limit();
  const FolderLock lock(config.data);
  const SystemClock clock;
  Relay relay(config, clock);
  relay.loop().on_signal(SIGTERM, [&relay] { relay.request_stop(); });
  relay.loop().on_signal(SIGINT, [&relay] { relay.request_stop(); });
  const std::string host = config.listen.substr(0, config.listen.rfind(':'));
  fmt::print("listening on ws://{}:{}\n", host, relay.port());
  std::fflush(stdout);
  relay.run();
  return 0;
}

std::unique_ptr<Store> open_store(const std::string& data, const StoreOptions& options = {}) {
  auto store = Store::open(data, options);
  if (!store) throw std::runtime_error(store.error().text);
  return std::move(*store);
}

int import_events(const std::string& data, bool verify) {
  const auto store = open_store(data);
  const SystemClock clock;
  ImportOptions options;
  options.verify = verify;
  options.progress = &std::cerr;
  std::ios::sync_with_stdio(false);
  const auto report = import_jsonl(*store, std::cin, clock, options);
  if (!report) throw std::runtime_error(report.error().text);
  fmt::print(stderr,
             "{} lines: {} stored, {} known, {} older than what is stored, {} deleted, {} expired, "
             "{} with a wrong signature\n",
             report->lines, report->count(PutResult::Stored), report->count(PutResult::Duplicate),
             report->count(PutResult::HaveNewer), report->count(PutResult::Deleted),
             report->count(PutResult::Expired), report->bad_signatures);
  return 0;
}

int export_events(const std::string& data) {
  StoreOptions options;
  options.read_only = true;
  const auto store = open_store(data, options);
  const SystemClock clock;
  std::ios::sync_with_stdio(false);
  const auto lines = export_jsonl(*store, std::cout, clock.unix_s());
  if (!lines) throw std::runtime_error(lines.error().text);
  std::cout.flush();
  if (!std::cout) throw std::runtime_error("standard output can't be written");
  fmt::print(stderr, "{} events\n", *lines);
  return 0;
}

int check_store(const std::string& data) {
  StoreOptions options;
  options.read_only = true;
  const auto report = open_store(data, options)->check(true);
  for (const std::string& problem : report.problems) fmt::print("{}\n", problem);
  fmt::print("{} records, {} index entries, {} problems\n", report.records, report.index_entries,
             report.problem_count);
  return report.ok() ? 0 : 1;
}

}  // namespace

}  // namespace nostril::relay

int main(int argc, char** argv) {
  using namespace nostril;         // NOLINT(google-build-using-namespace)
  using namespace nostril::relay;  // NOLINT(google-build-using-namespace)
  CLI::App app("nostril-relay: a Nostr relay (NIP-01, 09, 11, 40)");
  app.set_version_flag("--version", kRelayVersion);
  bool print = false;
  app.add_flag("--print-config", print, "print the commented default configuration");
  app.require_subcommand(0, 1);

  std::string config_file;
  std::string listen;
  std::string data;
  std::string url;
  std::int64_t threads = 0;
  auto* run_app = app.add_subcommand("run", "serve until SIGTERM");
  run_app->add_option("--config", config_file, "configuration file (TOML)");
  run_app->add_option("--listen", listen, "HOST:PORT, overrides the file; port 0 picks one");
  run_app->add_option("--data", data, "folder of the event store, overrides the file");
  run_app->add_option("--url", url, "URL that clients use, when it differs");
  run_app->add_option("--threads", threads, "loops and verifiers each; default: one a core")
      ->check(CLI::Range(1, 256));

  bool no_verify = false;
  auto* import_app =
      app.add_subcommand("import", "store events from standard input, one JSON a line");
  import_app->add_option("--data", data, "folder of the event store")->required();
  import_app->add_flag("--no-verify", no_verify, "only for what your own relay exported");
  auto* export_app =
      app.add_subcommand("export", "write all events to standard output, oldest first");
  export_app->add_option("--data", data, "folder of the event store")->required();
  auto* check_app = app.add_subcommand("check", "compare all records with all indexes");
  check_app->add_option("--data", data, "folder of the event store")->required();
  CLI11_PARSE(app, argc, argv);

  try {
    RelayConfig values;
    Config config;
    values.declare(config);
    if (print) {
      fmt::print("{}", config.print());
      return 0;
    }
    if (*import_app) return import_events(data, !no_verify);
    if (*export_app) return export_events(data);
    if (*check_app) return check_store(data);
    if (*run_app) {
      if (!config_file.empty()) config.load(config_file);
      if (!listen.empty()) values.listen = listen;
      if (!data.empty()) values.data = data;
      if (!url.empty()) values.url = url;
      if (threads > 0) values.loops = values.verifiers = threads;
      return run(values);
    }
    fmt::print(stderr, "{}", app.help());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril-relay: {}\n", error.what());
    return 1;
  }
}
