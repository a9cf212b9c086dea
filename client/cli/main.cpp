// nostril: the client. Its own words for every command: --help.
#include "base/command_tree.h"
#include "base/log.h"
#include "client/apps/app_list.h"
#include "client/cli/commands.h"
#include "schnorr/secret.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <functional>

namespace nostril::client::cli {

namespace {

constexpr const char* kVersion = "0.1.0";
constexpr int kWrongUsage = 2;

void add_relays(CLI::App& app, std::vector<std::string>& relays, std::string& ca_file,
                bool required) {
  app.add_option("-r,--relay", relays, "relay, ws://… or wss://…; again for more")
      ->required(required)
      ->envname("NOSTRIL_RELAY");
  app.add_option("--ca-file", ca_file,
                 "PEM file of the roots that wss:// relays are checked against; else the system's");
}

void add_test_roots(CLI::App& app, SettingsOptions& settings) {
  app.add_option("--trust-test-root", settings.test_roots,
                 "DER file: also take SIMULATED evidence under this test root (development); again "
                 "for more")
      ->allow_extra_args(false);
}

void add_home(CLI::App& app, std::string& home) {
  app.add_option("--home", home, "folder of keys, receipts and config.toml")->capture_default_str();
}

void add_client(CLI::App& app, SettingsOptions& settings, std::string& home) {
  add_relays(app, settings.relays, settings.ca_file, false);
  add_home(app, home);
  add_test_roots(app, settings);
  app.add_option("--policy", settings.policy,
                 "TOML file: what evidence is taken; `nostril verify policy` prints all keys");
  app.add_flag("--allow-unchecked-tcb", settings.allow_unchecked_tcb,
               "take genuine evidence that comes without Intel's collateral");
  app.add_option("--budget", settings.budget, "most that one node may be owed, base units; 1000000")
      ->check(CLI::NonNegativeNumber);
}

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

/// The line and the home's config.toml. Throws ConfigError.
ClientSettings settings_of(const Options& o) {
  return with_config(o.client, HomeConfig::read(o.home), o.home);
}

/// Where a line names no key, the home's identity signs.
void use_identity(const Options& o, std::string& key, std::string& ca_file) {
  const HomeConfig config = HomeConfig::read(o.home);
  if (key.empty()) key = config.identity;
  if (ca_file.empty()) ca_file = config.ca_file;
}

using Command = std::function<int(Process&)>;

void add_init(CLI::App& app, Options& o, Command& run) {
  auto* init_app =
      app.add_subcommand("init", "begin here: asks what it must know, writes a new home");
  InitOptions& options = o.init;
  add_home(*init_app, o.home);
  add_relays(*init_app, options.relays, options.ca_file, false);
  init_app->add_flag("-y,--yes", options.yes, "ask nothing: what is not named keeps its default");
  init_app->add_option("--budget", options.budget, "most that one node may be owed, base units")
      ->check(CLI::NonNegativeNumber);
  init_app->add_option("--level", options.level, "least that a node must prove")
      ->check(CLI::IsMember({"declared", "image", "weights", "auditable"}));
  init_app->add_option("--identity", options.identity,
                       "who signs what you publish: a key file or bunker://…");
  init_app->add_flag("--encrypt", options.encrypt, "put the payment key under a passphrase");
  init_app
      ->add_option("--trust-test-root", options.test_roots,
                   "DER file: also take SIMULATED evidence under it (development); again for more")
      ->allow_extra_args(false);
  init_app->add_flag("!--no-check", options.check, "don't look at relays and offers afterwards");
  init_app->callback(
      [&] { run = [&o](Process& process) { return init(process, o.home, o.init); }; });

  auto* doctor_app = app.add_subcommand(
      "doctor",
      "what is well, what is not, and what to do: settings, keys, relays, clock, offers, gateway, "
      "wallet; 0 ok, 1 warnings, 2 something is wrong");
  add_client(*doctor_app, o.client, o.home);
  doctor_app->add_flag("--json", o.json, "for programs");
  doctor_app->callback([&] {
    run = [&o](Process& process) { return doctor(process, o.home, {o.client, o.json}); };
  });
}

void add_key(CLI::App& app, Options& o, Command& run) {
  auto* key = app.add_subcommand(
      "key",
      "make and keep keys; a passphrase comes from $NOSTRIL_PASSPHRASE_FILE, $NOSTRIL_PASSPHRASE "
      "or the terminal");
  key->require_subcommand(1);
  using Function = int (*)(const KeyOptions&);
  const auto add = [&, key](const char* name, const char* what, Function command) {
    auto* sub = key->add_subcommand(name, what);
    sub->add_option("file", o.key.file)->required();
    sub->callback(
        [&o, &run, command] { run = [&o, command](Process&) { return command(o.key); }; });
    return sub;
  };
  const auto add_cost = [&o](CLI::App* sub) {
    sub->add_option("--scrypt-log-n", o.key.scrypt_log_n,
                    "what each guess of the passphrase costs: 2^N KiB of memory")
        ->check(CLI::Range(1U, kScryptLogNMax))
        ->capture_default_str();
  };
  const auto add_encrypt = [&](CLI::App* sub) {
    sub->add_flag("--encrypt", o.key.encrypt, "under a passphrase, as ncryptsec (NIP-49)");
    add_cost(sub);
  };
  add_encrypt(add("new", "make a key in a new file (mode 0600)", key_new));
  add("show", "the public key of a file", key_show)
      ->add_flag("--secret", o.key.secret, "the secret key, too, as nsec");
  auto* exported = add("export", "print a key as ncryptsec, under a passphrase", key_export);
  exported->add_flag("--nsec", o.key.secret, "as nsec: whoever reads it has the key");
  add_cost(exported);
  add_encrypt(add("import", "a key from standard input (nsec, ncryptsec, hex) into a new file",
                  key_import));
  add_cost(add("encrypt",
               "put a file's key under a passphrase, or a new one ($NOSTRIL_NEW_PASSPHRASE_FILE)",
               key_encrypt));
  add("decrypt", "take a file's key out of its passphrase", key_decrypt);
  auto* decode = key->add_subcommand("decode", "what a NIP-19 code says (npub, note, nevent, …)");
  decode->add_option("code", o.code)->required();
  decode->callback([&] { run = [&o](Process&) { return key_decode(o.code); }; });
}

void add_event(CLI::App& app, Options& o, Command& run) {
  auto* event_app =
      app.add_subcommand("event", "sign an event and print it; with --relay publish it");
  event_app->add_option("-k,--kind", o.event.kind)
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  event_app->add_option("-c,--content", o.event.content);
  event_app->add_option("-t,--tag", o.event.tags, "NAME=VALUE[,VALUE…]; again for more");
  auto* key = event_app->add_option("--key", o.event.key_file,
                                    "the author: a key file or bunker://…; else the home's");
  add_home(*event_app, o.home);
  auto* input = event_app->add_flag("--stdin", o.event.from_stdin,
                                    "publish signed events from standard input, one a line");
  key->excludes(input);
  add_relays(*event_app, o.event.relays, o.event.ca_file, false);
  event_app->callback([&] {
    run = [&o](Process& process) {
      if (!o.event.from_stdin) use_identity(o, o.event.key_file, o.event.ca_file);
      return event(process, o.home, o.event);
    };
  });
}

void add_message(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand("message", "a message for one reader (NIP-44)");
  group->require_subcommand(1);
  const auto add = [&, group](const char* name, const char* what, const char* peer, bool open) {
    auto* sub = group->add_subcommand(name, what);
    sub->add_option("--key", o.message.key_file,
                    "yours: a key file or bunker://…; else the home's identity");
    sub->add_option(peer, o.message.peer, "npub of the other")->required();
    sub->add_option("--ca-file", o.message.ca_file, "PEM roots of a remote signer's wss:// relays");
    add_home(*sub, o.home);
    sub->callback([&o, &run, open] {
      run = [&o, open](Process& process) {
        o.message.open = open;
        use_identity(o, o.message.key_file, o.message.ca_file);
        return message(process, o.home, o.message);
      };
    });
  };
  add("seal", "standard input, encrypted", "--to", false);
  add("open", "standard input, decrypted", "--from", true);
}

void add_request(CLI::App& app, Options& o, Command& run) {
  auto* req = app.add_subcommand("req", "print the events that match a filter, one JSON a line");
  add_relays(*req, o.request.relays, o.request.ca_file, true);
  req->add_option("filter", o.request.filter, "a filter as JSON; else the options below");
  req->add_option("-i,--id", o.request.ids);
  req->add_option("-a,--author", o.request.authors);
  req->add_option("-k,--kind", o.request.kinds)->check(CLI::Range(0, 65535));
  req->add_option("-t,--tag", o.request.tags, "X=VALUE for #X");
  req->add_option("--since", o.request.since);
  req->add_option("--until", o.request.until);
  req->add_option("-l,--limit", o.request.limit)->check(CLI::NonNegativeNumber);
  req->add_flag("-f,--follow", o.request.follow, "go on with live events");
  req->callback([&] { run = [&o](Process& process) { return request(process, o.request); }; });
}

void add_gateway(CLI::App& app, Options& o, Command& run) {
  auto* gateway_app = app.add_subcommand(
      "gateway",
      "a server for applications of this machine; each request goes, sealed, to a verified node\n"
      "OpenAI:    base_url = http://127.0.0.1:8788/v1   chat, completions, responses, embeddings\n"
      "Anthropic: base_url = http://127.0.0.1:8788      messages, count_tokens (an estimate)\n"
      "Ollama:    host     = http://127.0.0.1:8788      chat, generate, embed, tags, show\n"
      "GET /health, /v1/models, /nostril/v1/offers, /nostril/v1/usage. See docs/gateway.md");
  add_client(*gateway_app, o.client, o.home);
  gateway_app->add_option("--listen", o.gateway.listen,
                          "HOST:PORT; port 0 picks one. Beyond loopback only with keys and TLS. "
                          "127.0.0.1:8788");
  gateway_app->add_option("--host", o.gateway.hosts,
                          "another name under which this machine is called; again for more");
  auto* cert = gateway_app->add_option("--tls-cert", o.gateway.tls_cert, "PEM, the chain");
  auto* key = gateway_app->add_option("--tls-key", o.gateway.tls_key, "PEM");
  cert->needs(key);
  key->needs(cert);
  gateway_app
      ->add_option("--hedge-ms", o.gateway.hedge_ms,
                   "ask a second node when the first has said nothing after this; both are paid. "
                   "0: never")
      ->check(CLI::Range(0, 600'000));
  gateway_app->add_option("--rules", o.gateway.rules,
                          "TOML file: for each model prices, nodes, hedging; docs/gateway.md");
  gateway_app->callback([&] {
    run = [&o](Process& process) {
      return gateway(process, settings_of(o), HomeConfig::read(o.home), o.gateway);
    };
  });
}

void add_keys(CLI::App& app, Options& o, Command& run) {
  auto* keys = app.add_subcommand("keys", "who may use the gateway, and how much");
  keys->require_subcommand(1);
  const auto add_common = [&o](CLI::App& command) {
    command.add_option("--home", o.home, "the gateway's")->capture_default_str();
    command.add_flag("--json", o.keys.json, "for programs");
  };
  auto* add = keys->add_subcommand("add", "make a key and print it; only its hash is kept");
  add_common(*add);
  add->add_option("name", o.keys.name)->required();
  const auto limit = [add](const char* name, std::uint64_t& number, const char* what) {
    add->add_option(name, number, what);
  };
  limit("--tokens-per-day", o.keys.budget.tokens_per_day, "0: no limit; days are UTC's");
  limit("--tokens", o.keys.budget.tokens, "in all");
  limit("--amount-per-day", o.keys.budget.amount_per_day, "base units of the offers' asset");
  limit("--amount", o.keys.budget.amount, "in all");
  add->callback([&] { run = [&o](Process&) { return keys_add(o.home, o.keys); }; });
  auto* list = keys->add_subcommand("list", "names, budgets, and what was used");
  add_common(*list);
  list->callback([&] { run = [&o](Process&) { return keys_list(o.home, o.keys); }; });
  auto* revoke = keys->add_subcommand("revoke", "a running gateway refuses it within a second");
  add_common(*revoke);
  revoke->add_option("name", o.keys.name)->required();
  revoke->callback([&] { run = [&o](Process&) { return keys_revoke(o.home, o.keys); }; });
}

void add_apps(CLI::App& app, Options& o, Command& run) {
  auto* group =
      app.add_subcommand("apps", "point other programs at the gateway, each with its key");
  group->require_subcommand(1);
  const auto add_name = [&o](CLI::App* sub) {
    const auto names = apps::app_names();
    sub->add_option("app", o.apps.name)
        ->required()
        ->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end())));
  };
  auto* add = group->add_subcommand("add", "write into its configuration, beside what is there");
  add_client(*add, o.client, o.home);
  add_name(add);
  add->add_option("-m,--model", o.apps.models,
                  "what verified nodes offer when not given; again for more")
      ->allow_extra_args(false);
  add->add_flag("--print", o.apps.print, "only show what would be written, and where");
  add->callback([&] {
    run = [&o](Process& process) {
      return apps_add(process, settings_of(o), HomeConfig::read(o.home), o.apps);
    };
  });
  auto* list = group->add_subcommand("list", "which are known, which were added, and their files");
  add_home(*list, o.home);
  list->callback([&] {
    run = [&o](Process&) { return apps_list(settings_of(o), HomeConfig::read(o.home)); };
  });
  auto* remove = group->add_subcommand("remove", "take it out again, and revoke its key");
  add_home(*remove, o.home);
  add_name(remove);
  remove->callback([&] {
    run = [&o](Process&) { return apps_remove(settings_of(o), HomeConfig::read(o.home), o.apps); };
  });
}

void add_inference(CLI::App& app, Options& o, Command& run) {
  auto* list =
      app.add_subcommand("offers", "nodes, what they offer, and whether they may be trusted");
  add_client(*list, o.client, o.home);
  auto* explain = list->add_flag("--explain", o.offers.explain, "every check of the evidence");
  list->add_flag("--json", o.offers.json, "for programs: each offer with its verdict")
      ->excludes(explain);
  list->callback(
      [&] { run = [&o](Process& process) { return offers(process, settings_of(o), o.offers); }; });

  auto* chat_app =
      app.add_subcommand("chat", "ask one question; nothing is sent before the verdict");
  add_client(*chat_app, o.client, o.home);
  chat_app->add_option("-m,--model", o.chat.model, "any verified node's when not given");
  chat_app->add_option("--system", o.chat.system, "system message");
  chat_app->add_option("--max-tokens", o.chat.tokens_max)
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  chat_app->add_option("--save", o.chat.save, "folder for request, response, record and receipt");
  chat_app->add_flag("--durable", o.chat.durable,
                     "the node goes on should we be lost; `nostril pickup` fetches the answer");
  chat_app->add_flag("--quiet", o.chat.quiet,
                     "hide when and how much is said: frames of one size at a fixed rate");
  chat_app->add_flag("--detach", o.chat.detach,
                     "leave once the node has the request; `nostril pickup` fetches the answer");
  chat_app->add_option("question", o.chat.question)->required();
  chat_app->callback(
      [&] { run = [&o](Process& process) { return chat(process, settings_of(o), o.chat); }; });

  auto* pickup_app = app.add_subcommand(
      "pickup", "fetch, check and pay answers of `chat --durable` and `--detach`");
  add_client(*pickup_app, o.client, o.home);
  pickup_app->add_option("--save", o.pickup.save,
                         "folder for the answers, their records and receipts");
  pickup_app->add_flag("--list", o.pickup.list, "only say what waits");
  pickup_app->callback(
      [&] { run = [&o](Process& process) { return pickup(process, settings_of(o), o.pickup); }; });

  add_gateway(app, o, run);
}

void add_report_options(CLI::App& app, EvidenceOptions& options) {
  app.add_option("--html", options.html, "also write the verdict as a page without scripts");
  app.add_flag("--json", options.json, "the verdict as one JSON object");
  app.add_flag("--explain", options.explain, "every step with its value and its source");
}

void add_evidence_options(CLI::App& app, EvidenceOptions& options) {
  app.add_option("--now", options.now, "unix seconds in place of the clock");
  app.add_option("--policy", options.policy, "TOML file; `nostril verify policy` prints all keys");
  app.add_option(
         "--root", options.roots,
         "certificate (PEM or DER) in place of the built-in roots; marks the verdict; again "
         "for more")
      ->allow_extra_args(false);
  app.add_option("--nonce", options.nonce,
                 "hex: report_data must end in it; a GPU's report or token must be over it");
  add_report_options(app, options);
}

void add_vek_options(CLI::App& app, EvidenceOptions& options, bool required) {
  app.add_option("--vcek", options.vcek, "certificate of the VCEK or VLEK, DER or PEM")
      ->required(required);
  app.add_option("--chain", options.chain, "PEM: ASK or ASVK, then ARK; else AMD's own");
  app.add_option("--crl", options.crl, "DER: CRL of the ARK");
}

void add_rim_option(CLI::App& app, EvidenceOptions& options) {
  app.add_option("--rim", options.rims,
                 "reference manifest (XML, or NVIDIA's JSON around it); once each");
}

using EvidenceCommand = int (*)(Process&, const EvidenceOptions&);

/// A sub-command that judges evidence of one kind: what all of them share.
CLI::App* add_evidence_command(CLI::App& verify_app, const char* name, const std::string& what,
                               EvidenceCommand command, Options& o, Command& run) {
  auto* app = verify_app.add_subcommand(name, what + "; 0 accepted, 1 refused, 2 unusable");
  add_evidence_options(*app, o.evidence);
  app->callback([&o, &run, command] {
    run = [&o, command](Process& process) { return command(process, o.evidence); };
  });
  return app;
}

void add_verify_intel(CLI::App& verify_app, Options& o, Command& run) {
  auto* app =
      add_evidence_command(verify_app, "intel", "an Intel TDX or SGX quote", verify_intel, o, run);
  app->add_option("--quote", o.evidence.quote, "raw quote")->required();
  app->add_option("--collateral", o.evidence.collateral,
                  "JSON: TCB info, QE identity, CRLs, signatures, issuer chains");
}

void add_verify_snp(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "snp", "an AMD SEV-SNP report", verify_snp, o, run);
  app->add_option("--report", o.evidence.report, "raw report, 1184 bytes")->required();
  add_vek_options(*app, o.evidence, true);
}

