#include "node/config.h"

#include "base/hex.h"
#include "events/inference.h"
#include "events/nip19.h"
#include "events/tag_reader.h"
#include "net/url.h"
#include "node/api_access.h"
#include "node/endpoint.h"
#include "settlement/lightning/bolt11.h"

#include <algorithm>

namespace nostril::node {

namespace {

/// A relay takes about as many filters in one subscription.
constexpr std::size_t kWitnessesMax = 16;

/// What can't be sold: a token that no credit covers could never be delivered.
bool credit_covers_a_token(const NodeConfig::OfferSettings& terms) {
  const std::int64_t dearest =
      std::max({terms.input_price, terms.cached_price, terms.output_price});
  // The first statement may have to hold what stands beside the tokens, too.
  const auto fixed = static_cast<Uint128>(terms.request_price) +
                     static_cast<Uint128>(terms.session_price) +
                     static_cast<Uint128>(terms.second_price);
  const std::int64_t token = dearest / 1'000'000 + (dearest % 1'000'000 == 0 ? 0 : 1);
  return static_cast<Uint128>(terms.credit) >= static_cast<Uint128>(token) + fixed;
}

std::optional<std::string> unknown_path(const NodeConfig::EngineSettings& engine) {
  for (const std::string& path : engine.paths) {
    if (find_endpoint(path) != nullptr) continue;
    std::string problem = "paths: ";
    problem.append(path).append(" is none that a node can meter. These are:");
    for (const Endpoint& endpoint : endpoints()) problem.append(" ").append(endpoint.path);
    return problem;
  }
  return std::nullopt;
}

std::optional<std::string> problem_of(const NodeConfig::Https& https) {
  if (!https.listen.empty() && !net::parse_host_port(https.listen)) {
    return "https.listen: ADDRESS:PORT, e.g. 0.0.0.0:8443";
  }
  if (https.certificate_file.empty() != https.key_file.empty()) {
    return "https: certificate_file and key_file come together";
  }
  if (https.certificate_file.empty() && https.names.empty()) {
    return "https.names: a self-signed certificate needs one";
  }
  const auto url = net::parse_url(https.url);
  if (!https.url.empty() && (!https.url.starts_with("https://") || !url ||
                             https.url.size() > InferenceLimits::kUrlBytesMax)) {
    return "https.url: https://HOST[:PORT]";
  }
  return std::nullopt;
}

std::optional<std::string> problem_of(const NodeConfig::Settlement& settlement,
                                      const std::string& asset) {
  if (!settlement.enabled()) return std::nullopt;
  if (auto found = settlement.problem()) return "settlement." + *found;
  if (!settlement::evm::parse_asset(asset)) {
    return "offer.asset: with [settlement] eip155:CHAIN/erc20:0x… or eip155:CHAIN/slip44:60";
  }
  const auto payee = settlement::evm::parse_address(settlement.payee);
  if (!settlement.payee.empty() && (!payee || payee->is_zero())) {
    return "settlement.payee: 0x and 40 hex digits";
  }
  const auto shares = settlement.shares();
  if (!shares) {
    return "settlement.split: up to 16 of \"0x…=BASIS POINTS\", 10000 together at most";
  }
  if (!shares->empty() && !settlement.payee.empty()) {
    return "settlement.split: without payee, for the account itself pays the shares";
  }
  return std::nullopt;
}

/// Of one [[engine]].
std::optional<std::string> problem_of(const NodeConfig::EngineSettings& engine) {
  if (!engine.url.starts_with("http://") && !engine.url.starts_with("https://")) {
    return "[[engine]] url: http://HOST:PORT; several engines are not looked for";
  }
  const bool has_weights = !engine.weights_folder.empty() || !engine.weight_files.empty();
  if (has_weights && engine.models.size() != 1) {
    return "[[engine]] weights: of one model; name it, and only it, in models";
  }
  return std::nullopt;
}

void declare_engine(Config& config, NodeConfig::EngineSettings& engine) {
  config.text("api_key", &engine.api_key, "Sent to the engine as a bearer token.");
  config.text("weights_folder", &engine.weights_folder,
              "Folder of the model's weights and tokenizer, on this machine: the digest of their\n"
              "manifest goes into the attested statement. No symbolic links. Empty: see the next.");
  config.flag(
      "weights_verity", &engine.weights_verity,
      "weights_folder is the mount of a dm-verity device, read-only: nothing is hashed, the\n"
      "device's root hash goes into the statement. Needs root and /dev/mapper/control.");
  config.list("weight_files", &engine.weight_files,
              "The same as single files. Both empty: no claim about the weights is made.");
  config.number("manifest_threads", &engine.manifest_threads, 0, 256,
                "Threads that hash the weights at the start; 0: one a core.");
  config.flag("warm_up", &engine.warm_up,
              "Ask a model for one token before it is offered: an engine that still loads, or\n"
              "lists what it can't run, is not offered, and the first user does not wait for it.");
  config.number("input_price", &engine.input_price, -1, INT64_MAX,
                "This engine's own prices; -1: as in [offer].");
  config.number("cached_price", &engine.cached_price, -1, INT64_MAX, "");
  config.number("output_price", &engine.output_price, -1, INT64_MAX, "");
  config.number("output_tokens_max", &engine.output_tokens_max, 0, 1 << 24,
                "This engine's own; 0: as in [offer].");
  config.list("paths", &engine.paths,
              "Paths that clients may reach. Empty: all whose tokens engines count (chat,\n"
              "completions, responses, messages, embeddings, rerank, score, Ollama's own). To be\n"
              "named if wanted: /v1/audio/speech, /v1/images/generations.");
  config.list("media_hosts", &engine.media_hosts,
              "Hosts that the engine may fetch pictures and sounds of a prompt from, by https.\n"
              "Empty: none, they come inside the request. A host must not redirect elsewhere: the\n"
              "engine would follow it from inside the TEE.");
  config.flag("prompt_cache_shared", &engine.prompt_cache_shared,
              "llama.cpp keeps what one session sent for the next, whoever that is: faster, but\n"
              "its speed tells others what was asked before. vLLM and SGLang keep sessions apart.");
}

}  // namespace

void declare_one_of_several(Config& config, NodeConfig::EngineSettings& engine) {
  config.text("url", &engine.url, "http://HOST:PORT.");
  config.list("models", &engine.models,
              "Which of its models to offer; empty: all that it names. A model that an earlier\n"
              "engine offers is taken over when that one is gone.");
  declare_engine(config, engine);
}

NodeConfig NodeConfig::read(const std::string& path) {
  NodeConfig out;
  Config config;
  out.declare(config);
  if (!path.empty()) config.load(path);
  return out;
}

EvidenceSettings NodeConfig::evidence_settings() const {
  EvidenceSettings out;
  out.source = evidence;
  out.simulated_platform = tee.simulated_platform;
  out.simulated_compose = tee.simulated_compose;
  out.paths.dstack_socket = tee.dstack_socket;
  out.nvml_library = tee.nvml_library;
  out.nscq_library = tee.nscq_library;
  out.simulated_gpus = static_cast<std::size_t>(tee.simulated_gpus);
  out.simulated_switches = static_cast<std::size_t>(tee.simulated_switches);
  return out;
}

CollateralSettings NodeConfig::collateral_settings() const {
  constexpr std::int64_t kSecondsPerHour = 3600;
  CollateralSettings out;
  out.intel_url = collateral.intel_url;
  out.intel_root_crl_url = collateral.intel_root_crl_url;
  out.amd_url = collateral.amd_url;
  out.nvidia_url = collateral.nvidia_url;
  out.nvidia_ocsp_url = collateral.nvidia_ocsp_url;
  out.store.folder = collateral.folder.empty() ? std::filesystem::path(data) / "collateral"
                                               : std::filesystem::path(collateral.folder);
  out.store.ca_file = collateral.ca_file;
  out.store.refresh_s = collateral.refresh_hours * kSecondsPerHour;
  return out;
}

std::filesystem::path NodeConfig::keys_file() const {
  if (!access.keys_file.empty()) return access.keys_file;
  return std::filesystem::path(data) / "keys.toml";
}

std::optional<std::vector<RevenueShare>> NodeConfig::Settlement::shares() const {
  std::vector<RevenueShare> out;
  for (const std::string& text : split) {
    const auto share = settlement::parse_share(text);
    if (!share) return std::nullopt;
    out.push_back(*share);
  }
  if (!settlement::is_split(out)) return std::nullopt;
  return out;
}

std::optional<EvmRail> NodeConfig::rail() const {
  const auto contract = settlement::evm::parse_address(settlement.contract);
  const auto payee = settlement.payee.empty() ? settlement.account
                                              : settlement::evm::parse_address(settlement.payee);
  if (!settlement.enabled() || !contract || !payee) return std::nullopt;
  return EvmRail{*contract, *payee};
}

std::filesystem::path NodeConfig::account_file() const {
  if (!settlement.key_file.empty()) return settlement.key_file;
  return std::filesystem::path(data) / "account.nsec";
}

ExchangeLimits NodeConfig::exchange_limits() const {
  constexpr std::uint64_t kMiB = 1U << 20;
  return {https.signature_days * client::kSecondsPerDay,
          static_cast<std::uint64_t>(https.signature_mib_max) * kMiB};
}

ManifestSettings NodeConfig::manifest_settings(const EngineSettings& engine_settings) const {
  ManifestSettings out;
  out.folder = engine_settings.weights_folder;
  out.files.assign(engine_settings.weight_files.begin(), engine_settings.weight_files.end());
  out.threads = static_cast<unsigned>(engine_settings.manifest_threads);
  out.is_verity = engine_settings.weights_verity;
  out.cache = std::filesystem::path(data) / "manifest";
  return out;
}

NodeConfig::EngineSettings NodeConfig::single_engine() const {
  EngineSettings out = static_cast<const EngineSettings&>(engine);
  out.models.clear();
  if (!engine.model.empty()) out.models.push_back(engine.model);
  out.first_model_only = true;
  return out;
}

NodeConfig::OfferSettings NodeConfig::terms_of(const EngineSettings& engine_settings) const {
  OfferSettings out = offer;
  out.paths = engine_settings.paths;
  const auto take = [](std::int64_t& term, std::int64_t own, std::int64_t own_min) {
    if (own >= own_min) term = own;
  };
  take(out.input_price, engine_settings.input_price, 0);
  take(out.cached_price, engine_settings.cached_price, 0);
  take(out.output_price, engine_settings.output_price, 0);
  take(out.output_tokens_max, engine_settings.output_tokens_max, 1);
  return out;
}

std::optional<std::vector<PublicKey>> NodeConfig::witnesses() const {
  std::vector<PublicKey> out;
  for (const std::string& text : freshness.beacons) {
    const auto code = nip19::decode(text);
    const auto* npub = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
    if (npub == nullptr || out.size() == kWitnessesMax) return std::nullopt;
    out.push_back(npub->key);
  }
  return out;
}

std::optional<std::string> NodeConfig::problem() const {
  const auto is_relay = [](const std::string& url) {
    return (url.starts_with("ws://") || url.starts_with("wss://")) &&
           url.size() <= InferenceLimits::kUrlBytesMax;
  };
  if (relays.empty() || relays.size() > InferenceLimits::kRelaysMax ||
      !std::ranges::all_of(relays, is_relay)) {
    return "relays: 1 to 16 URLs that begin with ws:// or wss://";
  }
  if (log_format != "text" && log_format != "json") return "log_format: \"text\" or \"json\"";
  if (!is_name(offer.profile, InferenceLimits::kProfileBytesMax)) {
    return "offer.profile: 1 to 32 printable characters without spaces";
  }
  if (!is_name(offer.asset, InferenceLimits::kAssetBytesMax)) {
    return "offer.asset: 1 to 96 printable characters without spaces";
  }
  if (!parse_api_mode(access.mode)) return "access.mode: \"keys\", \"nostr\" or \"open\"";
  if (!witnesses()) return "freshness.beacons: up to 16 keys as npub1…";
  if (freshness.refresh_s >= freshness.beacon_age_s_max) {
    return "freshness.refresh_s: must be below freshness.beacon_age_s_max";
  }
  const auto sells = [this](const EngineSettings& one) {
    return credit_covers_a_token(terms_of(one));
  };
  if (!sells(engine) || !std::ranges::all_of(engines, sells)) {
    return "offer.credit: must cover one token at these prices, or nothing can be served";
  }
  const auto lacks_mount = [](const EngineSettings& one) {
    return one.weights_verity && (one.weights_folder.empty() || !one.weight_files.empty());
  };
  if (lacks_mount(engine) || std::ranges::any_of(engines, lacks_mount)) {
    return "weights_verity: with weights_folder, the device's mount, and no weight_files";
  }
  const auto names_api = [](const EngineSettings& one) {
    return one.url.ends_with("/v1") || one.url.ends_with("/v1/");
  };
  if (names_api(engine) || std::ranges::any_of(engines, names_api)) {
    return "[engine] url: without /v1, as in http://127.0.0.1:8000: the node adds the paths";
  }
  if (auto found = unknown_path(engine)) return found;
  for (const EngineSettings& one : engines) {
    if (auto found = problem_of(one)) return found;
    if (auto found = unknown_path(one)) return found;
  }
  if (auto found = problem_of(https)) return found;
  if (auto found = problem_of(settlement, offer.asset)) return found;
  if (lightning.enabled()) {
    if (settlement.enabled()) return "lightning: not together with [settlement]";
    if (!settlement::lightning::parse_network(lightning.network)) {
      return "lightning.network: bc, tb, tbs or bcrt";
    }
    const auto in_msat = [this](const EngineSettings& one) {
      return terms_of(one).asset == kLightningAsset;
    };
    if (offer.asset != kLightningAsset || !std::ranges::all_of(engines, in_msat)) {
      return "offer.asset: msat, with [lightning]";
    }
  }
  if (!offer.operator_key.empty() && !from_hex<PublicKey>(offer.operator_key)) {
    return "offer.operator: a public key of 64 lowercase hex digits";
  }
  return std::nullopt;
}

std::optional<LightningRail> NodeConfig::lightning_rail() const {
  if (!lightning.enabled()) return std::nullopt;
  return LightningRail{lightning.network, Amount::of(static_cast<std::uint64_t>(lightning.step)),
                       Amount::of(static_cast<std::uint64_t>(lightning.deposit_max))};
}

void NodeConfig::declare(Config& config) {
  config.section("", "nostril-node: serves an OpenAI-compatible engine to a Nostr relay network.");
  config.list("relays", &relays, "Relays that this node dials out to; it needs no open port.");
  config.text("ca_file", &ca_file,
              "PEM file of the roots that wss:// relays are checked against; empty: the system's.");
  config.text("data", &data, "Folder for the node's identity and its journal of receipts.");
  config.text("log_level", &log_level, "debug, info, warning, error or off.");
  config.text("log_format", &log_format, "text, or json: one object a line on standard error.");

  config.text(
      "evidence", &evidence,
      "Where the attestation evidence comes from. \"auto\": the first that this machine has\n"
      "of \"dstack\" (the guest agent's socket), \"tsm\" (configfs-tsm: TDX or SEV-SNP,\n"
      "Linux 6.7) and \"sev-guest\" (/dev/sev-guest). \"simulated\": evidence under a test\n"
      "root, for development. Clients refuse it unless they ask for it, and this node refuses\n"
      "to make it on a machine that has a real TEE. `nostril-node doctor` shows the choice.");

  config.section("tee", "Details of the evidence.");
  config.text("simulated_platform", &tee.simulated_platform,
              "\"tdx\" or \"snp\": what simulated evidence looks like.");
  config.text(
      "simulated_compose", &tee.simulated_compose,
      "File with the app-compose.json that the simulated TDX machine says it booted. Empty:\n"
      "one that says what it is.");
  config.text("dstack_socket", &tee.dstack_socket, "Unix socket of dstack's guest agent.");
  config.text(
      "nvml_library", &tee.nvml_library,
      "NVIDIA's library that GPUs in confidential mode are asked by for their reports. Empty:\n"
      "GPUs are not asked.");
  config.text("nscq_library", &tee.nscq_library,
              "NVIDIA's library that NVSwitches are asked by, where the GPUs' reports name some\n"
              "(boards of eight in protected PCIe mode). Empty: switches are not asked.");
  config.number("simulated_gpus", &tee.simulated_gpus, 0,
                static_cast<std::int64_t>(attestation::kGpuReportCountMax),
                "GPUs of the simulated machine.");
  config.number("simulated_switches", &tee.simulated_switches, 0, 4,
                "NVSwitches between them: the GPUs, which must be 8, are then in protected PCIe\n"
                "mode.");

  config.section("collateral",
                 "What the vendors say about this machine: fetched by this node, checked, kept\n"
                 "on the disk, and put beside its quotes. Clients judge it again and ask nobody.");
  config.text("intel_url", &collateral.intel_url,
              "Intel's service, or https://HOST:8081 of a PCCS of your own. Empty: never asked.");
  config.text("intel_root_crl_url", &collateral.intel_root_crl_url,
              "Of a PCCS: https://HOST:8081/sgx/certification/v4/rootcacrl");
  config.text("amd_url", &collateral.amd_url, "AMD's key server. Empty: never asked.");
  config.text("nvidia_url", &collateral.nvidia_url,
              "NVIDIA's service of reference manifests for GPUs. Empty: never asked.");
  config.text("nvidia_ocsp_url", &collateral.nvidia_ocsp_url,
              "NVIDIA's word on revoked GPUs and NVSwitches (OCSP). Empty: never asked.");
  config.text("folder", &collateral.folder,
              "Where documents are kept; may be placed there by hand. Empty: DATA/collateral.");
  config.text("ca_file", &collateral.ca_file,
              "PEM file of the roots that these https servers are checked against; empty: the\n"
              "system's. A PCCS signs its own as a rule.");
  config.number(
      "refresh_hours", &collateral.refresh_hours, 1, 720,
      "A document older than this is fetched anew; the old one is used while it is valid\n"
      "and the service is away.");

  config.section("engine", "The inference engine behind this node.");
  config.text("url", &engine.url,
              "http://HOST:PORT of vLLM, SGLang, llama.cpp's server or Ollama. Empty: look on\n"
              "loopback ports 8000, 30000, 8080 and 11434, then start the demo engine.");
  config.text("model", &engine.model, "Which of the engine's models to serve; empty: the first.");
  declare_engine(config, engine);
  config.text("demo_folder", &engine.demo_folder,
              "Folder of the demo engine (node/demo_engine of the source tree). Empty: none.");
  config.text("demo_model", &engine.demo_model,
              "A GGUF file for the demo engine; empty: its own 1 MB model.");
  config.number("demo_slow_ms", &engine.demo_slow_ms, 0, 10'000,
                "Milliseconds that the demo engine waits before each token: for tests of faults.");
  config.tables("engine", &engines, kEnginesMax, declare_one_of_several,
                "Several engines, in place of [engine]: one of these for each. Every model has an\n"
                "offer of its own, which goes when its engine does; the others go on.");

  config.section("offer", "What is offered and at what price.");
  config.text("profile", &offer.profile, "Names one of several ways of serving a model.");
  config.text("asset", &offer.asset, "What prices are in: msat is a thousandth of a satoshi.");
  config.number("input_price", &offer.input_price, 0, INT64_MAX,
                "Base units for 1,000,000 prompt tokens.");
  config.number("cached_price", &offer.cached_price, 0, INT64_MAX,
                "The same for prompt tokens found in the engine's prefix cache.");
  config.number("output_price", &offer.output_price, 0, INT64_MAX,
                "The same for generated tokens.");
  config.number("request_price", &offer.request_price, 0, INT64_MAX,
                "Base units for each request, beside its tokens.");
  config.number("session_price", &offer.session_price, 0, INT64_MAX,
                "Base units once for each channel.");
  config.number("second_price", &offer.second_price, 0, INT64_MAX,
                "Base units for each second that an engine works on a request, begun ones counted\n"
                "whole. The credit must cover the time until its first token.");
  config.number("credit", &offer.credit, 0, INT64_MAX,
                "Base units that a client may owe before a signed receipt is asked for.");
  config.number("output_tokens_max", &offer.output_tokens_max, 1, 1 << 24,
                "Most tokens of one answer, as stated in the offer.");
  config.text("operator", &offer.operator_key,
              "Your own public key (64 hex), to which reputation attaches. Empty: none.");

  config.number(
      "load_s", &offer.load_s, 0, 3'600,
      "Offers say how busy this node is. When that has changed by much a new one is made,\n"
      "so many seconds after the last one at the earliest. 0: not for that alone.");
  config.flag("auditable", &offer.auditable,
              "Records state seed and sampling, so that who has the weights can repeat an answer;\n"
              "a request without a seed gets one. Needs weights, and an engine that says its\n"
              "version and gives the same answer for the same seed.");

  config.section(
      "https",
      "OpenAI's API with attestation reports and signatures over HTTPS, for clients and\n"
      "verifiers of other private-inference services. The TLS key is inside the evidence.");
  config.text("listen", &https.listen,
              "ADDRESS:PORT, e.g. 0.0.0.0:8443. Empty: nothing listens, the node dials out only.");
  config.text("url", &https.url,
              "https://HOST[:PORT] where clients reach it, told in the offers. Empty: not told.");
  config.list("names", &https.names, "Host names and addresses in a self-signed certificate.");
  config.text("certificate_file", &https.certificate_file,
              "PEM chain of your own, with key_file. Empty: a key made at each start, which never\n"
              "leaves this process, and a certificate that it signs itself.");
  config.text(
      "key_file", &https.key_file,
      "PEM key of that certificate. Make it inside the TEE: whoever has a copy can pose as\n"
      "this node.");
  config.number("connections_max", &https.connections_max, 1, 100'000,
                "Open connections, of all clients. Each may hold one body.");
  config.number("connections_per_peer_max", &https.connections_per_peer_max, 1, 100'000,
                "The same of one address, or of one /64 of IPv6.");
  config.number(
      "body_bytes_max", &https.body_bytes_max, 1'024, 128 << 20,
      "Of one request, held in memory. Uploads of sounds and pictures may want more; JSON is read\n"
      "up to 8 MiB.");
  config.number("signature_days", &https.signature_days, 1, 3'650,
                "How long signatures and receipts of answers are kept: hashes, no text.");
  config.number("signature_mib_max", &https.signature_mib_max, 1, 1 << 20,
                "Most that they take on the disk, about 1.5 KiB each; the oldest go first.");
  config.number("reports_per_minute", &https.reports_per_minute, 1, 6'000,
                "Fresh attestation reports for one address; each is a quote of the machine.");

  config.section("access", "Who may use the HTTPS face, and how it is paid.");
  config.text(
      "mode", &access.mode,
      "\"keys\": who is in the keys file, by API key or by Nostr key, each within its budget\n"
      "(`nostril-node keys add`). \"nostr\": also any Nostr key that signs its requests\n"
      "(NIP-98); it has the offer's credit and pays by receipts. \"open\": anybody, for\n"
      "nothing.");
  config.text("keys_file", &access.keys_file,
              "Hashes of API keys, npubs and budgets; a change is seen within a second. Empty:\n"
              "DATA/keys.toml.");
  config.list("urls", &access.urls,
              "https://HOST[:PORT] under which clients reach the face: a signed request must name\n"
              "one of them. Empty: https.url; without that no signed request is taken.");

  config.section(
      "freshness",
      "Beacons (kind 1474): each minute a witness signs an event with an id that nobody\n"
      "could foresee (`nostril beacon run`). Evidence over its id is not older, which a\n"
      "client's policy may require.");
  config.list("beacons", &freshness.beacons,
              "npub of each witness, read from the relays above; the first that is heard counts.\n"
              "Empty: evidence is over random bytes.");
  config.number("refresh_s", &freshness.refresh_s, 5, 3'600,
                "Evidence is made anew over a beacon that is this much newer.");
  config.number("beacon_age_s_max", &freshness.beacon_age_s_max, 10, 86'400,
                "An older beacon is as good as none; the offers go on, and the log says so.");

  config.section("settlement",
                 "Channels on an EVM chain: what users lock there is what they can spend here,\n"
                 "and a contract turns their receipts into money. UNAUDITED: docs/security.md.\n"
                 "Off while contract is empty. Prices and credit are in offer.asset, which names\n"
                 "chain and token. `nostril-node settle status` shows where it stands.");
  settlement.declare(config);
  config.text("payee", &settlement.payee,
              "Address that is paid; its key need not be here. Empty: the account's. Each node of\n"
              "yours has its own.");
  config.text("key_file", &settlement.key_file,
              "Key of the account that sends claims and pays their gas, as `nostril key new`\n"
              "writes it. Empty: DATA/account.nsec, made when it is not there.");
  config.number("claim_at", &settlement.claim_at, 1, INT64_MAX,
                "Claim when receipts are worth so many base units more than what was claimed.\n"
                "About fifty times a claim's gas is reasonable.");
  config.number("claim_least", &settlement.claim_least, 1, INT64_MAX,
                "A channel with less to claim is left for later; above what a row costs in gas.");
  config.number("claim_after_s", &settlement.claim_after_s, 60, 31'536'000,
                "Claim at the latest so long after the last claim. Where a user asks to close,\n"
                "his channel is claimed at once, whatever stands above.");

  config.list(
      "split", &settlement.split,
      "Who gets how much of what is claimed, as \"0x…=BASIS POINTS\" (10000 are all): model\n"
      "owner, operator, relay. Claims then go into the account's pool in the contract,\n"
      "and are paid from there; what is not given away stays in it. Without payee.");
  config.number("split_at", &settlement.split_at, 1, INT64_MAX,
                "Base units that somebody is owed before they are sent.");
  config.number(
      "refund_at", &settlement.refund_at, 0, INT64_MAX,
      "Where a user asked to close and all receipts are claimed, give back at once what is\n"
      "left, from so many base units on, and spare him the day that the contract has him\n"
      "wait; the gas is yours. 0: never. Needs the payee's own key here (no payee, or the\n"
      "account's).");

  config.section(
      "lightning",
      "Deposits over Lightning: users pay an invoice of your wallet service in advance and\n"
      "get back what they don't spend. UNAUDITED. Off while nwc_file is empty. offer.asset is\n"
      "then \"msat\", and so are prices and credit.");
  config.text("nwc_file", &lightning.nwc_file,
              "File (mode 0600) with a nostr+walletconnect:// line that may make_invoice and\n"
              "lookup_invoice.");
  config.text("refund_nwc_file", &lightning.refund_nwc_file,
              "Another one that may pay_invoice and lookup_invoice, with a budget of its own:\n"
              "refunds. Empty: the one above pays them.");
  config.text("network", &lightning.network, "bc, tb (testnet), tbs (signet) or bcrt (regtest).");
  config.number(
      "step", &lightning.step, 0, 1'000'000'000,
      "What a channel may come to before anything was deposited: lost when its user goes\n"
      "away, and anybody can have many channels. 0: paid in advance.");
  config.number("deposit_max", &lightning.deposit_max, 1'000, 1'000'000'000'000,
                "Most of one deposit, msat: you hold it for the user.");

  config.section("metrics", "What the node counts, for its operator.");
  config.text("listen", &metrics.listen,
              "ADDRESS:PORT on loopback that answers GET /metrics (Prometheus) and /healthz.\n"
              "Empty: nothing listens. No prompt, answer or client key is in it.");

  config.section("limits", "Bounds of this process.");
  config.number("sessions_max", &limits.sessions_max, 1, 10'000,
                "Sessions kept at a time, those that end among them; more are refused as busy.\n"
                "200 KiB each while they stream, 1 MiB at most.");
  config.number(
      "running_max", &limits.running_max, 1, 1'000,
      "Requests inside one engine at a time. Beneath it the node learns from the engine's\n"
      "own figures how many it computes without letting them wait.");
  config.number(
      "running_start", &limits.running_start, 1, 1'000,
      "What it begins with, and keeps to at an engine without figures (Ollama; llama.cpp\n"
      "and SGLang without their options for metrics).");
  config.number("waiting_max", &limits.waiting_max, 1, 10'000,
                "Requests that wait for one engine, shared fairly among payers.");
  config.number("wait_s_max", &limits.wait_s_max, 1, 3'600,
                "Who would wait longer, by what requests took until now, is told at once when to\n"
                "come again.");
  config.number(
      "answer_tokens_s_min", &limits.answer_tokens_s_min, 0, 10'000,
      "Tokens a second that each answer is to get: fewer requests are let in while an engine\n"
      "that counts its tokens (vLLM, SGLang, llama.cpp) makes less. 0: as it comes.");
  config.number("key_life_s", &limits.key_life_s, 30, 3'600,
                "Seconds that an encryption key lives. A new one comes at half of it.");
  config.number("receipt_wait_s", &limits.receipt_wait_s, 1, 600,
                "Seconds to wait for a receipt before an unpaid answer is stopped.");
  config.number("client_lost_s", &limits.client_lost_s, 1, 600,
                "Seconds without a word from the client before its answer is stopped.");
  config.number("drain_s", &limits.drain_s, 1, 86'400,
                "Seconds that running answers have after SIGUSR1: offers are withdrawn, nothing\n"
                "new is begun, and the node ends when the last answer has.");
  config.number(
      "answers_kept_s", &limits.answers_kept_s, 3'600, 604'800,
      "Seconds that a finished answer is kept, sealed: the same request again gets the same\n"
      "answer and is charged once. As long can one be picked up from relays.");
  config.number("answers_mib_max", &limits.answers_mib_max, 1, 1 << 20,
                "MiB of them on the disk; the oldest go first.");
  config.number(
      "records_days", &limits.records_days, 1, 36'500,
      "Days that the journal keeps records and receipts, but for the newest of each channel\n"
      "with an accepted receipt, which stay; and channels that nobody signed a receipt for.");
}

}  // namespace nostril::node
