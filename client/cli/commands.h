#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/api_keys.h"
#include "client/home.h"
#include "client/home_config.h"
#include "net/loop.h"
#include "schnorr/encrypted_key.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

/// The sub-commands of `nostril`. Each returns the process' exit status: 0 done, 1 failed (a line
/// on standard error says why), 2 wrong usage, 3 verified under a test root only. Answers and data
/// go to standard output, everything said to a person to standard error.
namespace nostril::client::cli {

/// Clock, randomness and loop of the process; one of each.
struct Process {
  SystemClock clock;
  SystemRng rng;
  net::Loop loop;
};

/// `nostril key …`: secret keys in files, plain or under a passphrase (client/key_file.h).
struct KeyOptions {
  std::string file;
  bool encrypt = false;
  bool secret = false;  ///< print the plain secret key
  std::int64_t scrypt_log_n = kScryptLogNDefault;
};

int key_new(const KeyOptions& options);
int key_show(const KeyOptions& options);
int key_export(const KeyOptions& options);
/// The key comes from standard input.
int key_import(const KeyOptions& options);
/// In place; of an encrypted file: another passphrase.
int key_encrypt(const KeyOptions& options);
int key_decrypt(const KeyOptions& options);
int key_decode(const std::string& code);

/// What a command line says of the settings; the home's config.toml says the rest.
struct SettingsOptions {
  std::vector<std::string> relays;
  std::string ca_file;
  std::vector<std::string> test_roots;
  std::string policy;
  bool allow_unchecked_tcb = false;
  std::optional<std::int64_t> budget;
};

/// The line's word before the file's.
[[nodiscard]] ClientSettings with_config(const SettingsOptions& options, const HomeConfig& config,
                                         const std::filesystem::path& home);

/// `nostril init`: asks for what is not named, and writes a new home.
struct InitOptions {
  std::vector<std::string> relays;
  std::string ca_file;
  std::vector<std::string> test_roots;
  std::optional<std::int64_t> budget;
  std::string level;  ///< level_min of the policy
  std::string identity;
  bool encrypt = false;  ///< the payment key
  bool yes = false;      ///< ask nothing
  bool check = true;     ///< `doctor` at the end
};

int init(Process& process, const std::filesystem::path& home, InitOptions options);

/// What a user would have to look at, line by line. 0 all is well, 1 warnings, 2 something is
/// wrong.
struct DoctorOptions {
  SettingsOptions settings;
  bool json = false;
};

int doctor(Process& process, const std::filesystem::path& home, const DoctorOptions& options);

struct EventOptions {
  std::int64_t kind = 1;
  std::string content;
  std::vector<std::string> tags;    ///< NAME=VALUE[,VALUE…]
  std::string key_file;             ///< or bunker://…
  std::vector<std::string> relays;  ///< none: print only
  std::string ca_file;
  bool from_stdin = false;  ///< publish signed events, one JSON a line
};

int event(Process& process, const std::filesystem::path& home, const EventOptions& options);

struct RequestOptions {
  std::vector<std::string> relays;
  std::string ca_file;
  std::string filter;  ///< JSON; else from the fields below
  std::vector<std::string> ids;
  std::vector<std::string> authors;
  std::vector<std::int64_t> kinds;
  std::vector<std::string> tags;
  std::optional<std::int64_t> since;
  std::optional<std::int64_t> until;
  std::optional<std::int64_t> limit;
  bool follow = false;  ///< go on after the stored events
};

int request(Process& process, const RequestOptions& options);

/// `nostril message …`: one NIP-44 message from standard input to standard output.
struct MessageOptions {
  std::string key_file;  ///< or bunker://…
  std::string peer;      ///< npub
  std::string ca_file;
  bool open = false;
};

int message(Process& process, const std::filesystem::path& home, const MessageOptions& options);

/// Beacons, kind 1474: until SIGTERM, or one.
struct BeaconOptions {
  std::string key_file;  ///< the witness'
  std::vector<std::string> relays;
  std::string ca_file;
  std::int64_t period_s = 60;
  bool once = false;  ///< also print it; no relays: only that
};

int beacon(Process& process, const BeaconOptions& options);

struct OffersOptions {
  bool explain = false;
  bool json = false;  ///< client/offers_json.h
};

int offers(Process& process, const ClientSettings& settings, const OffersOptions& options);

struct ChatOptions {
  std::string model;
  std::string question;
  std::string system;
  std::int64_t tokens_max = 512;
  std::string save;      ///< folder for the exact bytes and the proofs
  bool durable = false;  ///< may be picked up later
  bool quiet = false;    ///< hide when and how much is said
  bool detach = false;   ///< leave as soon as the node has the request; durable
};

int chat(Process& process, const ClientSettings& settings, const ChatOptions& options);

struct PickupOptions {
  std::string save;  ///< folder for the newest answer's exact bytes and proofs
  bool list = false;
};

/// Answers of `chat --durable`. 0: all that wait were fetched, 1: some were not.
int pickup(Process& process, const ClientSettings& settings, const PickupOptions& options);

struct VerifyOptions {
  std::string answer;  ///< files; this one holds record, receipt, request and response
  std::string record;
  std::string request;
  std::string response;
  std::string offer;
  std::string attestation;
  std::vector<std::string> documents;  ///< that the attestation names
  std::string receipt;
};

/// A saved answer by its files. 0 right, 1 wrong, 2 unusable input, 3 right but simulated.
int verify(Process& process, const ClientSettings& settings, const VerifyOptions& options);

/// Evidence from files, judged without a network. 0 accepted, 1 refused, 2 unusable input.
struct EvidenceOptions {
  std::string quote;  ///< files
  std::string collateral;
  std::string report;
  std::string vcek;
  std::string chain;
  std::string crl;
  std::vector<std::string> collaterals;
  std::vector<std::string> gpu_reports;  ///< with `gpu_chains`, GPU by GPU
  std::vector<std::string> gpu_chains;
  std::vector<std::string> switch_reports;  ///< with `switch_chains`, NVSwitch by NVSwitch
  std::vector<std::string> switch_chains;
  std::vector<std::string> rims;
  std::vector<std::string> ocsp;
  std::string ocsp_nonce;  ///< hex
  std::string peer_spki;   ///< hex or a file
  std::string url;         ///< in place of `report`: where to ask for it
  std::string ca_file;     ///< of that call, as the next three
  std::string api_key;     ///< file
  std::string save;        ///< file for the answer's exact bytes
  std::int64_t timeout_s = 30;
  bool fetch_collateral = false;
  std::string intel_url;  ///< of that, as the next; empty: the vendor's own
  std::string amd_url;
  std::string token;
  std::string key_set;
  std::string policy;
  std::vector<std::string> roots;  ///< in place of the built-in ones; mark the verdict
  std::string nonce;  ///< hex; the end of report_data, or what the GPU was asked to sign
  std::string node;   ///< npub
  std::string model;
  std::string html;  ///< file to write
  std::optional<std::int64_t> now;
  bool json = false;
  bool explain = false;
};

int verify_intel(Process& process, const EvidenceOptions& options);
int verify_snp(Process& process, const EvidenceOptions& options);
int verify_gpu(Process& process, const EvidenceOptions& options);
/// Evidence of a node as its relays have it; also 3: accepted, and simulated.
int verify_offer(Process& process, const ClientSettings& settings, const EvidenceOptions& options);
int verify_report(Process& process, const EvidenceOptions& options);
int verify_nras(Process& process, const EvidenceOptions& options);
int print_policy();

/// Known-good lists, kind 31473.
struct KnownGoodOptions {
  std::string name;
  std::string key_file;
  std::string reason;
  std::int64_t days = 90;
  std::vector<std::string> allow;  ///< "SUBJECT NAME=HEX,… [MODEL]"
  std::vector<std::string> deny;
  std::string node;  ///< npub: also what its evidence names
  std::string model;
  std::string registers = "mrtd,rtmr0,rtmr1,rtmr2,rtmr3,mrconfigid,measurement,host_data,compose";
  bool machine = false;
};

/// Prints the signed list.
int make_known_good(Process& process, const ClientSettings& settings,
                    const KnownGoodOptions& options);
int show_known_good(Process& process, const std::string& file);
/// 0: it counts under the settings' policy.
int check_known_good(Process& process, const ClientSettings& settings, const std::string& file);

/// A model manifest and files of the model. 0 right, 1 wrong, 2 unusable input.
struct ManifestOptions {
  std::string manifest;            ///< file
  std::string digest;              ///< hex; what it must have
  std::vector<std::string> files;  ///< to be checked by it
  std::string name;                ///< of the file in the manifest; empty: by its path
  std::string proof;               ///< file; the one of `files` is then a single leaf
};

int verify_manifest(const ManifestOptions& options);

int receipts(Process& process, const ClientSettings& settings, bool json);

/// Money on a chain: HOME/wallet.toml says which (client/chain/wallet.h).
struct WalletOptions {
  std::string amount;   ///< base units
  std::string node;     ///< npub
  std::string channel;  ///< hex; close: or the file of an order
  std::string to;       ///< address
  std::string signer;   ///< npub; empty: this home's payment key
  std::string payer;    ///< address; empty: the own account
  std::string file;     ///< of an order
  std::int64_t valid_s = 86'400;
  bool csv = false;
  bool json = false;
};

int wallet_config();
int wallet_balance(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_deposit(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_withdraw(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_open(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_top_up(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_close(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_allow(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_order(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_bring(Process& process, const ClientSettings& settings, const WalletOptions& options);
// Of a wallet service (NIP-47), for nodes that take deposits over Lightning; amounts in msat.
int lightning_balance(Process& process, const ClientSettings& settings,
                      const WalletOptions& options);
int lightning_deposit(Process& process, const ClientSettings& settings,
                      const WalletOptions& options);
int lightning_refund(Process& process, const ClientSettings& settings,
                     const WalletOptions& options);
int lightning_history(Process& process, const ClientSettings& settings,
                      const WalletOptions& options);
int wallet_channels(Process& process, const ClientSettings& settings, const WalletOptions& options);
int wallet_history(Process& process, const ClientSettings& settings, const WalletOptions& options);

/// `nostril reputation …`: docs/reputation.md.
struct ReputationOptions {
  std::string node;      ///< npub; show: empty: all
  std::string file;      ///< check: a proof; flag, approve: a record; empty: the home's newest
  std::string reason;    ///< flag
  std::string note;      ///< for people
  std::string key_file;  ///< or bunker://…
  bool json = false;
  bool publish = true;
};

int reputation_show(Process& process, const ClientSettings& settings,
                    const ReputationOptions& options);
int reputation_flag(Process& process, const ClientSettings& settings,
                    const ReputationOptions& options);
int reputation_approve(Process& process, const ClientSettings& settings,
                       const ReputationOptions& options);
/// By the file alone. 0 it proves fraud, 1 it does not, 2 unusable input.
int reputation_check(const ClientSettings& settings, const ReputationOptions& options);

/// `nostril probe`: asks nodes as any user would, and looks at what they sign.
struct ProbeOptions {
  std::vector<std::string> nodes;  ///< npub
  bool all = false;
  std::string model;     ///< empty: each that a node offers
  std::string key_file;  ///< who approves and flags; empty: only proofs are published
  bool publish = true;
  bool json = false;
};

/// 0 all nodes did well, 1 some did not.
int probe(Process& process, const ClientSettings& settings, const ProbeOptions& options);

struct GatewayOptions {
  std::string listen;              ///< ADDRESS:PORT
  std::vector<std::string> hosts;  ///< GatewaySettings::hosts
  std::string tls_cert;            ///< PEM files; empty: no TLS
  std::string tls_key;
  std::optional<std::int64_t> hedge_ms;
  std::string rules;  ///< file (gateway/model_rules.h); empty: none
};

/// What `options` leaves open is as the home's config.toml has it.
int gateway(Process& process, const ClientSettings& settings, const HomeConfig& config,
            const GatewayOptions& options);

/// `nostril keys …`: who may use the gateway. They change the home's keys file only; a running
/// gateway sees that within a second.
struct KeysOptions {
  std::string name;
  ApiBudget budget;
  bool json = false;
};

[[nodiscard]] std::filesystem::path keys_file_of(const std::filesystem::path& home);
/// Prints the new key, which is shown nowhere else.
int keys_add(const std::filesystem::path& home, const KeysOptions& options);
/// Names, budgets, and what was used of them.
int keys_list(const std::filesystem::path& home, const KeysOptions& options);
int keys_revoke(const std::filesystem::path& home, const KeysOptions& options);

/// `nostril apps …`: other programs' configuration (client/apps/app_list.h), a key for each.
struct AppsOptions {
  std::string name;
  std::vector<std::string> models;  ///< none: what verified nodes offer
  bool print = false;               ///< only show
};

int apps_add(Process& process, const ClientSettings& settings, const HomeConfig& config,
             const AppsOptions& options);
int apps_list(const ClientSettings& settings, const HomeConfig& config);
int apps_remove(const ClientSettings& settings, const HomeConfig& config,
                const AppsOptions& options);

}  // namespace nostril::client::cli