void add_verify_gpu(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "gpu",
                                   "the reports of a machine's NVIDIA GPUs and NVSwitches",
                                   verify_gpu, o, run);
  const auto add_files = [app](const char* name, std::vector<std::string>& files,
                               const char* what) {
    return app->add_option(name, files, what)->allow_extra_args(false);
  };
  add_files("--report", o.evidence.gpu_reports,
            "raw report: SPDM request and response; again for each GPU")
      ->required();
  add_files("--chain", o.evidence.gpu_chains,
            "its five certificates, leaf first: PEM or DER; again, in the order of the reports")
      ->required();
  add_files("--switch-report", o.evidence.switch_reports,
            "the same of an NVSwitch; again for each");
  add_files("--switch-chain", o.evidence.switch_chains,
            "its five certificates; again, in the order of the reports");
  add_rim_option(*app, o.evidence);
  app->add_option("--ocsp", o.evidence.ocsp, "OCSP answer (DER) about a certificate; once each");
  app->add_option("--ocsp-nonce", o.evidence.ocsp_nonce, "hex: what those answers must carry");
}

void add_verify_nras(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "nras", "tokens of NVIDIA's attestation service",
                                   verify_nras, o, run);
  app->add_option("--token", o.evidence.token, "JSON: the service's whole answer")->required();
  app->add_option("--jwks", o.evidence.key_set, "JSON: the service's key set of that time")
      ->required();
}

