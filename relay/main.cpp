// nostril-relay: command line. The relay itself: relay/relay.h.
#include "base/clock.h"
#include "base/command_tree.h"
#include "base/config.h"
#include "base/log.h"
#include "net/tls_identity.h"
#include "relay/cli/cluster_command.h"
#include "relay/cli/commands.h"
#include "relay/cli/sync_command.h"
#include "relay/config.h"
#include "relay/health.h"
#include "relay/serving.h"
#include "relay/store/train.h"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <malloc.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
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
  std::string export_filter;
  bool check_signatures = false;
  std::string compact_to;
  bool recompress = false;
  std::size_t samples = TrainOptions().samples;
  SyncArguments sync;
  DeleteArguments removal;
  std::string config_command;
  ClusterArguments cluster;
  std::vector<std::string> words;  // of this program's command line
};

int health(const RelayConfig& config) {
  const auto problem = health_problem(config);
  if (problem) fmt::print(stderr, "{}\n", *problem);
  return problem ? 1 : 0;
}

int dictionaries(const CLI::App& command, const RelayConfig& config, const Arguments& arguments) {
  if (command.got_subcommand("train")) return train_dictionary_of(config, arguments.samples);
  if (command.got_subcommand("list")) return list_dictionaries(config);
  return show_dictionary_stats(config);
}

