#pragma once

#include "base/config.h"
#include "events/messages.h"
#include "net/server.h"

#include <cstdint>
#include <string>
#include <vector>

namespace nostril::relay {

/// Everything an operator sets. Read once at the start; comments and defaults: --print-config.
/// What NIP-11 advertises as `limitation` is read from here, so it is what is enforced.
struct RelayConfig {
  std::string listen = "127.0.0.1:7447";
  std::string data = "nostril-relay-data";
  std::string url;
  std::string log_level = "info";
  std::int64_t loops = 0;
  std::int64_t verifiers = 0;
  std::int64_t query_workers = 2;

  struct Info {
    std::string name = "nostril-relay";
    std::string description = "A Nostr relay.";
    std::string pubkey;
    std::string contact;
  } info;

  struct Limits {
    std::int64_t connections_max = 20'000;
    std::int64_t message_bytes_max = 512 << 10;
    std::int64_t pending_bytes_max = 8 << 20;
    std::int64_t event_bytes_max = 128 << 10;
    std::int64_t content_bytes_max = 100 << 10;
    std::int64_t event_tags_max = 5'000;
    std::int64_t subscriptions_max = 64;
    std::int64_t filters_max = 20;
    std::int64_t filter_values_max = 2'000;
    std::int64_t limit_default_and_max = 500;
    std::int64_t created_at_future_s = 900;
    std::int64_t in_flight_max = 256;
    std::int64_t verify_queue_max = 8'192;
    std::int64_t write_queue_max = 4'096;
    std::int64_t query_queue_max = 4'096;
    std::int64_t live_during_scan_max = 1'000;
  } limits;

  /// `this` must outlive the Config.
  void declare(Config& config);

  [[nodiscard]] MessageLimits message_limits() const;
  [[nodiscard]] net::ServerLimits server_limits() const;
};

}  // namespace nostril::relay
