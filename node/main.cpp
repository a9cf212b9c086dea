// nostril-node: the agent beside an inference engine inside a confidential VM.
#include "base/clock.h"
#include "base/command_tree.h"
#include "base/config.h"
#include "base/file.h"
#include "base/log.h"
#include "base/log_format.h"
#include "base/rng.h"
#include "net/service_notify.h"
#include "node/agent.h"
#include "node/collateral.h"
#include "node/config.h"
#include "node/doctor.h"
#include "node/evidence_source.h"
#include "node/https_face.h"
#include "node/key_commands.h"
#include "node/lightning_desk.h"
#include "node/manifest_commands.h"
#include "node/metrics_server.h"
#include "node/node_keys.h"
#include "node/reload.h"
#include "node/settle_commands.h"
#include "node/settling.h"
#include "schnorr/secret.h"

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr const char* kVersion = "0.1.0";

int print_config() {
  NodeConfig values;
  Config config;
  values.declare(config);
  fmt::print("{}", config.print());
  return 0;
}

void set_up_log(const NodeConfig& config) {
  set_log_level(log_level_from(config.log_level));
  set_log_format(config.log_format == "json" ? LogFormat::Json : LogFormat::Text);
}

/// For systemd: alive as long as the loop turns.
void feed_watchdog(net::Loop& loop) {
  if (const auto limit_ms = net::watchdog_ms()) {
    loop.every(std::max<std::uint64_t>(1, *limit_ms / 3),
               [] { net::notify_service("WATCHDOG=1"); });
  }
}

/// SIGHUP. `config` is what the agent has been lent.
void reload(const std::string& path, NodeConfig& config, Agent& agent, HttpsFace* https) {
  try {
    auto plan = plan_reload(config, NodeConfig::read(path));
    if (!plan) throw ConfigError(plan.error());
    plan->next.settlement.account = config.settlement.account;
    const NodeConfig before = std::exchange(config, std::move(plan->next));
    set_up_log(config);
    agent.reconfigured(before);
    if (https != nullptr) https->reconfigured();
    log(LogLevel::Warning, "configuration read again: {}",
        public_text(plan->changed.empty() ? "nothing to take over"
                                          : fmt::format("{}", fmt::join(plan->changed, ", "))));
    if (plan->needs_restart.empty()) return;
    log(LogLevel::Error, "these keys keep their old values until a restart: {}",
        public_text(fmt::format("{}", fmt::join(plan->needs_restart, ", "))));
  } catch (const ConfigError& error) {
    log(LogLevel::Error, "the configuration stays as it is: {}", public_text(error.what()));
  }
}

/// What a channel came to is in memory while a node runs: two on one journal would state, and
/// charge, each without the other.
FileLock lock_data(const std::filesystem::path& data) {
  auto lock = FileLock::take(data / "node.lock");
  if (lock) return std::move(*lock);
  throw ConfigError(lock.error() == EWOULDBLOCK
                        ? fmt::format("{}: another nostril-node runs on this folder; end it, or "
                                      "set another `data`",
                                      data.string())
                        : fmt::format("{}: {}", (data / "node.lock").string(),
                                      std::generic_category().message(lock.error())));
}

