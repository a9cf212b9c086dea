#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/home.h"
#include "net/loop.h"

#include <cstdint>
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

// key
int key_new(const std::string& file);
int key_show(const std::string& file, bool secret);
int key_decode(const std::string& code);

struct EventOptions {
  std::int64_t kind = 1;
  std::string content;
  std::vector<std::string> tags;  ///< NAME=VALUE[,VALUE…]
  std::string key_file;
  std::vector<std::string> relays;  ///< none: print only
  std::string ca_file;
  bool from_stdin = false;  ///< publish signed events, one JSON a line
};

int event(Process& process, const EventOptions& options);

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
  std::string record;  ///< files
  std::string request;
  std::string response;
  std::string offer;
  std::string attestation;
  std::string receipt;
};

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

int gateway(Process& process, const ClientSettings& settings, const std::string& listen);

}  // namespace nostril::client::cli
