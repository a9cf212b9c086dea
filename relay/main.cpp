// nostril-relay: command line. The relay itself: relay/relay.h.
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/rng.h"
#include "relay/config.h"
#include "relay/relay.h"
#include "relay/store/import_export.h"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

#ifndef NOSTRIL_VERSION
#define NOSTRIL_VERSION "unknown"
#endif

namespace {

using namespace nostril;         // NOLINT(google-build-using-namespace): a program's own file
using namespace nostril::relay;  // NOLINT(google-build-using-namespace)

struct Arguments {
  std::string config_path;
  std::string listen;
  std::string data;
  std::string url;
  std::int64_t threads = 0;
  bool print_config = false;
  bool no_verify = false;
  std::string compact_to;
};

// Each connection is a descriptor; the shell's soft limit is often 1,024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log(LogLevel::Warning, "the limit of open files stays low: connections may be refused");
  }
}

std::unique_ptr<Store> open_store(const RelayConfig& config, bool read_only) {
  StoreOptions options;
  options.read_only = read_only;
  auto store = Store::open(config.data, options);
  if (!store) throw std::runtime_error(store.error().text);
  return std::move(*store);
}

int run(const RelayConfig& config) {
  raise_descriptor_limit();
  // Before any thread: all inherit the mask, and this thread alone takes the signals.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);

  const SystemClock clock;
  SystemRng rng;
  Relay relay(config, clock, rng);
  relay.start();
  std::printf("listening on %s\n", relay.listen_url().c_str());
  std::fflush(stdout);
  log(LogLevel::Info, "{} threads serve {}, events in {}", config.loop_threads(),
      relay.listen_url(), config.data);

  int signal_number = 0;
  sigwait(&stop_signals, &signal_number);
  log(LogLevel::Info, "stopping: nothing more is read, what is under way is answered");
  relay.stop();
  log(LogLevel::Info, "stopped");
  return 0;
}

int import_events(const RelayConfig& config, bool verify) {
  auto store = open_store(config, false);
  const SystemClock clock;
  ImportOptions options;
  options.verify = verify;
  options.verifier_threads = config.ingest_options().verifier_threads;
  options.limits = config.session_limits().message.event;
  options.progress = &std::cerr;
  std::ios::sync_with_stdio(false);
  const auto report = import_jsonl(*store, std::cin, clock, options);
  if (!report) throw std::runtime_error(report.error().text);
  std::uint64_t malformed = report->lines_too_long;
  for (const std::uint64_t count : report->parse_errors) malformed += count;
  fmt::print(stderr, "{} lines: {} stored, {} duplicates, {} malformed, {} wrong signatures\n",
             report->lines, report->count(PutResult::Stored), report->count(PutResult::Duplicate),
             malformed, report->bad_signatures);
  return 0;
}

int export_events(const RelayConfig& config) {
  auto store = open_store(config, true);
  std::ios::sync_with_stdio(false);
  const auto lines = export_jsonl(*store, std::cout, SystemClock().unix_s());
  if (!lines) throw std::runtime_error(lines.error().text);
  std::cout.flush();
  if (!std::cout) throw std::runtime_error("standard output can't be written");
  fmt::print(stderr, "{} events\n", *lines);
  return 0;
}

int show_stats(const RelayConfig& config) {
  const StoreStats stats = open_store(config, true)->stats();
  fmt::print("events {}\nfile_used_bytes {}\n", stats.events, stats.file_used_bytes);
  for (const auto& table : stats.tables) {
    fmt::print("table {} entries {} bytes {}\n", table.name, table.entries, table.used_bytes);
  }
  return 0;
}

int check_store(const RelayConfig& config) {
  const CheckReport report = open_store(config, true)->check(true);
  for (const auto& problem : report.problems) fmt::print("{}\n", problem);
  fmt::print("{} records, {} index entries, {} problems\n", report.records, report.index_entries,
             report.problem_count);
  return report.ok() ? 0 : 1;
}

int compact(const RelayConfig& config, const std::string& target) {
  const auto done = open_store(config, true)->compact_to(target);
  if (!done) throw std::runtime_error(done.error().text);
  return 0;
}

RelayConfig read_config(const Arguments& arguments, Config& config, RelayConfig& values) {
  values.declare(config);
  if (!arguments.config_path.empty()) config.load(arguments.config_path);
  if (!arguments.listen.empty()) values.listen = arguments.listen;
  if (!arguments.data.empty()) values.data = arguments.data;
  if (!arguments.url.empty()) values.url = arguments.url;
  if (arguments.threads > 0) {
    values.threads.loops = arguments.threads;
    values.threads.verifiers = arguments.threads;
  }
  set_log_level(log_level_from(values.log_level));
  return values;
}

int dispatch(const CLI::App& app, const Arguments& arguments) {
  Config config;
  RelayConfig fields;
  const RelayConfig values = read_config(arguments, config, fields);
  if (arguments.print_config) {
    std::fputs(config.print().c_str(), stdout);
    return 0;
  }
  if (app.got_subcommand("import")) return import_events(values, !arguments.no_verify);
  if (app.got_subcommand("export")) return export_events(values);
  if (app.got_subcommand("stats")) return show_stats(values);
  if (app.got_subcommand("check")) return check_store(values);
  if (app.got_subcommand("compact")) return compact(values, arguments.compact_to);
  if (app.got_subcommand("run")) return run(values);
  throw std::runtime_error("say what to do: nostril-relay run, or --help");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app("A Nostr relay. Events are kept in one directory; nothing else to install.",
                 "nostril-relay");
    Arguments arguments;
    app.set_version_flag("--version", "nostril-relay " NOSTRIL_VERSION);
    app.add_flag("--print-config", arguments.print_config,
                 "print the configuration file with its comments and present values");
    app.require_subcommand(0, 1);
    app.fallthrough();
    app.add_option("--config", arguments.config_path, "configuration file (TOML)");
    app.add_option("--data", arguments.data, "directory of the event store");

    CLI::App* run_command = app.add_subcommand("run", "serve clients until SIGTERM or SIGINT");
    run_command->add_option("--listen", arguments.listen, "HOST:PORT; port 0: any free one");
    run_command->add_option("--url", arguments.url, "public address, e.g. wss://relay.example.org");
    run_command->add_option("--threads", arguments.threads,
                            "threads for connections, and as many for signatures");
    CLI::App* import_command =
        app.add_subcommand("import", "read events from standard input, one JSON object a line");
    import_command->add_flag("--no-verify", arguments.no_verify,
                             "trust the signatures: for this relay's own export only");
    app.add_subcommand("export", "write all events to standard output, oldest first");
    app.add_subcommand("stats", "sizes of the store");
    app.add_subcommand("check", "compare every record with every index");
    CLI::App* compact_command = app.add_subcommand("compact", "write a defragmented copy");
    compact_command->add_option("directory", arguments.compact_to, "new or empty")->required();

    CLI11_PARSE(app, argc, argv);
    return dispatch(app, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