void add_verify_report(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "report", "a provider's whole attestation answer",
                                   verify_report, o, run);
  auto* source = app->add_option_group("source", "the answer, saved or asked for now");
  source->add_option("--file", o.evidence.report, "the answer, as the service gave it");
  auto* url = source->add_option("--url", o.evidence.url,
                                 "ask https://HOST[/v1/attestation/report] with a fresh nonce");
  source->require_option(1);
  app->add_option("-m,--model", o.evidence.model, "that the URL's report is of")->needs(url);
  app->add_option("--save", o.evidence.save, "file for the exact bytes of the URL's answer")
      ->needs(url);
  app->add_option("--ca-file", o.evidence.ca_file,
                  "PEM roots for the URL and for --fetch-collateral; else the system's");
  app->add_option("--api-key", o.evidence.api_key, "file with the key that the URL's service wants")
      ->needs(url);
  app->add_option("--timeout", o.evidence.timeout_s,
                  "seconds for the URL's whole answer, and for each document that is fetched")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  auto* files = app->add_option("--collateral", o.evidence.collaterals,
                                "Intel's collateral (JSON); or AMD's certificates; once each");
  auto* fetch = app->add_flag("--fetch-collateral", o.evidence.fetch_collateral,
                              "ask Intel and AMD now about the report's machines: they learn "
                              "which these are")
                    ->excludes(files);
  app->add_option("--intel-url", o.evidence.intel_url, "a PCCS in place of Intel's service")
      ->needs(fetch);
  app->add_option("--amd-url", o.evidence.amd_url, "in place of AMD's key server")->needs(fetch);
  app->add_option("--peer-spki", o.evidence.peer_spki,
                  "key of the TLS connection: SHA-256 of its SubjectPublicKeyInfo in hex, or a "
                  "file with the key or certificate; of a URL it is known")
      ->excludes(url);
  add_vek_options(*app, o.evidence, false);
  add_rim_option(*app, o.evidence);
}