int run(const std::string& path) {
  NodeConfig config = NodeConfig::read(path);
  set_up_log(config);
  const std::filesystem::path data = config.data;
  std::filesystem::create_directories(data);
  std::filesystem::permissions(data, std::filesystem::perms::owner_all);
  const FileLock lock = lock_data(data);

  SystemClock clock;
  SystemRng rng;
  auto identity = load_or_make_identity(data / "identity.nsec", rng);
  if (!identity) throw ConfigError(identity.error());
  auto source = make_evidence_source(config.evidence_settings(), data, rng);
  if (!source) throw ConfigError(source.error());
  if ((*source)->simulated()) {
    log(LogLevel::Warning, "evidence is SIMULATED: no TEE protects what clients send here");
  } else {
    *source = with_collateral(std::move(*source), config.collateral_settings());
  }

  net::Loop loop;
  auto journal = client::Journal::open(data / "journal", loop);
  if (!journal) throw ConfigError(journal.error());
  std::shared_ptr<ContractRail> rail;
  std::shared_ptr<DepositRail> lightning_rail;
  if (config.lightning.enabled() && !config.problem()) {
    lightning_rail =
        std::make_shared<DepositRail>(static_cast<std::uint64_t>(config.lightning.step));
  }
  std::optional<EcdsaKey> account;
  if (config.settlement.enabled() && !config.problem()) {
    account = settlement_key(config, rng);
    config.settlement.account = account->address();
    rail = std::make_shared<ContractRail>(clock);
  }
  const PublicKey node = identity->public_key();
  std::shared_ptr<const Rail> backing = rail;
  if (lightning_rail) backing = lightning_rail;
  Agent agent(config, std::move(*identity), std::move(*source), std::move(*journal), loop, clock,
              rng, backing);
  std::optional<LightningDesk> desk;
  if (lightning_rail) {
    desk.emplace(config, agent.journal(), node, loop, clock, rng,
                 LightningDesk::Callbacks{
                     [&agent](const settlement::ChannelTerms& terms) { return agent.spent(terms); },
                     [&agent] { agent.backing_changed(); }});
    lightning_rail->follow(desk->book());
    agent.set_lightning(*desk);
  }
  std::optional<Settling> settling;
  if (account) {
    settling.emplace(config, agent.journal(), std::move(*account), loop, clock,
                     [&agent, rail](std::shared_ptr<const ChainView> view) {
                       rail->update(std::move(view));
                       agent.backing_changed();
                     });
  }
  std::unique_ptr<HttpsFace> https;
  if (!config.https.listen.empty() && !config.problem()) {
    https = std::make_unique<HttpsFace>(agent.https_parts());
    agent.set_direct_path(https->direct_path());
    fmt::print("serving {}\n", https->address());
    std::fflush(stdout);
  }
  std::optional<MetricsServer> metrics;
  if (!config.metrics.listen.empty()) {
    metrics.emplace(loop, config.metrics.listen, [&] {
      std::string text = agent.metrics_text();
      if (desk) text += desk->metrics_text();
      if (settling) text += settling->metrics_text();
      return text;
    });
    log(LogLevel::Info, "metrics at http://127.0.0.1:{}/metrics", metrics->port());
  }
  int status = 0;
  const auto stop = [&] {
    net::notify_service("STOPPING=1");
    if (https) https->server().stop();
    agent.stop([&loop] { loop.stop(); });
  };
  loop.on_signal(SIGTERM, stop);
  loop.on_signal(SIGINT, stop);
  loop.on_signal(SIGHUP, [&] {
    reload(path, config, agent, https.get());
    const auto renewed = https ? https->renew_certificate() : Result<void, std::string>();
    if (!renewed) log(LogLevel::Error, "{}", public_text(renewed.error()));
  });
  loop.on_signal(SIGUSR1, [&] {
    if (https) https->server().stop_listening();
    agent.drain(stop);
  });
  agent.start(
      [](const std::string& line) {
        fmt::print("{}\n", line);
        std::fflush(stdout);
        net::notify_service("STATUS=" + line);
      },
      [&](const std::string& problem) {
        fmt::print(stderr, "nostril-node: {}\n", problem);
        status = 1;
        stop();
      });
  // The node runs; whether it has an offer out is its status.
  net::notify_service("READY=1\nSTATUS=looking for engines, evidence and relays");
  feed_watchdog(loop);
  loop.run();
  return status;
}

/// Sub-commands of `manifest`; `run` gets the one that was chosen.
void add_manifest(CLI::App& app, ManifestOptions& options, std::function<int()>& run) {
  auto* manifest = app.add_subcommand("manifest", "what a model's files are, as one digest");
  manifest->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, int (*command)(const ManifestOptions&)) {
    auto* sub = manifest->add_subcommand(name, what);
    sub->add_option("folder", options.folder, "the model's folder");
    sub->add_option("--cache", options.cache,
                    "folder that keeps what was hashed, to go on after a stop (the node's own: "
                    "DATA/manifest)");
    sub->add_option("--threads", options.threads, "0: one a core")->check(CLI::Range(0, 256));
    sub->callback(
        [&options, &run, command] { run = [&options, command] { return command(options); }; });
    return sub;
  };
  auto* make = add("make", "hash the files and print the manifest", manifest_make);
  make->get_option("folder")->required();
  make->add_option("-o,--output", options.output, "write it there instead");
  auto* check = add("check", "compare the files with a manifest", manifest_check);
  check->get_option("folder")->required();
  check->add_option("--manifest", options.manifest)->required();
  auto* prove = add("prove", "show that one leaf (1 MiB) is of a file", manifest_prove);
  prove->get_option("folder")->required();
  prove->add_option("--name", options.name, "the file, as the manifest has it")->required();
  prove->add_option("--leaf", options.leaf, "which, from 0")->required();
  prove->add_option("-o,--output", options.output, "write the proof there instead");
  prove->add_option("--page", options.page, "write the leaf's bytes there");
  auto* verity = add("verity", "the text that stands in a manifest's place for a dm-verity device",
                     manifest_verity);
  verity->add_option("--root", options.root,
                     "in place of the folder, its mount: root hash, salt and data blocks as "
                     "`veritysetup format` says them (hash type 1, sha256)");
  verity->add_option("--salt", options.salt, "hex; none when not given");
  verity->add_option("--data-blocks", options.data_blocks);
  verity->add_option("--data-block", options.data_block_bytes, "bytes")->capture_default_str();
  verity->add_option("--hash-block", options.hash_block_bytes, "bytes")->capture_default_str();
  verity->add_option("-o,--output", options.output, "write it there instead");
  auto* show = add("show", "digest, roots and sizes of a folder or a manifest", manifest_show);
  auto* file = show->add_option("--manifest", options.manifest, "a manifest's file");
  show->get_option("folder")->excludes(file);
}

