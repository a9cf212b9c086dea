#pragma once

#include "client/cli/commands.h"

#include <functional>
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's
class App;
}

/// How the sub-commands of `nostril` are written on a line: each is declared beside what it does.
namespace nostril::client::cli {

/// What a line says, of all commands: parsing fills what its command declared.
struct Options {
  std::string home = default_home().string();
  std::string log_level = "warning";
  SettingsOptions client;
  InitOptions init;
  KeyOptions key;
  std::string code;
  OffersOptions offers;
  bool json = false;
  GatewayOptions gateway;
  KeysOptions keys;
  AppsOptions apps;
  EventOptions event;
  RequestOptions request;
  MessageOptions message;
  ChatOptions chat;
  PickupOptions pickup;
  VerifyOptions verify;
  EvidenceOptions evidence;
  KnownGoodOptions known_good;
  BeaconOptions beacon;
  std::string file;
  ManifestOptions manifest;
  WalletOptions wallet;
  ReputationOptions reputation;
  ProbeOptions probe;
};

/// What the line asks for; set by the command that was named.
using Command = std::function<int(Process&)>;

// ---- What several commands share ----------------------------------------------------------------

void add_relays(CLI::App& app, std::vector<std::string>& relays, std::string& ca_file,
                bool required);
void add_test_roots(CLI::App& app, SettingsOptions& settings);
void add_home(CLI::App& app, std::string& home);
/// Of a command that talks to nodes.
void add_client(CLI::App& app, SettingsOptions& settings, std::string& home);

/// The line and the home's config.toml. Throws ConfigError.
[[nodiscard]] ClientSettings settings_of(const Options& o);

/// Where a line names no key, the home's identity signs.
void use_identity(const Options& o, std::string& key, std::string& ca_file);

// ---- Commands -----------------------------------------------------------------------------------

void add_init(CLI::App& app, Options& o, Command& run);
void add_doctor(CLI::App& app, Options& o, Command& run);
void add_key(CLI::App& app, Options& o, Command& run);
void add_event(CLI::App& app, Options& o, Command& run);
void add_request(CLI::App& app, Options& o, Command& run);
void add_message(CLI::App& app, Options& o, Command& run);
void add_offers(CLI::App& app, Options& o, Command& run);
void add_chat(CLI::App& app, Options& o, Command& run);
void add_pickup(CLI::App& app, Options& o, Command& run);
void add_gateway(CLI::App& app, Options& o, Command& run);
void add_keys(CLI::App& app, Options& o, Command& run);
void add_apps(CLI::App& app, Options& o, Command& run);
void add_verify(CLI::App& app, Options& o, Command& run);
void add_receipts(CLI::App& app, Options& o, Command& run);
void add_known_good(CLI::App& app, Options& o, Command& run);
void add_beacon(CLI::App& app, Options& o, Command& run);
void add_reputation(CLI::App& app, Options& o, Command& run);
void add_probe(CLI::App& app, Options& o, Command& run);
void add_wallet(CLI::App& app, Options& o, Command& run);
/// Below `wallet`.
void add_lightning(CLI::App& app, Options& o, Command& run);

// ---- Below `verify` -----------------------------------------------------------------------------

/// All kinds of evidence.
void add_evidence(CLI::App& verify_app, Options& o, Command& run);
void add_verify_gpu(CLI::App& verify_app, Options& o, Command& run);
void add_verify_nras(CLI::App& verify_app, Options& o, Command& run);
void add_verify_report(CLI::App& verify_app, Options& o, Command& run);
void add_verify_manifest(CLI::App& verify_app, Options& o, Command& run);

using EvidenceCommand = int (*)(Process&, const EvidenceOptions&);
/// A sub-command that judges evidence of one kind: what all of them share.
CLI::App* add_evidence_command(CLI::App& verify_app, const char* name, const std::string& what,
                               EvidenceCommand command, Options& o, Command& run);
void add_vek_options(CLI::App& app, EvidenceOptions& options, bool required);
void add_rim_option(CLI::App& app, EvidenceOptions& options);

}  // namespace nostril::client::cli