void add_verify_offer(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = verify_app.add_subcommand(
      "offer",
      "a node's evidence as its relays have it; 0 accepted, 1 refused, 2 unusable, 3 accepted but "
      "simulated");
  add_client(*app, o.client, o.home);
  app->add_option("--node", o.evidence.node, "npub of the node")->required();
  app->add_option("-m,--model", o.evidence.model, "its newest offer's when not given");
  add_report_options(*app, o.evidence);
  app->callback([&] {
    run = [&o](Process& process) { return verify_offer(process, settings_of(o), o.evidence); };
  });
}

void add_verify_manifest(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = verify_app.add_subcommand(
      "manifest", "a model manifest, and files by it; 0 right, 1 wrong, 2 unusable");
  app->add_option("--manifest", o.manifest.manifest, "the manifest's text")->required();
  app->add_option("--digest", o.manifest.digest, "hex: what an offer's `weights` tag says");
  app->add_option("--file", o.manifest.files, "a file of the model; again for more");
  app->add_option("--name", o.manifest.name,
                  "the file's name in the manifest, when its path does not end in it");
  app->add_option("--proof", o.manifest.proof,
                  "of `nostril-node manifest prove`: --file is then that one leaf of a file");
  app->callback([&] { run = [&o](Process&) { return verify_manifest(o.manifest); }; });
}

