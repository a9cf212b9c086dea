// nostril-relay: command line. The relay itself: relay/relay.h.
#include "base/clock.h"
#include "base/command_tree.h"
#include "base/config.h"
#include "base/log.h"
#include "net/tls_identity.h"
#include "relay/config.h"
#include "relay/serving.h"
#include "relay/store/compact.h"
#include "relay/store/import_export.h"
#include "relay/store/train.h"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <malloc.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

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
  bool recompress = false;
  std::size_t samples = TrainOptions().samples;
  std::string config_command;
  std::vector<std::string> words;  // of this program's command line
};

std::unique_ptr<Store> open_store(const RelayConfig& config, bool read_only) {
  StoreOptions options;
  options.read_only = read_only;
  auto store = Store::open(config.data, options);
  if (!store) throw std::runtime_error(store.error().text);
  return std::move(*store);
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

// A line a second on standard error.
ProgressHandler show_progress() {
  return [last_ms = std::int64_t{0}, clock = SystemClock()](std::string_view what,
                                                            std::uint64_t count) mutable {
    const std::int64_t now_ms = clock.monotonic_ms();
    if (last_ms == 0) last_ms = now_ms;
    if (now_ms - last_ms < 1000) return;
    last_ms = now_ms;
    fmt::print(stderr, "{} {}\n", count, what);
  };
}

int export_events(const RelayConfig& config) {
  auto store = open_store(config, true);
  std::ios::sync_with_stdio(false);
  const auto lines = export_jsonl(*store, std::cout, SystemClock().unix_s(), show_progress());
  if (!lines) throw std::runtime_error(lines.error().text);
  std::cout.flush();
  if (!std::cout) throw std::runtime_error("standard output can't be written");
  fmt::print(stderr, "{} events\n", *lines);
  return 0;
}

std::uint64_t per_event(std::uint64_t bytes, std::uint64_t events) {
  return events == 0 ? 0 : bytes / events;
}

int show_stats(const RelayConfig& config) {
  const StoreStats stats = open_store(config, true)->stats();
  std::uint64_t in_tables = 0;
  for (const auto& table : stats.tables) in_tables += table.used_bytes;
  fmt::print("events {}\nfile_used_bytes {} an_event {}\nin_tables_bytes {} an_event {}\n",
             stats.events, stats.file_used_bytes, per_event(stats.file_used_bytes, stats.events),
             in_tables, per_event(in_tables, stats.events));
  for (const auto& table : stats.tables) {
    fmt::print("table {} entries {} bytes {} an_event {}\n", table.name, table.entries,
               table.used_bytes, per_event(table.used_bytes, stats.events));
  }
  return 0;
}

int check_store(const RelayConfig& config) {
  const CheckReport report = open_store(config, true)->check(true, show_progress());
  for (const auto& problem : report.problems) fmt::print("{}\n", problem);
  fmt::print("{} records, {} index entries, {} problems\n", report.records, report.index_entries,
             report.problem_count);
  return report.ok() ? 0 : 1;
}

int compact_store(const RelayConfig& config, const Arguments& arguments) {
  CompactOptions options;
  options.recompress = arguments.recompress;
  options.progress = show_progress();
  const auto report = compact(*open_store(config, true), arguments.compact_to, options);
  if (!report) throw std::runtime_error(report.error().text);
  fmt::print("{} events, {} bytes an event before, {} after\n", report->events,
             per_event(report->bytes_before, report->events),
             per_event(report->bytes_after, report->events));
  return 0;
}

int train(const RelayConfig& config, std::size_t samples) {
  (void)open_store(config, true);  // makes no new store
  auto store = open_store(config, false);
  TrainOptions options;
  options.samples = samples;
  const auto report = train_dictionary(*store, options, SystemClock().unix_s());
  if (!report) throw std::runtime_error("no dictionary was added: " + report.error().text);
  fmt::print(
      "dictionary {}: {} bytes, trained on four fifths of {} contents; the others: {} bytes "
      "as text, {} packed\n",
      static_cast<unsigned>(report->id), report->dictionary_bytes, report->samples,
      report->test_content_bytes, report->test_stored_bytes);
  return 0;
}

int list_dictionaries(const RelayConfig& config) {
  const auto found = open_store(config, true)->dictionaries();
  if (!found) throw std::runtime_error(found.error().text);
  for (const auto& dictionary : *found) {
    fmt::print("dictionary {} bytes {} trained_at {} sha256 {}\n",
               static_cast<unsigned>(dictionary.id), dictionary.bytes, dictionary.trained_at_s,
               dictionary.sha256);
  }
  return 0;
}

int show_dictionary_stats(const RelayConfig& config) {
  const auto found = open_store(config, true)->content_stats(show_progress());
  if (!found) throw std::runtime_error(found.error().text);
  for (const auto& stats : *found) {
    const auto id = static_cast<unsigned>(stats.id);
    fmt::print("{} records {} content_bytes {} stored_bytes {}\n",
               id == 0 ? "text" : fmt::format("dictionary {}", id), stats.records,
               stats.content_bytes, stats.stored_bytes);
  }
  return 0;
}

int dictionaries(const CLI::App& command, const RelayConfig& config, const Arguments& arguments) {
  if (command.got_subcommand("train")) return train(config, arguments.samples);
  if (command.got_subcommand("list")) return list_dictionaries(config);
  return show_dictionary_stats(config);
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
  return values;
}

RelayConfig read_config(const Arguments& arguments) {
  Config config;
  RelayConfig fields;
  return read_config(arguments, config, fields);
}

// What a successor is asked before this program makes way for it (relay/serving.h).
std::vector<std::string> check_words(const Arguments& arguments) {
  std::vector<std::string> out = {arguments.words.front(), "config", "check"};
  for (const auto& [option, value] :
       {std::pair("--config", arguments.config_path), std::pair("--data", arguments.data),
        std::pair("--listen", arguments.listen), std::pair("--url", arguments.url)}) {
    if (!value.empty()) out.insert(out.end(), {option, value});
  }
  return out;
}

int run(const RelayConfig& config, const Arguments& arguments) {
  ServingOptions options;
  options.config = config;
  options.read_config = [&] { return read_config(arguments); };
  options.config_path = arguments.config_path;
  options.arguments = arguments.words;
  options.check_arguments = check_words(arguments);
  return serve(options);
}

// Whether `run` would start with it, as far as can be said beside a relay that runs.
int check_config(const RelayConfig& config) {
  config.check();
  if (!config.tls_certificate.empty()) {
    (void)net::TlsIdentity::load(config.tls_certificate, config.tls_key);
  }
  if (std::filesystem::exists(config.data + "/data.mdb")) (void)open_store(config, true);
  fmt::print("the configuration is fit\n");
  return 0;
}

int dispatch(const CLI::App& app, const Arguments& arguments) {
  Config config;
  RelayConfig fields;
  const RelayConfig values = read_config(arguments, config, fields);
  set_up_log(values);
  if (arguments.print_config || arguments.config_command == "print") {
    std::fputs(config.print().c_str(), stdout);
    return 0;
  }
  if (app.got_subcommand("import")) return import_events(values, !arguments.no_verify);
  if (app.got_subcommand("export")) return export_events(values);
  if (app.got_subcommand("stats")) return show_stats(values);
  if (app.got_subcommand("check")) return check_store(values);
  if (app.got_subcommand("compact")) return compact_store(values, arguments);
  if (app.got_subcommand("dict")) {
    return dictionaries(*app.get_subcommand("dict"), values, arguments);
  }
  if (arguments.config_command == "check") return check_config(values);
  if (app.got_subcommand("run")) return run(values, arguments);
  throw std::runtime_error("say what to do: nostril-relay run, or --help");
}

// Answers come and go in buffers of up to a megabyte: without this the C library gives each back to
// the system and takes it again, page by page, for a quarter of what a query costs.
void keep_freed_memory() {
#ifdef __GLIBC__
  constexpr int kKeptBytes = 8 << 20;  // of each arena, at most
  // NOLINTBEGIN(concurrency-mt-unsafe): before any thread
  mallopt(M_MMAP_THRESHOLD, kKeptBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptBytes);
  // NOLINTEND(concurrency-mt-unsafe)
#endif
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  try {
    CLI::App app("A Nostr relay. Events are kept in one directory; nothing else to install.",
                 "nostril-relay");
    Arguments arguments;
    arguments.words.assign(argv, argv + argc);
    app.set_version_flag("--version", "nostril-relay " NOSTRIL_VERSION);
    app.add_flag("--print-config", arguments.print_config,
                 "print the configuration file with its comments and present values");
    app.require_subcommand(0, 1);
    app.fallthrough();
    app.add_option("--config", arguments.config_path, "configuration file (TOML)");
    app.add_option("--data", arguments.data, "directory of the event store");

    CLI::App* run_command = app.add_subcommand(
        "run",
        "serve clients until SIGTERM or SIGINT. SIGHUP: read the configuration again (so does a "
        "change of the file). SIGUSR2: become the program as it lies on the disk, refusing nobody");
    run_command->add_option("--listen", arguments.listen, "HOST:PORT; port 0: any free one");
    run_command->add_option("--url", arguments.url, "public address, e.g. wss://relay.example.org");
    run_command->add_option("--threads", arguments.threads,
                            "threads for connections, and as many for signatures");
    CLI::App* import_command =
        app.add_subcommand("import", "read events from standard input, one JSON object a line");
    import_command->add_flag("--no-verify", arguments.no_verify,
                             "trust the signatures: for this relay's own export only");
    CLI::App* config_command = app.add_subcommand("config", "look at the configuration");
    config_command->require_subcommand(1);
    for (const auto& [name, what] : {std::pair("check", "status 0: `run` would start with it"),
                                     std::pair("print", "with its comments and present values")}) {
      CLI::App* command = config_command->add_subcommand(name, what);
      command->callback([&arguments, name = name] { arguments.config_command = name; });
      command->add_option("--listen", arguments.listen, "instead of the file's");
      command->add_option("--url", arguments.url, "instead of the file's");
    }
    app.add_subcommand("export", "write all events to standard output, oldest first");
    app.add_subcommand("stats", "sizes of the store");
    app.add_subcommand("check", "compare every record with every index");
    CLI::App* compact_command =
        app.add_subcommand("compact", "write a copy with full pages; a relay may go on meanwhile");
    compact_command->add_option("--to", arguments.compact_to, "new or empty directory")->required();
    compact_command->add_flag("--recompress", arguments.recompress,
                              "pack all contents with the newest dictionary, and keep that only");
    CLI::App* dict_command =
        app.add_subcommand("dict", "dictionaries that new contents are packed with");
    dict_command->require_subcommand(1);
    CLI::App* train_command =
        dict_command->add_subcommand("train", "make one of the stored contents and add it");
    train_command->add_option("--samples", arguments.samples, "events to look at")
        ->check(CLI::Range(100, 1'000'000));
    dict_command->add_subcommand("list", "which there are");
    dict_command->add_subcommand("stats", "what each has packed");

    nostril::add_program_pages(app, "nostril-relay");
    CLI11_PARSE(app, argc, argv);
    return dispatch(app, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
