#pragma once

#include "base/config.h"
#include "client/chain/settings.h"
#include "node/collateral.h"
#include "node/evidence_source.h"
#include "node/exchange_store.h"
#include "node/manifest.h"
#include "settlement/split.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace nostril::node {

using RevenueShare = settlement::Share;

/// Everything an operator sets. Read once at the start; comments and defaults: --print-config.
struct NodeConfig {
  /// From that TOML file; empty: the defaults. Throws ConfigError.
  [[nodiscard]] static NodeConfig read(const std::string& path);

  std::vector<std::string> relays = {"ws://127.0.0.1:7447"};
  std::string ca_file;
  std::string data = "nostril-node-data";
  std::string log_level = "info";
  std::string log_format = "text";

  /// Which source: "auto", "dstack", "tsm", "sev-guest" or "simulated".
  std::string evidence = "auto";

  struct Tee {
    std::string simulated_platform = "tdx";
    std::string simulated_compose;
    std::string dstack_socket = "/var/run/dstack.sock";
    std::string nvml_library = kNvmlLibrary;
    std::string nscq_library = kNscqLibrary;
    std::int64_t simulated_gpus = 0;
    std::int64_t simulated_switches = 0;
  } tee;

  struct CollateralServices {
    std::string intel_url = CollateralSettings{}.intel_url;
    std::string intel_root_crl_url = CollateralSettings{}.intel_root_crl_url;
    std::string amd_url = CollateralSettings{}.amd_url;
    std::string nvidia_url = CollateralSettings{}.nvidia_url;
    std::string nvidia_ocsp_url = CollateralSettings{}.nvidia_ocsp_url;
    std::string folder;
    std::string ca_file;
    std::int64_t refresh_hours = 12;
  } collateral;

  /// An engine and how its models are offered.
  struct EngineSettings {
    std::string url;
    std::string api_key;
    std::vector<std::string> models;  ///< empty: all that the engine names
    bool first_model_only = false;    ///< of an empty `models`
    std::string weights_folder;
    bool weights_verity = false;
    std::vector<std::string> weight_files;
    std::int64_t manifest_threads = 0;
    bool warm_up = true;
    // What differs from [offer]; as it stands there: -1, and 0 for the tokens.
    std::int64_t input_price = -1;
    std::int64_t cached_price = -1;
    std::int64_t output_price = -1;
    std::int64_t output_tokens_max = 0;
    std::vector<std::string> paths;  ///< empty: those of endpoint.h that are open by default
    std::vector<std::string> media_hosts;
    bool prompt_cache_shared = false;
  };

  /// [engine]: the only engine; what it is when nothing is configured.
  struct SingleEngine : EngineSettings {
    std::string model;
    std::string demo_folder;
    std::string demo_model;
    std::int64_t demo_slow_ms = 0;
  } engine;

  /// [[engine]]: several, in place of [engine].
  std::vector<EngineSettings> engines;
  static constexpr std::size_t kEnginesMax = 16;

  struct OfferSettings {
    std::string profile = "default";
    std::string asset = "msat";
    std::int64_t input_price = 100'000;
    std::int64_t cached_price = 50'000;
    std::int64_t output_price = 400'000;
    std::int64_t request_price = 0;
    std::int64_t session_price = 0;
    std::int64_t second_price = 0;
    std::int64_t credit = 1'000;
    std::int64_t output_tokens_max = 4096;
    std::string operator_key;
    std::int64_t load_s = 15;
    bool auditable = false;
    std::vector<std::string> paths;  ///< EngineSettings::paths, by terms_of(); not in the file
  } offer;

  /// [settlement]: receipts that a contract pays (docs/money.md). On when `contract` is set.
  struct Settlement : client::chain::ChainSettings {
    std::string payee;
    std::string key_file;
    std::int64_t claim_at = 10'000'000;
    std::int64_t claim_least = 1;
    std::int64_t claim_after_s = 86'400;
    std::vector<std::string> split;
    std::int64_t split_at = 10'000'000;
    std::int64_t refund_at = 0;