void add_evidence(CLI::App& verify_app, Options& o, Command& run) {
  add_verify_intel(verify_app, o, run);
  add_verify_snp(verify_app, o, run);
  add_verify_gpu(verify_app, o, run);
  add_verify_offer(verify_app, o, run);
  add_verify_report(verify_app, o, run);
  add_verify_nras(verify_app, o, run);
  add_verify_manifest(verify_app, o, run);
  auto* policy = verify_app.add_subcommand("policy", "print a policy file with all defaults");
  policy->callback([&] { run = [](Process&) { return print_policy(); }; });
}

void add_known_good(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand("known-good", "lists of known images, weights and machines");
  group->require_subcommand(1);
  KnownGoodOptions& options = o.known_good;
  auto* make = group->add_subcommand(
      "make", "sign a list and print it; `nostril event --stdin --relay …` publishes it");
  make->add_option("--name", options.name, "a newer list of this name replaces it")->required();
  make->add_option("--key", options.key_file,
                   "the auditor: a key file or bunker://…; else the home's identity");
  make->add_option("--reason", options.reason, "why, for people")->required();
  make->add_option("--days", options.days, "until it ends")
      ->check(CLI::Range(1, 366))
      ->capture_default_str();
  make->add_option(
      "--allow", options.allow,
      "\"SUBJECT NAME=HEX,… [MODEL]\", subject image, compose, weights, machine; again "
      "for more");
  make->add_option("--deny", options.deny, "the same, denied");
  auto* node = make->add_option("--node", options.node,
                                "npub: allow the image and weights that its evidence names");
  make->add_option("-m,--model", options.model, "its newest offer's when not given")->needs(node);
  make->add_option("--registers", options.registers, "of the image")->capture_default_str();
  make->add_flag("--machine", options.machine, "its machine, too")->needs(node);
  make->add_option("-r,--relay", o.client.relays, "relays that have the node's offer");
  make->add_option("--ca-file", o.client.ca_file, "PEM roots of wss:// relays");
  make->add_option("--policy", o.client.policy, "TOML file: what evidence is taken");
  make->add_option("--home", o.home)->capture_default_str();
  add_test_roots(*make, o.client);
  make->callback([&] {
    run = [&o](Process& process) {
      use_identity(o, o.known_good.key_file, o.client.ca_file);
      return make_known_good(process, settings_of(o), o.known_good);
    };
  });
  auto* show = group->add_subcommand("show", "a list in words, when its signature is right");
  show->add_option("file", o.file)->required();
  show->callback(
      [&] { run = [&o](Process& process) { return show_known_good(process, o.file); }; });
  auto* check = group->add_subcommand("check", "whether a list counts under a policy; 0 it does");
  check->add_option("file", o.file)->required();
  check->add_option("--policy", o.client.policy, "TOML file that names its auditor")->required();
  check->callback([&] {
    run = [&o](Process& process) { return check_known_good(process, settings_of(o), o.file); };
  });
}

