#include "node/config.h"

#include "base/hex.h"
#include "events/inference.h"
#include "events/nip19.h"
#include "events/tag_reader.h"

#include <algorithm>

namespace nostril::node {

namespace {

/// A relay takes about as many filters in one subscription.
constexpr std::size_t kWitnessesMax = 16;

}  // namespace

EvidenceSettings NodeConfig::evidence_settings() const {
  EvidenceSettings out;
  out.source = evidence;
  out.simulated_platform = tee.simulated_platform;
  out.simulated_compose = tee.simulated_compose;
  out.paths.dstack_socket = tee.dstack_socket;
  out.nvml_library = tee.nvml_library;
  return out;
}

CollateralSettings NodeConfig::collateral_settings() const {
  constexpr std::int64_t kSecondsPerHour = 3600;
  CollateralSettings out;
  out.intel_url = collateral.intel_url;
  out.intel_root_crl_url = collateral.intel_root_crl_url;
  out.amd_url = collateral.amd_url;
  out.nvidia_url = collateral.nvidia_url;
  out.store.folder = collateral.folder.empty() ? std::filesystem::path(data) / "collateral"
                                               : std::filesystem::path(collateral.folder);
  out.store.ca_file = collateral.ca_file;
  out.store.refresh_s = collateral.refresh_hours * kSecondsPerHour;
  return out;
}

ManifestSettings NodeConfig::manifest_settings() const {
  ManifestSettings out;
  out.folder = engine.weights_folder;
  out.files.assign(engine.weight_files.begin(), engine.weight_files.end());
  out.threads = static_cast<unsigned>(engine.manifest_threads);
  out.cache = std::filesystem::path(data) / "manifest";
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
  if (!is_name(offer.profile, InferenceLimits::kProfileBytesMax)) {
    return "offer.profile: 1 to 32 printable characters without spaces";
  }
  if (!is_name(offer.asset, InferenceLimits::kAssetBytesMax)) {
    return "offer.asset: 1 to 96 printable characters without spaces";
  }
  if (!witnesses()) return "freshness.beacons: up to 16 keys as npub1…";
  if (freshness.refresh_s >= freshness.beacon_age_s_max) {
    return "freshness.refresh_s: must be below freshness.beacon_age_s_max";
  }
  const std::int64_t dearest =
      std::max({offer.input_price, offer.cached_price, offer.output_price});
  if (offer.credit < dearest / 1'000'000 + (dearest % 1'000'000 == 0 ? 0 : 1)) {
    return "offer.credit: must cover one token at these prices, or nothing can be served";
  }
  if (!offer.operator_key.empty() && !from_hex<PublicKey>(offer.operator_key)) {
    return "offer.operator: a public key of 64 lowercase hex digits";
  }
  return std::nullopt;
}

void NodeConfig::declare(Config& config) {
  config.section("", "nostril-node: serves an OpenAI-compatible engine to a Nostr relay network.");
  config.list("relays", &relays, "Relays that this node dials out to; it needs no open port.");
  config.text("ca_file", &ca_file,
              "PEM file of the roots that wss:// relays are checked against; empty: the system's.");
  config.text("data", &data, "Folder for the node's identity and its journal of receipts.");
  config.text("log_level", &log_level, "debug, info, warning, error or off.");

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
  config.text("api_key", &engine.api_key, "Sent to the engine as a bearer token.");
  config.text("model", &engine.model, "Which of the engine's models to serve; empty: the first.");
  config.text("weights_folder", &engine.weights_folder,
              "Folder of the model's weights and tokenizer, on this machine: the digest of their\n"
              "manifest goes into the attested statement. No symbolic links. Empty: see the next.");
  config.list("weight_files", &engine.weight_files,
              "The same as single files. Both empty: no claim about the weights is made.");
  config.number("manifest_threads", &engine.manifest_threads, 0, 256,
                "Threads that hash the weights at the start; 0: one a core.");
  config.text("demo_folder", &engine.demo_folder,
              "Folder of the demo engine (node/demo_engine of the source tree). Empty: none.");
  config.text("demo_model", &engine.demo_model,
              "A GGUF file for the demo engine; empty: its own 1 MB model.");
  config.number("demo_slow_ms", &engine.demo_slow_ms, 0, 10'000,
                "Milliseconds that the demo engine waits before each token: for tests of faults.");

  config.section("offer", "What is offered and at what price.");
  config.text("profile", &offer.profile, "Names one of several ways of serving a model.");
  config.text("asset", &offer.asset, "What prices are in: msat is a thousandth of a satoshi.");
  config.number("input_price", &offer.input_price, 0, INT64_MAX,
                "Base units for 1,000,000 prompt tokens.");
  config.number("cached_price", &offer.cached_price, 0, INT64_MAX,
                "The same for prompt tokens found in the engine's prefix cache.");
  config.number("output_price", &offer.output_price, 0, INT64_MAX,
                "The same for generated tokens.");
  config.number("credit", &offer.credit, 0, INT64_MAX,
                "Base units that a client may owe before a signed receipt is asked for.");
  config.number("output_tokens_max", &offer.output_tokens_max, 1, 1 << 24,
                "Most tokens of one answer, as stated in the offer.");
  config.text("operator", &offer.operator_key,
              "Your own public key (64 hex), to which reputation attaches. Empty: none.");

  config.flag("auditable", &offer.auditable,
              "Records state seed and sampling, so that who has the weights can repeat an answer;\n"
              "a request without a seed gets one. Needs weights, and an engine that says its\n"
              "version and gives the same answer for the same seed.");

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

  config.section("limits", "Bounds of this process.");
  config.number("sessions_max", &limits.sessions_max, 1, 10'000,
                "Sessions kept at a time, about 1 MiB each at most; more are refused as busy.");
  config.number("running_max", &limits.running_max, 1, 1'000,
                "Requests inside the engine at a time; more wait in their order.");
  config.number("key_life_s", &limits.key_life_s, 60, 3'600,
                "Seconds that an encryption key lives. A new one comes at half of it.");
  config.number("receipt_wait_s", &limits.receipt_wait_s, 1, 600,
                "Seconds to wait for a receipt before an unpaid answer is stopped.");
  config.number("client_lost_s", &limits.client_lost_s, 1, 600,
                "Seconds without a word from the client before its answer is stopped.");
}

}  // namespace nostril::node