/// Sub-commands of `settle`.
void add_settle(CLI::App& app, SettleOptions& options, std::function<int()>& run) {
  auto* settle = app.add_subcommand("settle", "what a contract on a chain owes this node");
  settle->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, int (*command)(const SettleOptions&)) {
    auto* sub = settle->add_subcommand(name, what);
    sub->add_option("--config", options.config, "the node's configuration file (TOML)")->required();
    sub->callback(
        [&options, &run, command] { run = [&options, command] { return command(options); }; });
    return sub;
  };
  auto* status =
      add("status", "account, channels, what can be claimed, transactions", settle_status);
  status->add_flag("--json", options.json, "one JSON object");
  status->add_flag("--csv", options.csv, "the channels, one a line");
  add("claim", "claim now all that is worth something; a running node does it when told so here",
      settle_claim);
  add("bring",
      "bring a user's signed order (nostril wallet order) for a channel with this node to the "
      "contract; the node's account pays the gas",
      settle_bring)
      ->add_option("file", options.file, "what `nostril wallet order` printed")
      ->required();
  add("watch",
      "a watchtower: claims by policy, and at once where a close was asked for, until SIGTERM; "
      "with the node's journal, while the node itself is away",
      settle_watch);
}

/// Sub-commands of `keys`.
void add_keys(CLI::App& app, KeyOptions& options, std::function<int()>& run) {
  auto* keys = app.add_subcommand("keys", "who may use the HTTPS face");
  keys->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, int (*command)(const KeyOptions&)) {
    auto* sub = keys->add_subcommand(name, what);
    sub->add_option("--config", options.config, "the node's configuration file (TOML)");
    sub->callback(
        [&options, &run, command] { run = [&options, command] { return command(options); }; });
    return sub;
  };
  auto* made = add("add", "make an API key and print it, once", keys_add);
  made->add_option("name", options.name, "1 to 64 of [A-Za-z0-9._-]")->required();
  made->add_option("--npub", options.npub, "list a Nostr key instead, which signs its requests");
  const auto limit = [made](const char* name, std::int64_t& field, const char* what) {
    made->add_option(name, field, what)->check(CLI::Range(std::int64_t{0}, INT64_MAX));
  };
  limit("--tokens-per-day", options.tokens_per_day, "of prompts and answers; 0: no limit");
  limit("--tokens", options.tokens, "the same in all");
  limit("--amount-per-day", options.amount_per_day, "base units of offer.asset; 0: no limit");
  limit("--amount", options.amount, "the same in all");
  add("list", "names, budgets and what is used of them", keys_list);
  add("revoke", "a running node refuses it within a second", keys_revoke)
      ->add_option("name", options.name)
      ->required();
}

}  // namespace

}  // namespace nostril::node

int main(int argc, char** argv) {
  try {
    nostril::protect_process_memory();
    CLI::App app(
        "serves an OpenAI-compatible engine, attested and sealed, to clients "
        "that come through Nostr relays");
    app.set_version_flag("--version", nostril::node::kVersion);
    bool print = false;
    nostril::require_command(
        app, *app.add_flag("--print-config", print, "print the commented default configuration"));
    std::string config;
    auto* run = app.add_subcommand(
        "run",
        "serve until SIGTERM; after SIGUSR1 until running answers have ended. SIGHUP: read the "
        "configuration again; the log says what is taken over and what needs a restart");
    run->add_option("--config", config, "configuration file (TOML)")->required();
    auto* doctor =
        app.add_subcommand("doctor",
                           "look at TEE, evidence, GPUs, engines, relays, clock, HTTPS, disk and "
                           "journal, and say what to "
                           "do; exit status 0: all is well, 1: warnings, 2: something is wrong");
    doctor->add_option("--config", config, "configuration file (TOML)");
    bool json = false;
    doctor->add_flag("--json", json, "one JSON object");
    nostril::node::ManifestOptions manifest;
    nostril::node::KeyOptions keys;
    std::function<int()> command;
    nostril::node::add_manifest(app, manifest, command);
    nostril::node::add_keys(app, keys, command);
    nostril::node::SettleOptions settle;
    nostril::node::add_settle(app, settle, command);
    nostril::add_program_pages(app, "nostril-node");
    if (const auto ended = nostril::parse_command_line(app, argc, argv)) return *ended;
    if (print) return nostril::node::print_config();
    if (*run) return nostril::node::run(config);
    if (*doctor) return nostril::node::doctor(config, json);
    return command();
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril-node: {}\n", error.what());
    return 1;
  }
}