    /// Of key_file, once it was read: the payee where none is named. Not a key of the file.
    std::optional<EthereumAddress> account;

    [[nodiscard]] bool enabled() const { return !contract.empty(); }

    /// Of `split`; nothing when it is none.
    [[nodiscard]] std::optional<std::vector<RevenueShare>> shares() const;
  } settlement;

  /// [lightning]: deposits over a wallet service (lightning_desk.h).
  struct Lightning {
    std::string nwc_file;
    std::string refund_nwc_file;
    std::string network = "bc";
    std::int64_t step = 0;
    std::int64_t deposit_max = 5'000'000;

    [[nodiscard]] bool enabled() const { return !nwc_file.empty(); }
  } lightning;

  /// [access]: who may use the HTTPS face (api_access.h).
  struct Access {
    std::string mode = "keys";
    std::string keys_file;
    std::vector<std::string> urls;
  } access;

  /// [https]: OpenAI's API over TLS, for clients that come without a relay.
  struct Https {
    std::string listen;
    std::string url;
    std::vector<std::string> names = {"localhost", "127.0.0.1"};
    std::string certificate_file;
    std::string key_file;
    std::int64_t connections_max = 512;
    std::int64_t connections_per_peer_max = 64;
    std::int64_t body_bytes_max = 8 << 20;
    std::int64_t signature_days = 30;
    std::int64_t signature_mib_max = 1024;
    std::int64_t reports_per_minute = 30;
  } https;

  struct Freshness {
    std::vector<std::string> beacons;
    std::int64_t refresh_s = 240;
    std::int64_t beacon_age_s_max = 600;
  } freshness;

  struct Limits {
    std::int64_t sessions_max = 1'024;
    std::int64_t running_max = 256;
    std::int64_t running_start = 16;
    std::int64_t waiting_max = 256;
    std::int64_t wait_s_max = 60;
    std::int64_t answer_tokens_s_min = 0;
    std::int64_t key_life_s = 3300;
    std::int64_t receipt_wait_s = 30;
    std::int64_t client_lost_s = 15;
    std::int64_t drain_s = 600;
    std::int64_t answers_kept_s = 86'400;
    std::int64_t answers_mib_max = 1024;
    std::int64_t records_days = 90;
  } limits;

  struct Metrics {
    std::string listen;
  } metrics;

  [[nodiscard]] EvidenceSettings evidence_settings() const;
  [[nodiscard]] CollateralSettings collateral_settings() const;
  [[nodiscard]] ExchangeLimits exchange_limits() const;
  /// What offers say of it; none when it is off. Without a problem() and with a payee.
  [[nodiscard]] std::optional<EvmRail> rail() const;
  [[nodiscard]] std::optional<LightningRail> lightning_rail() const;
  [[nodiscard]] std::filesystem::path account_file() const;
  [[nodiscard]] std::filesystem::path keys_file() const;
  [[nodiscard]] ManifestSettings manifest_settings(const EngineSettings& engine) const;
  /// [engine] as one of several.
  [[nodiscard]] EngineSettings single_engine() const;
  /// What the models of `engine` are offered for.
  [[nodiscard]] OfferSettings terms_of(const EngineSettings& engine) const;

  /// Keys of freshness.beacons; nothing when one of them is none.
  [[nodiscard]] std::optional<std::vector<PublicKey>> witnesses() const;

  /// What can't be offered as it stands here, as a line for the operator.
  [[nodiscard]] std::optional<std::string> problem() const;

  /// Binds the fields to their keys. `this` must outlive the Config.
  void declare(Config& config);
};

/// The fields of one [[engine]].
void declare_one_of_several(Config& config, NodeConfig::EngineSettings& engine);

}  // namespace nostril::node