void add_beacon(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand("beacon", "a witness' word of the time, for fresh evidence");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, bool once) {
    auto* sub = group->add_subcommand(name, what);
    sub->add_option("--key", o.beacon.key_file, "key file of the witness")->required();
    add_relays(*sub, o.beacon.relays, o.beacon.ca_file, !once);
    sub->callback([&o, &run, once] {
      o.beacon.once = once;
      run = [&o](Process& process) { return beacon(process, o.beacon); };
    });
    return sub;
  };
  add("run", "publish one each minute until SIGTERM", false)
      ->add_option("--period", o.beacon.period_s, "seconds between two")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  add("once", "sign one and print it; with --relay publish it", true);
}

void add_reputation(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand(
      "reputation", "what is known of nodes: proofs of fraud, words of those you follow, ranks");
  group->require_subcommand(1);
  ReputationOptions& options = o.reputation;
  auto* show = group->add_subcommand("show", "each node's score and where it comes from");
  add_client(*show, o.client, o.home);
  show->add_option("node", options.node, "npub; all when not given");
  show->add_flag("--json", options.json, "for programs");
  show->callback([&] {
    run = [&o](Process& process) { return reputation_show(process, settings_of(o), o.reputation); };
  });
  const auto add_word = [&](const char* name, const char* what, auto command) {
    auto* sub = group->add_subcommand(name, what);
    add_client(*sub, o.client, o.home);
    sub->add_option("node", options.node, "npub")->required();
    sub->add_option(
        "--record", options.file,
        "file of a record that the node signed; the newest of this home when not given");
    sub->add_option("--note", options.note, "for people: 200 bytes");
    sub->add_option("--key", options.key_file,
                    "yours: a key file or bunker://…; else the home's identity");
    sub->add_flag("!--no-publish", options.publish, "keep it, and print it");
    sub->add_flag("--json", options.json, "print the signed event");
    sub->callback([&, command] {
      run = [&o, command](Process& process) {
        use_identity(o, o.reputation.key_file, o.client.ca_file);
        return command(process, settings_of(o), o.reputation);
      };
    });
    return sub;
  };
  add_word("approve", "say that a node served you well; it publishes the record with its hashes",
           reputation_approve);
  add_word("flag", "say that a node served you badly; it publishes the record with its hashes",
           reputation_flag)
      ->add_option("--reason", options.reason)
      ->required()
      ->check(CLI::IsMember({"down", "slow", "wrong-model", "bad-answer", "overcharge", "censor"}));
  auto* check = group->add_subcommand(
      "check", "whether a file proves fraud, by itself; 0 it does, 1 it does not, 2 unusable");
  check->add_option("file", options.file, "a proof as relays have it, or HOME/reputation/proofs")
      ->required();
  check->add_flag("--json", options.json, "for programs");
  add_home(*check, o.home);
  check->callback(
      [&] { run = [&o](Process&) { return reputation_check(settings_of(o), o.reputation); }; });

  ProbeOptions& probe_options = o.probe;
  auto* probe_app = app.add_subcommand(
      "probe",
      "ask nodes as a user would, twice under one id, compare with others of the same weights; "
      "publish proofs of fraud, and with a key approvals and flags");
  add_client(*probe_app, o.client, o.home);
  auto* nodes = probe_app->add_option("node", probe_options.nodes, "npub; again for more");
  probe_app->add_flag("--all", probe_options.all, "every node with an offer")->excludes(nodes);
  probe_app->add_option("-m,--model", probe_options.model, "only offers of this one");
  probe_app->add_option("--key", probe_options.key_file,
                        "who approves and flags: a key file or bunker://…");
  probe_app->add_flag("!--no-publish", probe_options.publish, "tell nobody");
  probe_app->add_flag("--json", probe_options.json, "for programs");
  probe_app->callback([&] {
    if (o.probe.nodes.empty() && !o.probe.all) throw CLI::RequiredError("a node or --all,");
    run = [&o](Process& process) { return probe(process, settings_of(o), o.probe); };
  });
}

