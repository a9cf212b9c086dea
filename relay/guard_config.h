#pragma once

#include "base/config.h"
#include "net/address_range.h"
#include "relay/guard.h"
#include "relay/plugin_chain.h"

#include <cstdint>
#include <string>
#include <vector>

namespace nostril::relay {

/// What an operator sets of a relay's protection: docs/protection.md, docs/plugins.md.
struct GuardConfig {
  struct Proxy {
    std::vector<std::string> trusted;
    std::string header = "X-Forwarded-For";
    bool protocol = false;
  } proxy;

  struct Clients {
    std::int64_t connections_max = 200;
    std::int64_t connections_a_minute_max = 600;
    std::int64_t messages_a_second_max = 2'000;
    std::int64_t bytes_a_second_max = 16 << 20;
    std::int64_t events_a_second_max = 1'000;
    std::int64_t requests_a_second_max = 200;
    std::int64_t burst_s = 10;
    std::int64_t query_steps_max = 4;
    std::int64_t key_events_a_minute_max = 0;
    std::int64_t key_events_burst_max = 100;
    std::int64_t v6_prefix_bits = 64;
    std::int64_t addresses_max = 65'536;
    std::int64_t waiting_bytes_max = std::int64_t{1} << 30;
    std::vector<std::string> exempt = {"127.0.0.0/8", "::1"};
  } clients;

  struct Queries {
    std::int64_t visits_max = 2'000'000;
    std::int64_t ms_max = 5'000;
  } queries;

  struct Content {
    std::vector<std::string> tags_max;
    std::vector<std::string> bytes_max;
    std::vector<std::string> blocked_words;
    std::vector<std::string> blocked_words_kinds = {"0", "1", "11", "42", "1111", "30023"};
    std::vector<std::string> moderators;
    std::int64_t reports_needed = 1;
  } content;

  struct Plugin {
    std::vector<std::string> command;
    std::int64_t processes = 1;
    std::int64_t in_flight_max = 1'000;
    std::int64_t timeout_ms = 5'000;
    std::string on_failure = "refuse";
    bool ephemeral = true;
  };

  std::vector<Plugin> plugins;

  /// Declares the fields; `config` must not outlive this object.
  void declare(Config& config);

  // The parts of it in their users' terms. Throw ConfigError where a text means nothing.
  [[nodiscard]] GuardRules rules() const;
  [[nodiscard]] net::AddressRanges protocol_proxies() const;
  [[nodiscard]] std::vector<PluginOptions> plugin_options() const;
};

}  // namespace nostril::relay
