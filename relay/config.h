#pragma once

#include "base/config.h"
#include "net/server.h"
#include "net/url.h"
#include "relay/admin_rules.h"
#include "relay/admission.h"
#include "relay/authentication.h"
#include "relay/cluster/cluster_options.h"
#include "relay/guard.h"
#include "relay/guard_config.h"
#include "relay/ingest.h"
#include "relay/membership.h"
#include "relay/query_pool.h"
#include "relay/relay_address.h"
#include "relay/session.h"
#include "relay/sync/mirror.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nostril::relay {

/// Everything an operator may set, with the defaults. `--print-config` shows it with comments.
struct RelayConfig {
  std::string listen = "127.0.0.1:7447";
  std::string data = "nostril-relay-data";
  std::string url;
  std::string tls_certificate;
  std::string tls_key;
  std::string log_level = "info";
  std::string log_format = "text";
  bool metrics = true;

  struct Info {
    std::string name = "Nostril relay";
    std::string description = "A Nostr relay";
    std::string pubkey;
    std::string contact;
    std::string icon;
    std::string banner;
    std::string terms_of_service;
  } info;

  struct Threads {
    std::int64_t loops = 0;
    std::int64_t verifiers = 0;
    std::int64_t queries = 2;
  } threads;

  struct Limits {
    std::int64_t connections_max = 20'000;
    std::int64_t message_bytes_max = 512 << 10;
    std::int64_t pending_bytes_max = 8 << 20;
    std::int64_t socket_bytes_max = 256 << 10;
    std::int64_t event_bytes_max = 512 << 10;
    std::int64_t event_tags_max = 5'000;
    std::int64_t content_chars_max = 100 << 10;
    std::int64_t subscriptions_max = 64;
    std::int64_t filters_max = 20;
    std::int64_t filter_values_max = 20'000;
    std::int64_t limit_default = 500;
    std::int64_t limit_max = 5'000;
    std::int64_t count_visits_max = 1'000'000;
    std::int64_t held_events_max = 4'096;
    std::int64_t publishes_under_way_max = 256;
    std::int64_t events_a_second_max = 0;
    std::int64_t events_burst_max = 100;
    std::int64_t faults_a_second_max = 5'000;
    std::int64_t faults_burst_max = 10'000;
    std::int64_t created_at_future_s_max = 900;
    std::int64_t created_at_past_s_max = 0;
    std::int64_t stored_under_way_max = 4'096;
    std::int64_t ephemeral_under_way_max = 4'096;
    std::int64_t queries_queued_max = 1'024;
    std::int64_t write_stall_s_max = 60;
  } limits;

  struct Negentropy {
    std::int64_t events_max = 1'000'000;
    std::int64_t events_in_all_max = 4'000'000;
    std::int64_t open_max = 4;
    std::int64_t idle_s_max = 60;
  } negentropy;

  struct StoreFiles {
    bool log = true;
    std::int64_t cache_bytes = std::int64_t{128} << 20;
    std::int64_t map_bytes = std::int64_t{1} << 30;
  } store;

  struct Net {
    bool compression = true;
    bool compress_stored = false;
    std::int64_t compression_level = 1;
    std::int64_t compression_window_bits = 15;
    std::int64_t compression_bytes_min = 150;
    bool eose_hints = false;
    std::int64_t handshake_s_max = 10;
    std::int64_t ping_after_s = 60;
    std::int64_t pong_wait_s_max = 30;
  } net;

  struct Policy {
    std::vector<std::string> blocked_kinds;
    std::vector<std::string> blocked_authors;
    std::vector<std::string> allowed_authors;
    std::vector<std::string> open_kinds = {"10002"};
    std::int64_t work_bits_min = 0;
  } policy;

  struct Search {
    bool enabled = true;
  } search;

  struct Auth {
    std::vector<std::string> private_kinds = {"4", "1059", "21059"};
    bool to_read = false;
    bool to_write = false;
  } auth;

  struct Admin {
    std::vector<std::string> keys;
    bool ban_deletes = true;
  } admin;

  struct Membership {
    bool enabled = false;
    std::string invites = "members";
    std::int64_t invite_hours = 168;
  } membership;

  struct Cluster {
    std::string name;
    std::string relay;
    std::vector<std::string> servers;
    std::string credentials;
    std::string user;
    std::string password_file;
    std::string tls_ca;
    std::string tls_certificate;
    std::string tls_key;
    bool allow_insecure = false;
    std::int64_t replicas = 3;
    std::int64_t stream_bytes_max = std::int64_t{64} << 30;
    std::int64_t stream_age_days_max = 7;
    std::int64_t ack_wait_s = 5;
    std::string when_away = "refuse";
    std::int64_t outbox_events_max = 100'000;
    std::string join = "auto";
    bool verify_stream = false;
  } cluster;

  /// One `[[mirror]]`.
  struct MirrorTable {
    std::string url;
    std::string direction = "down";
    std::string filter = "{}";
    std::int64_t sync_every_s = 3'600;
    std::string ca;
    std::string key;
  };

  std::vector<MirrorTable> mirrors;

  GuardConfig guard;

  /// No setting: where its sockets listen. The relay knows it when they do; empty: as `listen`
  /// says.
  std::vector<net::HostPort> listening;

  /// Declares the fields; `config` must not outlive this object.
  void declare(Config& config);

  // The parts of it in their users' terms. Throw ConfigError where a text means nothing.
  [[nodiscard]] unsigned loop_threads() const;
  [[nodiscard]] net::ListenConfig listen_config() const;
  [[nodiscard]] net::ServerLimits server_limits() const;
  [[nodiscard]] SessionLimits session_limits() const;
  [[nodiscard]] AdmissionRules admission_rules() const;
  [[nodiscard]] AuthRules auth_rules() const;
  [[nodiscard]] AdminRules admin_rules() const;
  [[nodiscard]] MembershipRules membership_rules() const;
  [[nodiscard]] StoreOptions store_options() const;
  [[nodiscard]] IngestOptions ingest_options() const;
  [[nodiscard]] QueryPoolOptions query_options() const;
  [[nodiscard]] std::vector<MirrorOptions> mirror_options() const;
  /// Reads the password's file.
  [[nodiscard]] ClusterOptions cluster_options() const;

  [[nodiscard]] GuardRules guard_rules() const { return guard.rules(); }

  /// What the relay is called in requests that name it: `url`. Where that is empty, sockets on
  /// loopback only and neither trusted proxies nor a cluster: any loopback name with their port.
  /// Nothing: it can't know, and offers no authentication.
  [[nodiscard]] std::optional<RelayAddress> address() const;
  /// The same as URLs, the first one to be shown; empty: there is none.
  [[nodiscard]] std::vector<std::string> urls() const;

  /// All of these, for what they throw.
  void check() const;

 private:
  [[nodiscard]] std::optional<net::HostPort> only_local() const;
};

}  // namespace nostril::relay
