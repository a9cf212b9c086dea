// nostril: the client. Its own words for every command: --help.
#include "base/log.h"
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

void add_test_roots(CLI::App& app, ClientSettings& settings) {
  app.add_option("--trust-test-root", settings.test_roots,
                 "DER file: also take SIMULATED evidence under this test root (development); again "
                 "for more")
      ->allow_extra_args(false);
}

void add_client(CLI::App& app, ClientSettings& settings, std::string& home) {
  add_relays(app, settings.relays, settings.ca_file, true);
  app.add_option("--home", home, "folder of the payment key and the receipts")
      ->capture_default_str();
  add_test_roots(app, settings);
  app.add_option("--policy", settings.policy,
                 "TOML file: what evidence is taken; `nostril verify policy` prints all keys");
  app.add_flag("--allow-unchecked-tcb", settings.allow_unchecked_tcb,
               "take genuine evidence that comes without Intel's collateral");
  app.add_option("--budget", settings.budget, "most that one node may be owed, base units")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

struct Options {
  std::string home = default_home().string();
  std::string log_level = "warning";
  ClientSettings client;
  std::string key_file;
  std::string code;
  bool secret = false;
  OffersOptions offers;
  bool json = false;
  std::string listen = "127.0.0.1:8788";
  EventOptions event;
  RequestOptions request;
  ChatOptions chat;
  PickupOptions pickup;
  VerifyOptions verify;
  EvidenceOptions evidence;
  KnownGoodOptions known_good;
  BeaconOptions beacon;
  std::string file;
  ManifestOptions manifest;
};

using Command = std::function<int(Process&)>;

void add_key(CLI::App& app, Options& o, Command& run) {
  auto* key = app.add_subcommand("key", "make and read keys");
  key->require_subcommand(1);
  auto* made = key->add_subcommand("new", "make a key in a new file (mode 0600)");
  made->add_option("file", o.key_file)->required();
  made->callback([&] { run = [&o](Process&) { return key_new(o.key_file); }; });
  auto* show = key->add_subcommand("show", "the public key of a file");
  show->add_option("file", o.key_file)->required();
  show->add_flag("--secret", o.secret, "the secret key too");
  show->callback([&] { run = [&o](Process&) { return key_show(o.key_file, o.secret); }; });
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
  auto* key = event_app->add_option("--key", o.event.key_file, "key file of the author");
  auto* input = event_app->add_flag("--stdin", o.event.from_stdin,
                                    "publish signed events from standard input, one a line");
  key->excludes(input);
  add_relays(*event_app, o.event.relays, o.event.ca_file, false);
  event_app->callback([&] {
    if (!o.event.from_stdin && o.event.key_file.empty()) {
      throw CLI::RequiredError("--key or --stdin");
    }
    run = [&o](Process& process) { return event(process, o.event); };
  });
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

void add_inference(CLI::App& app, Options& o, Command& run) {
  auto* list =
      app.add_subcommand("offers", "nodes, what they offer, and whether they may be trusted");
  add_client(*list, o.client, o.home);
  auto* explain = list->add_flag("--explain", o.offers.explain, "every check of the evidence");
  list->add_flag("--json", o.offers.json, "for programs: each offer with its verdict")
      ->excludes(explain);
  list->callback(
      [&] { run = [&o](Process& process) { return offers(process, o.client, o.offers); }; });

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
      [&] { run = [&o](Process& process) { return chat(process, o.client, o.chat); }; });

  auto* pickup_app = app.add_subcommand(
      "pickup", "fetch, check and pay answers of `chat --durable` and `--detach`");
  add_client(*pickup_app, o.client, o.home);
  pickup_app->add_option("--save", o.pickup.save,
                         "folder for the answers, their records and receipts");
  pickup_app->add_flag("--list", o.pickup.list, "only say what waits");
  pickup_app->callback(
      [&] { run = [&o](Process& process) { return pickup(process, o.client, o.pickup); }; });

  auto* gateway_app = app.add_subcommand(
      "gateway",
      "OpenAI-compatible server for this machine: base_url = http://127.0.0.1:8788/v1\n"
      "GET /v1/models, /health; POST /v1/chat/completions, /v1/completions");
  add_client(*gateway_app, o.client, o.home);
  gateway_app->add_option("--listen", o.listen, "HOST:PORT, loopback only; port 0 picks one")
      ->capture_default_str();
  gateway_app->callback(
      [&] { run = [&o](Process& process) { return gateway(process, o.client, o.listen); }; });
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
  app->add_option("--ca-file", o.evidence.ca_file, "PEM roots for the URL; else the system's")
      ->needs(url);
  app->add_option("--api-key", o.evidence.api_key, "file with the key that the URL's service wants")
      ->needs(url);
  app->add_option("--timeout", o.evidence.timeout_s, "seconds for the URL's whole answer")
      ->needs(url)
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  app->add_option("--collateral", o.evidence.collaterals,
                  "Intel's collateral (JSON); or AMD's certificates; once each");
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
    run = [&o](Process& process) { return verify_offer(process, o.client, o.evidence); };
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
  make->add_option("--key", options.key_file, "key file of the auditor")->required();
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
    run = [&o](Process& process) { return make_known_good(process, o.client, o.known_good); };
  });
  auto* show = group->add_subcommand("show", "a list in words, when its signature is right");
  show->add_option("file", o.file)->required();
  show->callback(
      [&] { run = [&o](Process& process) { return show_known_good(process, o.file); }; });
  auto* check = group->add_subcommand("check", "whether a list counts under a policy; 0 it does");
  check->add_option("file", o.file)->required();
  check->add_option("--policy", o.client.policy, "TOML file that names its auditor")->required();
  check->callback([&] {
    run = [&o](Process& process) { return check_known_good(process, o.client, o.file); };
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

void add_inspection(CLI::App& app, Options& o, Command& run) {
  auto* verify_app = app.add_subcommand(
      "verify", "check a saved answer without a network; 0 right, 1 wrong, 3 right but simulated");
  verify_app->add_option("record", o.verify.record, "record.json");
  verify_app->add_option("--request", o.verify.request, "exact request body");
  verify_app->add_option("--response", o.verify.response, "exact response body");
  verify_app->add_option("--receipt", o.verify.receipt, "receipt.json");
  auto* offer = verify_app->add_option("--offer", o.verify.offer, "offer event");
  verify_app->add_option("--attestation", o.verify.attestation, "attestation event")->needs(offer);
  add_test_roots(*verify_app, o.client);
  verify_app->add_option("--policy", o.client.policy, "TOML file: what evidence is taken");
  verify_app->add_flag("--allow-unchecked-tcb", o.client.allow_unchecked_tcb);
  add_evidence(*verify_app, o, run);
  verify_app->callback([&, verify_app] {
    if (!verify_app->get_subcommands().empty()) return;
    if (o.verify.record.empty()) throw CLI::RequiredError("record");
    run = [&o](Process& process) { return verify(process, o.client, o.verify); };
  });

  auto* receipts_app = app.add_subcommand("receipts", "channels and what was paid");
  receipts_app->add_option("--home", o.home)->capture_default_str();
  receipts_app->add_flag("--json", o.json, "records and receipts as events, one a line");
  receipts_app->callback(
      [&] { run = [&o](Process& process) { return receipts(process, o.client, o.json); }; });
}

}  // namespace

}  // namespace nostril::client::cli

int main(int argc, char** argv) {
  namespace cli = nostril::client::cli;
  try {
    nostril::protect_process_memory();
    CLI::App app("nostril: private, verified inference over Nostr relays");
    app.set_version_flag("--version", cli::kVersion);
    cli::Options options;
    cli::Command run;
    app.add_option("--log", options.log_level, "debug, info, warning, error or off")
        ->capture_default_str();
    app.require_subcommand(1);
    cli::add_key(app, options, run);
    cli::add_event(app, options, run);
    cli::add_request(app, options, run);
    cli::add_inference(app, options, run);
    cli::add_inspection(app, options, run);
    cli::add_known_good(app, options, run);
    cli::add_beacon(app, options, run);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? 0 : cli::kWrongUsage;
    }
    nostril::set_log_level(nostril::log_level_from(options.log_level));
    options.client.home = options.home;
    cli::Process process;
    return run(process);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril: {}\n", error.what());
    return 1;
  }
}