void add_wallet(CLI::App& app, Options& o, Command& run) {
  auto* wallet = app.add_subcommand(
      "wallet",
      "money on a chain for nodes that are paid there; unaudited (docs/security.md). "
      "HOME/wallet.toml says which chain: `nostril wallet config` prints it with its defaults");
  wallet->require_subcommand(1);
  using Function = int (*)(Process&, const ClientSettings&, const WalletOptions&);
  const auto add = [&](const char* name, const char* what, Function command) {
    auto* sub = wallet->add_subcommand(name, what);
    sub->callback([&o, &run, command] {
      run = [&o, command](Process& process) { return command(process, settings_of(o), o.wallet); };
    });
    return sub;
  };
  const auto add_local = [&](const char* name, const char* what, Function command) {
    auto* sub = add(name, what, command);
    sub->add_option("--home", o.home, "folder of the keys and receipts")->capture_default_str();
    return sub;
  };
  const auto add_view = [&](const char* name, const char* what, Function command) {
    auto* sub = add_local(name, what, command);
    auto* csv = sub->add_flag("--csv", o.wallet.csv, "for spreadsheets");
    sub->add_flag("--json", o.wallet.json, "for programs")->excludes(csv);
  };
  const auto amount = [&](CLI::App* sub) {
    sub->add_option("amount", o.wallet.amount, "base units of the asset")->required();
  };
  wallet->add_subcommand("config", "print the commented default wallet.toml")->callback([&run] {
    run = [](Process&) { return wallet_config(); };
  });
  add_view("balance", "account, pool and channels", wallet_balance);
  add_view("channels", "each channel: locked, spent, claimed", wallet_channels);
  add_view("history", "transactions of this home", wallet_history);
  amount(add_local("deposit", "put money into the contract's pool", wallet_deposit));
  auto* withdraw = add_local("withdraw", "take money out of the pool", wallet_withdraw);
  amount(withdraw);
  withdraw->add_option("--to", o.wallet.to, "address; else the own account");
  auto* open = add("open", "lock money for one node", wallet_open);
  add_client(*open, o.client, o.home);
  open->add_option("node", o.wallet.node, "npub of the node")->required();
  amount(open);
  auto* top_up = add_local("top-up", "lock more in a channel", wallet_top_up);
  top_up->add_option("channel", o.wallet.channel, "64 hex digits")->required();
  amount(top_up);
  auto* close = add_local(
      "close", "get back what a node has not earned: ask now, and again a day later", wallet_close);
  close->add_option("channel", o.wallet.channel, "64 hex digits")->required();
}

void add_lightning(CLI::App& app, Options& o, Command& run) {
  auto* lightning = app.get_subcommand("wallet")->add_subcommand(
      "lightning",
      "deposits with nodes over Lightning, in msat, paid by a wallet service (NIP-47) whose "
      "nostr+walletconnect:// line is in HOME/nwc; unaudited (docs/money.md)");
  lightning->require_subcommand(1);
  using Function = int (*)(Process&, const ClientSettings&, const WalletOptions&);
  const auto add = [&](const char* name, const char* what, Function command) {
    auto* sub = lightning->add_subcommand(name, what);
    sub->callback([&o, &run, command] {
      run = [&o, command](Process& process) { return command(process, settings_of(o), o.wallet); };
    });
    return sub;
  };
  const auto add_view = [&](const char* name, const char* what, Function command) {
    auto* sub = add(name, what, command);
    sub->add_option("--home", o.home, "folder of the keys and receipts")->capture_default_str();
    sub->add_option("--ca-file", o.client.ca_file, "PEM roots for wss:// relays");
    auto* csv = sub->add_flag("--csv", o.wallet.csv, "for spreadsheets");
    sub->add_flag("--json", o.wallet.json, "for programs")->excludes(csv);
  };
  add_view("balance", "the wallet's balance, and each node's deposits", lightning_balance);
  add_view("history", "deposits and refunds of this home", lightning_history);
  auto* deposit = add("deposit", "pay a node in advance", lightning_deposit);
  add_client(*deposit, o.client, o.home);
  deposit->add_option("node", o.wallet.node, "npub of the node")->required();
  deposit->add_option("amount", o.wallet.amount, "msat")->required();
  auto* refund = add("refund", "take back what is left of the deposits", lightning_refund);
  add_client(*refund, o.client, o.home);
  refund->add_option("node", o.wallet.node, "npub of the node")->required();
}

