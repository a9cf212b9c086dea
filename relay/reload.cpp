#include "relay/reload.h"

#include <algorithm>
#include <array>

namespace nostril::relay {

namespace {

// Sizes of threads, queues and files are what the relay was built with.
constexpr std::array<std::string_view, 39> kKeys = {
    "url",
    "tls_certificate",
    "tls_key",
    "log_level",
    "log_format",
    "metrics",
    "info.name",
    "info.description",
    "info.pubkey",
    "info.contact",
    "info.icon",
    "info.banner",
    "info.terms_of_service",
    "limits.connections_max",
    "limits.message_bytes_max",
    "limits.socket_bytes_max",
    "limits.event_bytes_max",
    "limits.event_tags_max",
    "limits.content_chars_max",
    "limits.subscriptions_max",
    "limits.filters_max",
    "limits.filter_values_max",
    "limits.limit_default",
    "limits.limit_max",
    "limits.count_visits_max",
    "limits.held_events_max",
    "limits.publishes_under_way_max",
    "limits.events_a_second_max",
    "limits.events_burst_max",
    "limits.faults_a_second_max",
    "limits.faults_burst_max",
    "limits.created_at_future_s_max",
    "limits.created_at_past_s_max",
    "limits.write_stall_s_max",
    "policy.blocked_kinds",
    "policy.blocked_authors",
    "policy.allowed_authors",
    "policy.open_kinds",
    "policy.work_bits_min",
};

}  // namespace

bool may_change(std::string_view key) {
  return key.starts_with("auth.") || key.starts_with("admin.") ||
         std::ranges::find(kKeys, key) != kKeys.end();
}

Config::Change plan_reload(RelayConfig& wanted, RelayConfig running) {
  Config next;
  wanted.declare(next);
  Config present;
  running.declare(present);
  // TLS begins and ends with the listening socket; only its files may be others.
  const bool same_scheme = wanted.tls_certificate.empty() == running.tls_certificate.empty();
  return next.keep_running(present, [&](std::string_view key) {
    return may_change(key) && (same_scheme || !key.starts_with("tls_"));
  });
}

}  // namespace nostril::relay
