// nostril-node: the agent beside an inference engine inside a confidential VM.
#include "attestation/tee_tag.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/rng.h"
#include "node/agent.h"
#include "node/collateral.h"
#include "node/config.h"
#include "node/evidence_source.h"
#include "node/manifest_commands.h"
#include "node/node_keys.h"
#include "schnorr/secret.h"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace nostril::node {

namespace {

constexpr const char* kVersion = "0.1.0";

NodeConfig read_config(const std::string& path) {
  NodeConfig values;
  Config config;
  values.declare(config);
  if (!path.empty()) config.load(path);
  return values;
}

int print_config() {
  NodeConfig values;
  Config config;
  values.declare(config);
  fmt::print("{}", config.print());
  return 0;
}

int run(const std::string& path) {
  const NodeConfig config = read_config(path);
  set_log_level(log_level_from(config.log_level));
  const std::filesystem::path data = config.data;
  std::filesystem::create_directories(data);
  std::filesystem::permissions(data, std::filesystem::perms::owner_all);

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
  Agent agent(config, std::move(*identity), std::move(*source), std::move(*journal), loop, clock,
              rng);
  int status = 0;
  const auto stop = [&] { agent.stop([&loop] { loop.stop(); }); };
  loop.on_signal(SIGTERM, stop);
  loop.on_signal(SIGINT, stop);
  loop.on_signal(SIGUSR1, [&] { agent.drain(stop); });
  agent.start(
      [](const std::string& line) {
        fmt::print("{}\n", line);
        std::fflush(stdout);
      },
      [&](const std::string& problem) {
        fmt::print(stderr, "nostril-node: {}\n", problem);
        status = 1;
        stop();
      });
  loop.run();
  return status;
}

/// Which source of evidence would be taken, what is missing for the others, and a trial of it.
bool doctor_evidence(const NodeConfig& config) {
  const EvidenceSettings settings = config.evidence_settings();
  const auto interfaces = tee_interfaces(settings.paths);
  fmt::print("TEE interfaces: {}\n", interfaces.empty() ? "none on this machine" : "");
  for (const std::string& interface : interfaces) fmt::print("  {}\n", interface);
  const EvidenceChoice choice = choose_evidence(settings);
  fmt::print("evidence = \"{}\": {}\n", settings.source,
             choice.source.empty() ? "nothing can be taken" : "takes " + choice.source);
  for (const std::string& note : choice.notes) fmt::print("  {}\n", note);
  if (choice.source.empty()) return false;
  if (choice.source == "simulated") return true;  // trying it would write its root
  SystemRng rng;
  auto source = make_evidence_source(settings, config.data, rng);
  if (!source) {
    fmt::print("  {}\n", source.error());
    return false;
  }
  *source = with_collateral(std::move(*source), config.collateral_settings());
  fmt::print("  {}\n", settings.nvml_library.empty() ? "GPUs: not asked"
                                                     : describe_gpus(settings.nvml_library));
  const auto evidence = whole_evidence(**source, {}, SystemClock().unix_s());
  if (!evidence) {
    fmt::print("  {}\n", evidence.error());
    return false;
  }
  if (const auto& app = evidence->app) {
    fmt::print("  event log of {} bytes, compose text of {}\n", app->event_log.size(),
               app->compose.size());
  }
  const bool complete = !lacks_collateral(*evidence);
  fmt::print("  a trial gave evidence of {} bytes, offered as {}, {} the vendors' collateral\n",
             evidence->cpu_quote.size(), attestation::tee_tag(*evidence),
             complete ? "with" : "WITHOUT");
  return complete;
}

/// What an operator asks first: is there a TEE, an engine, a relay?
int doctor(const std::string& path) {
  const NodeConfig config = read_config(path);
  int missing = doctor_evidence(config) ? 0 : 1;
  SystemClock clock;
  net::Loop loop;
  const auto report = [&](const std::vector<FoundEngine>& engines) {
    if (engines.empty()) {
      ++missing;
      fmt::print("engine: none answers /v1/models; start one, or set engine.url\n");
    }
    for (const FoundEngine& engine : engines) {
      fmt::print("engine: {} at {}\n", engine.name, engine.address.base_url);
      for (const EngineModel& model : engine.models) fmt::print("  {}\n", model.id);
    }
  };
  std::vector<NodeConfig::EngineSettings> configured = config.engines;
  if (!config.engine.url.empty()) configured.push_back(config.single_engine());
  std::vector<std::unique_ptr<Engine>> engines;
  for (const NodeConfig::EngineSettings& one : configured) {
    engines.push_back(std::make_unique<Engine>(loop, EngineAddress{one.url, one.api_key}));
    engines.back()->list_models([&report](std::optional<FoundEngine> found) {
      report(found ? std::vector<FoundEngine>{*found} : std::vector<FoundEngine>{});
    });
  }
  if (engines.empty()) detect_engines(loop, report);
  client::RelayPool pool(loop, clock, {}, config.ca_file);
  for (const std::string& relay : config.relays) {
    if (!pool.add_relay(relay)) fmt::print("relay: {} is no ws:// or wss:// URL\n", relay);
  }
  loop.after(3'000, [&] {
    fmt::print("relays: {} of {} connected\n", pool.connected_count(), config.relays.size());
    for (const std::string& problem : pool.problems()) fmt::print("  {}\n", problem);
    if (pool.connected_count() == 0) ++missing;
    loop.stop();
  });
  loop.run();
  return missing == 0 ? 0 : 1;
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

}  // namespace

}  // namespace nostril::node

int main(int argc, char** argv) {
  try {
    nostril::protect_process_memory();
    CLI::App app(
        "nostril-node: serves an OpenAI-compatible engine, attested and sealed, to clients "
        "that come through Nostr relays");
    app.set_version_flag("--version", nostril::node::kVersion);
    bool print = false;
    app.add_flag("--print-config", print, "print the commented default configuration");
    std::string config;
    auto* run = app.add_subcommand(
        "run", "serve until SIGTERM; after SIGUSR1 until running answers have ended");
    run->add_option("--config", config, "configuration file (TOML)")->required();
    auto* doctor = app.add_subcommand("doctor", "look for a TEE, an engine and the relays");
    doctor->add_option("--config", config, "configuration file (TOML)");
    nostril::node::ManifestOptions manifest;
    std::function<int()> manifest_command;
    nostril::node::add_manifest(app, manifest, manifest_command);
    app.require_subcommand(0, 1);
    CLI11_PARSE(app, argc, argv);
    if (print) return nostril::node::print_config();
    if (*run) return nostril::node::run(config);
    if (*doctor) return nostril::node::doctor(config);
    if (manifest_command) return manifest_command();
    fmt::print(stderr, "{}", app.help());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril-node: {}\n", error.what());
    return 1;
  }
}