void add_inspection(CLI::App& app, Options& o, Command& run) {
  auto* verify_app = app.add_subcommand(
      "verify",
      "check a saved answer, or evidence (sub-commands), without a network; 0 right, 1 wrong, 2 "
      "unusable input, 3 right but simulated");
  verify_app->add_option("record", o.verify.record,
                         "file of a saved answer's record, as `nostril chat --save` writes it");
  verify_app->add_option("--answer", o.verify.answer,
                         "a proof as the gateway's page saves it, in place of all these files");
  verify_app->add_option("--request", o.verify.request, "exact request body");
  verify_app->add_option("--response", o.verify.response, "exact response body");
  verify_app->add_option("--receipt", o.verify.receipt, "receipt.json");
  auto* offer = verify_app->add_option("--offer", o.verify.offer, "offer event");
  auto* attestation =
      verify_app->add_option("--attestation", o.verify.attestation, "attestation event")
          ->needs(offer);
  verify_app
      ->add_option("--document", o.verify.documents,
                   "vendor's document that the attestation names: its event (`nostril req --kind "
                   "31474`) or its bytes; again for more")
      ->needs(attestation)
      ->allow_extra_args(false);
  add_test_roots(*verify_app, o.client);
  verify_app->add_option("--policy", o.client.policy, "TOML file: what evidence is taken");
  verify_app->add_flag("--allow-unchecked-tcb", o.client.allow_unchecked_tcb,
                       "take genuine evidence that comes without Intel's collateral");
  add_evidence(*verify_app, o, run);
  verify_app->callback([&, verify_app] {
    if (!verify_app->get_subcommands().empty()) return;
    if (o.verify.record.empty() == o.verify.answer.empty()) {
      throw CLI::RequiredError(
          "a record's file or --answer, or one of intel, snp, gpu, offer, report, nras, manifest, "
          "policy,");
    }
    run = [&o](Process& process) { return verify(process, settings_of(o), o.verify); };
  });

  auto* receipts_app = app.add_subcommand("receipts", "channels and what was paid");
  receipts_app->add_option("--home", o.home)->capture_default_str();
  receipts_app->add_flag("--json", o.json, "records and receipts as events, one a line");
  receipts_app->callback(
      [&] { run = [&o](Process& process) { return receipts(process, settings_of(o), o.json); }; });
}

}  // namespace

ClientSettings with_config(const SettingsOptions& options, const HomeConfig& config,
                           const std::filesystem::path& home) {
  ClientSettings out = config.settings(home);
  const auto prefer = [](auto& value, const auto& named) {
    if (!named.empty()) value = named;
  };
  prefer(out.relays, options.relays);
  prefer(out.ca_file, options.ca_file);
  prefer(out.test_roots, options.test_roots);
  prefer(out.policy, options.policy);
  out.allow_unchecked_tcb |= options.allow_unchecked_tcb;
  if (options.budget) out.budget = *options.budget;
  return out;
}

}  // namespace nostril::client::cli

int main(int argc, char** argv) {
  namespace cli = nostril::client::cli;
  try {
    nostril::protect_process_memory();
    CLI::App app("private, verified inference over Nostr relays");
    app.set_version_flag("--version", cli::kVersion);
    cli::Options options;
    cli::Command run;
    app.add_option("--log", options.log_level, "debug, info, warning, error or off")
        ->capture_default_str();
    app.require_subcommand(1);
    cli::add_init(app, options, run);
    cli::add_key(app, options, run);
    cli::add_event(app, options, run);
    cli::add_request(app, options, run);
    cli::add_message(app, options, run);
    cli::add_inference(app, options, run);
    cli::add_keys(app, options, run);
    cli::add_apps(app, options, run);
    cli::add_inspection(app, options, run);
    cli::add_known_good(app, options, run);
    cli::add_beacon(app, options, run);
    cli::add_reputation(app, options, run);
    cli::add_wallet(app, options, run);
    cli::add_lightning(app, options, run);
    nostril::add_program_pages(app, "nostril");
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? 0 : cli::kWrongUsage;
    }
    nostril::set_log_level(nostril::log_level_from(options.log_level));
    cli::Process process;
    return run(process);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril: {}\n", error.what());
    return 1;
  }
}
