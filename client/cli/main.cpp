// nostril: the client. Its own words for every command: --help.
#include "base/command_tree.h"
#include "base/log.h"
#include "client/cli/command_line.h"
#include "schnorr/secret.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace {

constexpr const char* kVersion = "0.1.0";

}  // namespace

int main(int argc, char** argv) {
  namespace cli = nostril::client::cli;
  try {
    nostril::protect_process_memory();
    CLI::App app("private, verified inference over Nostr relays");
    app.set_version_flag("--version", kVersion);
    cli::Options options;
    cli::Command run;
    app.add_option("--log", options.log_level, "debug, info, warning, error or off")
        ->capture_default_str();
    app.require_subcommand(1);
    cli::add_init(app, options, run);
    cli::add_doctor(app, options, run);
    cli::add_key(app, options, run);
    cli::add_event(app, options, run);
    cli::add_request(app, options, run);
    cli::add_message(app, options, run);
    cli::add_offers(app, options, run);
    cli::add_chat(app, options, run);
    cli::add_pickup(app, options, run);
    cli::add_gateway(app, options, run);
    cli::add_keys(app, options, run);
    cli::add_apps(app, options, run);
    cli::add_verify(app, options, run);
    cli::add_receipts(app, options, run);
    cli::add_known_good(app, options, run);
    cli::add_beacon(app, options, run);
    cli::add_reputation(app, options, run);
    cli::add_probe(app, options, run);
    cli::add_wallet(app, options, run);
    cli::add_lightning(app, options, run);
    nostril::add_program_pages(app, "nostril");
    if (const auto ended = nostril::parse_command_line(app, argc, argv)) return *ended;
    nostril::set_log_level(nostril::log_level_from(options.log_level));
    cli::Process process;
    return run(process);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril: {}\n", error.what());
    return 1;
  }
}