int ask_cluster(const CLI::App& command, const RelayConfig& config,
                const ClusterArguments& arguments) {
  if (command.got_subcommand("drain")) return drain_relay(config, arguments);
  if (command.got_subcommand("resnapshot")) return resnapshot_relay(config, arguments);
  return show_cluster(config, arguments);
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

// What only a look at the values shows is wrong has its place in the file, too.
void check(const Config& config, const RelayConfig& values) {
  try {
    values.check();
  } catch (const ConfigError& error) {
    throw ConfigError(config.placed(error.what()));
  }
}

RelayConfig read_checked_config(const Arguments& arguments) {
  Config config;
  RelayConfig fields;
  RelayConfig values = read_config(arguments, config, fields);
  check(config, values);
  return values;
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
  options.read_config = [&] { return read_checked_config(arguments); };
  options.config_path = arguments.config_path;
  options.arguments = arguments.words;
  options.check_arguments = check_words(arguments);
  return serve(options);
}

// Whether `run` would start with it, as far as can be said beside a relay that runs.
int check_config(const RelayConfig& config) {
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
  if (app.got_subcommand("export")) return export_events(values, arguments.export_filter);
  if (app.got_subcommand("stats")) return show_stats(values);
  if (app.got_subcommand("check")) return check_store(values, arguments.check_signatures);
  if (app.got_subcommand("compact"))
    return compact_store(values, arguments.compact_to, arguments.recompress);
  if (app.got_subcommand("sync")) return sync_with(values, arguments.sync);
  if (app.got_subcommand("delete")) return delete_events(values, arguments.removal);
  if (app.got_subcommand("dict")) {
    return dictionaries(*app.get_subcommand("dict"), values, arguments);
  }
  if (app.got_subcommand("cluster")) {
    return ask_cluster(*app.get_subcommand("cluster"), values, arguments.cluster);
  }
  if (app.got_subcommand("health")) return health(values);
  if (arguments.config_command == "check" || app.got_subcommand("run")) check(config, values);
  if (arguments.config_command == "check") return check_config(values);
  return run(values, arguments);
}

void declare_sync(CLI::App& command, SyncArguments& sync) {
  command.add_option("URL", sync.url, "the other relay: ws:// or wss://")->required();
  command.add_option("--filter", sync.filter, "which events: a filter of NIP-01; all if not said");
  command.add_option("--dir", sync.direction, "down: from there, up: from here, or both")
      ->check(CLI::IsMember({"down", "up", "both"}));
  command
      .add_option("--timeout", sync.answer_s_max, "seconds to wait for a word of the other side")
      ->check(CLI::Range(1, 86'400));
  command
      .add_option("--frame-bytes", sync.frame_bytes_max,
                  "of a message, for relays that take small ones")
      ->check(CLI::Range(SyncArguments::kFrameBytesMin, std::size_t{16} << 20));
  command.add_option(
      "--key", sync.key_path,
      "file of a secret key (64 hex characters, 0600) to show where it asks (NIP-42)");
  command.add_option("--ca", sync.ca_path,
                     "PEM file of roots for wss://; the system's if not said");
  command.footer(
      "Exit status: 0 in sync, 1 an error, 2 the command line is wrong, 3 the other relay fell "
      "silent, 4 some events were refused or not given, 5 it lacks NIP-77.");
}

void declare_cluster(CLI::App& command, ClusterArguments& cluster) {
  command.require_subcommand(1);
  CLI::App* status = command.add_subcommand("status", "each relay's state, position and lag");
  status->add_flag("--json", cluster.json, "one JSON object");
  status->add_option("--answer-ms", cluster.answer_ms, "milliseconds to wait for answers")
      ->check(CLI::Range(100, 60'000));
  status->footer(
      "Exit status: 0 all that answered serve by the same rules, 1 an error, 2 the command line is "
      "wrong, 3 a relay does not serve, or rules differ, 4 no relay answered.");
  for (CLI::App* one :
       {command.add_subcommand("drain",
                               "a relay finishes what is under way, sends its clients away and "
                               "stops; loses nothing"),
        command.add_subcommand("resnapshot",
                               "a relay's data are replaced by another relay's, while it serves; "
                               "then it starts anew")}) {
    one->add_option("NAME", cluster.relay, "of the relay, as `cluster status` shows it")
        ->required();
    one->add_flag("--no-wait", cluster.no_wait, "until it has begun only");
    one->add_option("--wait", cluster.wait_s, "seconds to wait for its end")
        ->check(CLI::Range(1, 86'400));
    one->footer(
        "Exit status: 0 done, 1 an error, 2 the command line is wrong, 3 refused, or not done in "
        "time, 4 no such relay answered.");
  }
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

// A page of a store's file is not there: the file is cut off, or the disk fails. Nothing can go on,
// but it can be said.
void end_for_missing_page(int /*signal*/) {
  constexpr std::string_view kText =
      "error: a page of the store's file can't be read: the file is cut off (the copy of one, not "
      "finished?), or the disk fails\n";
  (void)!::write(STDERR_FILENO, kText.data(), kText.size());
  ::_exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  // A file at its limit (RLIMIT_FSIZE) is a full disk, not the end.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGBUS, end_for_missing_page);
  keep_freed_memory();
  try {
    CLI::App app("A Nostr relay. Events are kept in one directory; nothing else to install.",
                 "nostril-relay");
    Arguments arguments;
    arguments.words.assign(argv, argv + argc);
    app.set_version_flag("--version", "nostril-relay " NOSTRIL_VERSION);
    require_command(app, *app.add_flag("--print-config", arguments.print_config,
                                       "print the configuration file with its comments and "
                                       "present values"));
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
    app.add_subcommand("health",
                       "ask the relay of this configuration whether it answers: status 0, or 1");
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
    app.add_subcommand("export", "write all events to standard output, oldest first")
        ->add_option("--filter", arguments.export_filter, "those that match a filter of NIP-01");
    app.add_subcommand("stats", "sizes of the store");
    app.add_subcommand("check", "compare every record with every index, and its id")
        ->add_flag("--signatures", arguments.check_signatures,
                   "and every signature: some 50 us an event");
    CLI::App* compact_command =
        app.add_subcommand("compact", "write a copy with full pages; a relay may go on meanwhile");
    compact_command->add_option("--to", arguments.compact_to, "new or empty directory")->required();
    compact_command->add_flag("--recompress", arguments.recompress,
                              "pack all contents with the newest dictionary, and keep that only");
    declare_sync(
        *app.add_subcommand("sync", "exchange what is missing with another relay (NIP-77)"),
        arguments.sync);
    declare_cluster(*app.add_subcommand("cluster", "ask the relays of this relay's cluster"),
                    arguments.cluster);
    CLI::App* delete_command =
        app.add_subcommand("delete", "remove events without a trace; a relay may go on meanwhile");
    delete_command->add_option("--filter", arguments.removal.filter, "which: a filter of NIP-01")
        ->required();
    delete_command->add_flag("--dry-run", arguments.removal.is_dry_run, "count them only");
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
    if (const auto ended = parse_command_line(app, argc, argv)) return *ended;
    return dispatch(app, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
