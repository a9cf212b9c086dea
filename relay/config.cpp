#include "relay/config.h"

#include <algorithm>

namespace nostril::relay {

void RelayConfig::declare(Config& config) {
  config.section("", "nostril-relay: a Nostr relay.");
  config.text("listen", &listen, "HOST:PORT; port 0 picks a free one, which is printed.");
  config.text("data", &data, "Folder of the event store.");
  config.text("url", &url, "The ws:// or wss:// URL that clients use, when it differs.");
  config.text("log_level", &log_level, "debug, info, warning, error or off.");
  config.number("loops", &loops, 0, 256, "Threads that serve sockets; 0: one a core.");
  config.number("verifiers", &verifiers, 0, 256, "Threads that check signatures; 0: one a core.");
  config.number("query_workers", &query_workers, 1, 256, "Threads that read stored events.");

  config.section("info", "What NIP-11 tells about this relay.");
  config.text("name", &info.name, "");
  config.text("description", &info.description, "");
  config.text("pubkey", &info.pubkey, "The operator's public key, 64 hex characters.");
  config.text("contact", &info.contact, "mailto: or https:// address of the operator.");

  config.section("limits", "Bounds on what peers may cost; advertised by NIP-11 as enforced.");
  config.number("connections_max", &limits.connections_max, 1, 1'000'000,
                "Open sockets of each loop thread; about 3 KB each.");
  config.number("message_bytes_max", &limits.message_bytes_max, 1024, 64 << 20,
                "Bytes of one message from a client; above, the connection is closed.");
  config.number("pending_bytes_max", &limits.pending_bytes_max, 64 << 10, 1 << 30,
                "Bytes that wait for one client to read them; above, it is dropped.");
  config.number("event_bytes_max", &limits.event_bytes_max, 512, 16 << 20,
                "Bytes of one event's JSON.");
  config.number("content_bytes_max", &limits.content_bytes_max, 0, 16 << 20,
                "Bytes of one event's content.");
  config.number("event_tags_max", &limits.event_tags_max, 0, 100'000,
                "Tags of one event; follow lists have thousands.");
  config.number("subscriptions_max", &limits.subscriptions_max, 1, 10'000,
                "Open subscriptions of one connection.");
  config.number("filters_max", &limits.filters_max, 1, 1'000, "Filters of one REQ.");
  config.number("filter_values_max", &limits.filter_values_max, 1, 100'000,
                "Values in one list of a filter.");
  config.number("limit_default_and_max", &limits.limit_default_and_max, 1, 1'000'000,
                "Stored events that one filter may return; also when it names no limit.");
  config.number("created_at_future_s", &limits.created_at_future_s, 0, INT32_MAX,
                "Seconds that an event may lie in the future.");
  config.number("in_flight_max", &limits.in_flight_max, 1, 100'000,
                "Events of one connection that wait for their OK; above, it is not read.");
  config.number("verify_queue_max", &limits.verify_queue_max, 1, 1'000'000,
                "Events that wait for a verifier; above, publishers are not read.");
  config.number("write_queue_max", &limits.write_queue_max, 1, 1'000'000,
                "Events that wait for the writer; above, verifiers wait.");
  config.number("query_queue_max", &limits.query_queue_max, 1, 1'000'000,
                "Scans that wait for a worker; above, a REQ is closed as rate-limited.");
  config.number("live_during_scan_max", &limits.live_during_scan_max, 1, 100'000,
                "New events kept back for one subscription until its EOSE; above, it is closed.");
}

MessageLimits RelayConfig::message_limits() const {
  MessageLimits out;
  out.event.json_bytes_max = static_cast<std::size_t>(limits.event_bytes_max);
  out.event.content_bytes_max = static_cast<std::size_t>(limits.content_bytes_max);
  out.event.tags_max = static_cast<std::size_t>(limits.event_tags_max);
  out.filter.values_max = static_cast<std::size_t>(limits.filter_values_max);
  out.filters_max = static_cast<std::size_t>(limits.filters_max);
  return out;
}

net::ServerLimits RelayConfig::server_limits() const {
  net::ServerLimits out;
  out.connections_count_max = static_cast<std::size_t>(limits.connections_max);
  out.message_bytes_max = static_cast<std::size_t>(limits.message_bytes_max);
  out.pending_bytes_max = static_cast<std::size_t>(limits.pending_bytes_max);
  return out;
}

}  // namespace nostril::relay
