#include "relay/config.h"

#include "base/hex.h"
#include "net/loopback.h"
#include "net/peer_address.h"
#include "net/url.h"
#include "relay/cluster/subjects.h"
#include "relay/key_file.h"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::int64_t kMany = 1'000'000'000;
constexpr std::array kSecureSchemes = {"https", "wss"};
constexpr std::array kPlainSchemes = {"http", "ws"};

// Behind "needs `url`": why it is not known by itself.
constexpr std::string_view kWhyUrl =
    " where others than this machine reach the relay, or a proxy or cluster is before it";

// As a request (NIP-98) to the relay of that URL may name it.
void add_signed_urls(const std::string& url, std::vector<std::string>& out) {
  const std::string tail = url.substr(url.find("://"));
  for (const char* scheme : url.starts_with("wss") ? kSecureSchemes : kPlainSchemes) {
    out.push_back(scheme + tail);
    // Without a path, a slash says nothing; and with one the relay answers at "/" as well.
    const std::string host = scheme + tail.substr(0, tail.find('/', 3));
    for (const std::string& same : {host, host + "/"}) {
      if (same != out.back()) out.push_back(same);
    }
  }
}

unsigned threads_or_cores(std::int64_t count) {
  if (count > 0) return static_cast<unsigned>(count);
  return std::max(1U, std::thread::hardware_concurrency());
}

std::size_t size(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

template <typename Number>
Number parse_number(std::string_view text, const std::string& what) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw ConfigError(fmt::format("{}: \"{}\" is not a number in range", what, text));
  }
  return value;
}

std::unordered_set<PublicKey, FixedBytesHash> parse_authors(const std::vector<std::string>& texts,
                                                            const std::string& what) {
  std::unordered_set<PublicKey, FixedBytesHash> out;
  for (const auto& text : texts) {
    const auto key = from_hex<PublicKey>(text);
    if (!key) {
      throw ConfigError(
          fmt::format("{}: \"{}\" is not a public key of 64 lowercase hex characters", what, text));
    }
    out.insert(*key);
  }
  return out;
}

std::unordered_set<std::uint32_t> parse_kinds(const std::vector<std::string>& texts,
                                              const std::string& what) {
  std::unordered_set<std::uint32_t> out;
  for (const auto& text : texts) out.insert(parse_number<std::uint16_t>(text, what));
  return out;
}

constexpr std::size_t kMirrorsMax = 64;

void declare_mirror(Config& config, RelayConfig::MirrorTable& mirror) {
  config.text("url", &mirror.url, "its address, ws:// or wss://");
  config.text("direction", &mirror.direction, "down: from there, up: from here, or both");
  config.text("filter", &mirror.filter, "which events: a filter of NIP-01, e.g. '{\"kinds\":[1]}'");
  config.number("sync_every_s", &mirror.sync_every_s, 0, 1'000'000'000,
                "seconds between two reconciliations (NIP-77); 0: none");
  config.text("ca", &mirror.ca, "PEM file of roots for wss://; empty: the system's");
  config.text("key", &mirror.key,
              "file of a secret key (64 hex characters, 0600) to show where it asks (NIP-42)");
}

void declare_cluster(Config& config, RelayConfig::Cluster& cluster) {
  config.section(
      "cluster",
      "Several relays as one, over NATS JetStream: docs/cluster.md. Needs a program with libnats.");
  config.text("name", &cluster.name,
              "the same on all its relays; letters, digits, - and _; \"\": no cluster");
  config.text("relay", &cluster.relay,
              "this relay's own name in it, of the same characters; \"\": the host's name");
  config.list("servers", &cluster.servers,
              "of NATS, e.g. [\"tls://10.0.0.1:4222\", \"tls://10.0.0.2:4222\"]");
  config.text("credentials", &cluster.credentials, ".creds file for them");
  config.text("user", &cluster.user, "or a user,");
  config.text("password_file", &cluster.password_file, "whose password is this file's first line");
  config.text("tls_ca", &cluster.tls_ca, "PEM file of roots for tls://; empty: the system's");
  config.text("tls_certificate", &cluster.tls_certificate,
              "PEM file of our own certificate, where the servers ask for one");
  config.text("tls_key", &cluster.tls_key, "PEM file of its private key");
  config.flag("allow_insecure", &cluster.allow_insecure,
              "without TLS or without credentials also to servers that are not on this machine");
  config.number("replicas", &cluster.replicas, 1, 5,
                "of the stream: 3 goes on without one server; odd");
  config.number("stream_bytes_max", &cluster.stream_bytes_max, 1 << 20, std::int64_t{1} << 44,
                "of the stream on each server; older events are in the relays' own stores only");
  config.number("stream_age_days_max", &cluster.stream_age_days_max, 1, 3'650,
                "the same in days: a relay that was away for longer takes a snapshot");
  config.number("ack_wait_s", &cluster.ack_wait_s, 1, 60,
                "seconds in which the cluster has to confirm an event");
  config.text("when_away", &cluster.when_away,
              "events while NATS is away: \"refuse\", or \"queue\" on this relay's disk");
  config.number("outbox_events_max", &cluster.outbox_events_max, 1, 100'000'000,
                "that many of them; further are refused");
  config.text("join", &cluster.join,
              "where earlier events come from: \"auto\", \"stream\" or \"snapshot\"");
  config.flag("verify_stream", &cluster.verify_stream,
              "check the signatures of what other relays have checked: twice the work");
}

// Where a relay's own name is not set: the machine's, which may have dots.
std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  std::string out(name.data());
  std::ranges::replace(out, '.', '-');
  return out.substr(0, ClusterSubjects::kRelayCharsMax);
}

// nats:// or tls://, a host and maybe a port; credentials do not belong into the configuration.
void check_server(const std::string& url, const RelayConfig::Cluster& cluster) {
  const bool is_tls = url.starts_with("tls://");
  const std::string rest = is_tls ? url.substr(6) : url.starts_with("nats://") ? url.substr(7) : "";
  if (rest.empty() || rest.find_first_of("/@? ") != std::string::npos) {
    throw ConfigError(
        fmt::format("cluster.servers: \"{}\" must be nats://HOST:PORT or tls://HOST:PORT", url));
  }
  std::string host = rest.substr(0, rest.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool is_known =
      !cluster.credentials.empty() || !cluster.user.empty() || !cluster.tls_certificate.empty();
  if (cluster.allow_insecure || net::is_loopback(host) || (is_tls && is_known)) return;
  throw ConfigError(
      fmt::format("cluster.servers: {} is another machine: use tls:// and credentials, user or "
                  "tls_certificate, or say allow_insecure = true",
                  url));
}

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line.empty()) {
    throw ConfigError(fmt::format("cluster.password_file: {} can't be read, or is empty", path));
  }
  if (line.back() == '\r') line.pop_back();
  return line;
}

}  // namespace

void RelayConfig::declare(Config& config) {
  config.section("", "");
  config.text("listen", &listen,
              "address:port to serve on; [::]:port takes IPv6 and IPv4; port 0: any free one");
  config.text("data", &data, "directory of the event store; made when missing");
  config.text(
      "url", &url,
      "what clients call this relay, e.g. wss://relay.example.org; empty: ws://127.0.0.1:PORT "
      "where only this machine reaches it (`listen`, no [proxy], no [cluster]), else unknown");
  config.text("tls_certificate", &tls_certificate,
              "PEM file of the certificate and those up to its root: serves wss://, not ws://");
  config.text("tls_key", &tls_key, "PEM file of its private key");
  config.text("log_level", &log_level, "debug, info, warning, error or off");
  config.text("log_format", &log_format, "text, or json: one object a line");
  config.flag("metrics", &metrics, "serve /metrics (Prometheus) on the same port");

  config.section("info", "What the relay says about itself (NIP-11).");
  config.text("name", &info.name, "");
  config.text("description", &info.description, "");
  config.text("pubkey", &info.pubkey, "the operator's public key, 64 hex characters");
  config.text("contact", &info.contact, "e.g. mailto:admin@example.org");
  config.text("icon", &info.icon, "URL of a square picture");
  config.text("banner", &info.banner, "URL of a wide one");
  config.text("terms_of_service", &info.terms_of_service, "URL of a text");

  config.section("threads", "");
  config.number("loops", &threads.loops, 0, 256, "threads that serve connections; 0: one a core");
  config.number("verifiers", &threads.verifiers, 0, 256,
                "threads that check signatures; 0: one a core");
  config.number("queries", &threads.queries, 1, 256, "threads that read stored events");

  config.section("limits",
                 "Bounds. What passes them is refused with a reason and counted in /metrics.");
  config.number("connections_max", &limits.connections_max, 1, 1'000'000,
                "open connections, about 3 KB each when idle");
  config.number("message_bytes_max", &limits.message_bytes_max, 1 << 10, 16 << 20,
                "one message of a client; larger: the connection is closed (1009)");
  config.number("pending_bytes_max", &limits.pending_bytes_max, 64 << 10, 1 << 30,
                "output that waits for one client; a slower reader is dropped");
  config.number("socket_bytes_max", &limits.socket_bytes_max, 0, 64 << 20,
                "besides, in the system's own buffer, doubled by Linux; 0: its bound, often 4 MiB");
  config.number("event_bytes_max", &limits.event_bytes_max, 1 << 10, 8 << 20,
                "JSON text of one event");
  config.number("event_tags_max", &limits.event_tags_max, 0, 100'000, "tags of one event");
  config.number("content_chars_max", &limits.content_chars_max, 0, 8 << 20,
                "Unicode characters in the content of one event");
  config.number("subscriptions_max", &limits.subscriptions_max, 1, 10'000,
                "open subscriptions of one connection");
  config.number("filters_max", &limits.filters_max, 1, 1'000, "filters of one REQ");
  config.number(
      "filter_values_max", &limits.filter_values_max, 1, 1'000'000,
      "ids, authors, kinds and tag values in all filters of one connection, 100 bytes each");
  config.number("limit_default", &limits.limit_default, 1, 1'000'000,
                "stored events for a filter without limit");
  config.number("limit_max", &limits.limit_max, 1, 1'000'000, "stored events for any filter");
  config.number("count_visits_max", &limits.count_visits_max, 1, 1'000'000'000,
                "index entries and records one COUNT may look at");
  config.number("held_events_max", &limits.held_events_max, 1, 1'000'000,
                "new events a subscription may wait for while its stored ones are sent");
  config.number("publishes_under_way_max", &limits.publishes_under_way_max, 1, 100'000,
                "unanswered events of one connection; then it is not read until answers come");
  config.number("events_a_second_max", &limits.events_a_second_max, 0, kMany,
                "events one connection may publish a second; 0: any");
  config.number("events_burst_max", &limits.events_burst_max, 1, kMany,
                "events at once, when the former is set");
  config.number("faults_a_second_max", &limits.faults_a_second_max, 0, kMany,
                "of one connection: malformed messages 1, wrong signatures 8, fragments below 256 "
                "bytes 1/16; then it is read more slowly; 0: any");
  config.number("faults_burst_max", &limits.faults_burst_max, 1, kMany,
                "of these, at once, when the former is set");
  config.number("created_at_future_s_max", &limits.created_at_future_s_max, 0, kMany,
                "seconds an event may be ahead of our clock");
  config.number("created_at_past_s_max", &limits.created_at_past_s_max, 0, kMany,
                "seconds an event may be old; 0: any");
  config.number(
      "stored_under_way_max", &limits.stored_under_way_max, 1, 1'000'000,
      "events between a socket and the disk, in the whole relay; then peers are not read");
  config.number("ephemeral_under_way_max", &limits.ephemeral_under_way_max, 1, 1'000'000,
                "the same for ephemeral events");
  config.number("queries_queued_max", &limits.queries_queued_max, 1, 1'000'000,
                "query steps that wait for a thread");
  config.number("write_stall_s_max", &limits.write_stall_s_max, 1, 86'400,
                "seconds without progress after which a reader is dropped");

  config.section("negentropy",
                 "Reconciliation (NIP-77): which events one side has and another lacks.");
  config.number("events_max", &negentropy.events_max, 0, 1'000'000'000,
                "events that one may be about, 42 bytes each; 0: none are held");
  config.number("events_in_all_max", &negentropy.events_in_all_max, 0, 1'000'000'000,
                "the same of all that are open");
  config.number("open_max", &negentropy.open_max, 1, 1'000, "open ones of one connection");
  config.number("idle_s_max", &negentropy.idle_s_max, 1, 86'400,
                "seconds without a message after which one is closed");

  config.section("store", "");
  config.flag("log", &store.log,
              "a few events become durable in a log of 1 MiB first: a third of the disk's work");
  config.number("cache_bytes", &store.cache_bytes, 0, std::int64_t{1} << 40,
                "memory of all loops together for events that were shown lately");
  config.number(
      "map_bytes", &store.map_bytes, 1 << 20, std::int64_t{1} << 44,
      "address space for the store's file at the start; doubles by itself when it is full");

  config.section(
      "net",
      "Compression of messages (permessage-deflate), for clients that offer it; EOSE; patience.");
  config.flag("compression", &net.compression,
              "saves a third of the bytes of a new event; compressed once for all its readers");
  config.flag("compress_stored", &net.compress_stored,
              "also what one client asks for: 15 us of CPU an event more, instead of about 2");
  config.number("compression_level", &net.compression_level, 1, 9,
                "1 fast to 9; on events 6 saves hardly more than 1");
  config.number("compression_window_bits", &net.compression_window_bits, 9, 15,
                "memory of the compressor, one a loop thread; 15: 264 KiB");
  config.number("compression_bytes_min", &net.compression_bytes_min, 0, 1 << 20,
                "shorter messages are sent as they are");
  config.flag("eose_hints", &net.eose_hints,
              "EOSE says whether there is more (NIP-67); clients that want an EOSE of two elements "
              "(Nostrify, nostr-fetch) then wait for it in vain");
  config.number("handshake_s_max", &net.handshake_s_max, 1, 3'600,
                "seconds that a connection has for its request or upgrade");
  config.number("ping_after_s", &net.ping_after_s, 1, 3'600,
                "seconds of silence after which a client is asked whether it is there");
  config.number("pong_wait_s_max", &net.pong_wait_s_max, 1, 3'600,
                "seconds without an answer after which it is dropped");

  config.section("policy", "Whose events are taken. Lists of texts in quotes.");
  config.list("blocked_kinds", &policy.blocked_kinds, "e.g. [\"4\", \"1984\"]");
  config.list("blocked_authors", &policy.blocked_authors, "public keys, 64 hex characters");
  config.list("allowed_authors", &policy.allowed_authors, "when not empty: nobody else's events");
  config.list("open_kinds", &policy.open_kinds,
              "taken from anybody even so; 10002: relay lists (NIP-65)");
  config.number("work_bits_min", &policy.work_bits_min, 0, 64,
                "proof of work (NIP-13): leading zero bits of an event's id; 0: none");

  config.section("search",
                 "Full-text search (NIP-50) over notes, profiles, articles and the like.");
  config.flag("enabled", &search.enabled,
              "an index of words; made of all events when it is switched on");

  config.section(
      "auth",
      "Clients prove who they are (NIP-42). Offered where `url` is known: a proof names it.");
  config.list("private_kinds", &auth.private_kinds,
              "events of these are shown to their author and receivers only (NIP-17, NIP-59)");
  config.flag("to_read", &auth.to_read, "nobody else may ask for events");
  config.flag("to_write", &auth.to_write, "nobody else may publish");

  config.section(
      "admin",
      "Managing the relay while it runs: NIP-86, and the page at /admin. Needs a known `url`.");
  config.list("keys", &admin.keys, "the operator's public keys, 64 hex characters; empty: nobody");
  config.flag("ban_deletes", &admin.ban_deletes,
              "banpubkey removes what the key has stored; banevent always removes its event");

  config.section(
      "membership",
      "Members only may write (NIP-43): who shows an invite code becomes one, and who is on "
      "the list of allowed keys (NIP-86). Needs a known `url`.");
  config.flag("enabled", &membership.enabled,
              "the relay gets a key of its own, DIRECTORY/relay.key");
  config.text("invites", &membership.invites,
              "who gets a code by asking for an event of kind 28935: nobody, members or anybody");
  config.number("invite_hours", &membership.invite_hours, 1, 8'760, "how long a code is good");

  guard.declare(config);
  declare_cluster(config, cluster);

  config.tables("mirror", &mirrors, kMirrorsMax, declare_mirror,
                "Another relay to exchange events with, all the time.");
}

unsigned RelayConfig::loop_threads() const {
  return threads_or_cores(threads.loops);
}

net::ListenConfig RelayConfig::listen_config() const {
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos) {
    throw ConfigError(
        fmt::format("listen: \"{}\" must be ADDRESS:PORT, e.g. 127.0.0.1:7447", listen));
  }
  net::ListenConfig out;
  out.host = listen.substr(0, colon);
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  if (out.host == "localhost") out.host = "127.0.0.1";
  if (out.host == "*" || out.host.empty()) out.host = "::";
  if (!net::PeerAddress::parse(out.host)) {
    throw ConfigError(
        fmt::format("listen: \"{}\" is a name: the relay listens on an address, "
                    "0.0.0.0 or [::] for all of this machine's",
                    out.host));
  }
  out.port =
      parse_number<std::uint16_t>(std::string_view(listen).substr(colon + 1), "listen: port");
  out.deflate.enabled = net.compression;
  out.deflate.shared_only = !net.compress_stored;
  out.deflate.level = static_cast<int>(net.compression_level);
  out.deflate.window_bits = static_cast<int>(net.compression_window_bits);
  out.deflate.message_bytes_min = size(net.compression_bytes_min);
  if (tls_certificate.empty() != tls_key.empty()) {
    throw ConfigError("tls_certificate and tls_key: set both or none");
  }
  out.tls = {tls_certificate, tls_key};
  out.proxies = guard.protocol_proxies();
  return out;
}

net::ServerLimits RelayConfig::server_limits() const {
  net::ServerLimits out;
  const std::int64_t loops = loop_threads();
  out.connections_count_max = size((limits.connections_max + loops - 1) / loops);
  out.message_bytes_max = size(limits.message_bytes_max);
  out.pending_bytes_max = size(limits.pending_bytes_max);
  out.send_buffer_bytes = static_cast<int>(limits.socket_bytes_max);
  out.write_stall_ms_max = static_cast<std::uint64_t>(limits.write_stall_s_max) * 1000;
  out.handshake_ms_max = static_cast<std::uint64_t>(net.handshake_s_max) * 1000;
  out.ping_after_ms = static_cast<std::uint64_t>(net.ping_after_s) * 1000;
  out.pong_wait_ms_max = static_cast<std::uint64_t>(net.pong_wait_s_max) * 1000;
  out.http.body_bytes_max = kManagementBodyBytesMax;  // nothing else here reads a body
  return out;
}

SessionLimits RelayConfig::session_limits() const {
  SessionLimits out;
  out.message.event.json_bytes_max = size(limits.event_bytes_max);
  out.message.event.tags_max = size(limits.event_tags_max);
  out.message.event.content_bytes_max = size(limits.event_bytes_max);
  out.message.event.content_chars_max = size(limits.content_chars_max);
  // No bound is met before those that NIP-11 names.
  out.message.event.tag_elements_max = size(limits.event_bytes_max);
  out.message.event.tag_element_bytes_max = size(limits.event_bytes_max);
  out.message.filter.tag_value_bytes_max = size(limits.event_bytes_max);
  out.message.event.drops_other_members = true;
  out.message.filters_max = size(limits.filters_max);
  out.subscriptions_max = size(limits.subscriptions_max);
  out.filter_values_max = size(limits.filter_values_max);
  out.limit_max = static_cast<std::uint64_t>(limits.limit_max);
  out.search = search.enabled;
  out.eose_hints = net.eose_hints;
  out.count_visits_max = static_cast<std::uint64_t>(limits.count_visits_max);
  out.limit_default = static_cast<std::uint64_t>(std::min(limits.limit_default, limits.limit_max));
  out.publishes_under_way_max = size(limits.publishes_under_way_max);
  out.held_events_max = size(limits.held_events_max);
  out.stored_pending_bytes_max =
      std::min<std::size_t>(256 << 10, size(limits.pending_bytes_max) / 4);
  out.negentropy.events_max = size(negentropy.events_max);
  out.negentropy.open_max = size(negentropy.open_max);
  out.negentropy.idle_ms_max = negentropy.idle_s_max * 1000;
  // Hex, and what stands around it: a message is as large as one that is taken.
  out.negentropy.frame_bytes_max =
      std::max(negentropy::kFrameBytesMin, (size(limits.message_bytes_max) - 512) / 2);
  out.events_a_second_max = static_cast<double>(limits.events_a_second_max);
  out.events_burst_max = static_cast<double>(limits.events_burst_max);
  out.faults = {static_cast<double>(limits.faults_a_second_max),
                static_cast<double>(limits.faults_burst_max)};
  out.query_visits_max = static_cast<std::uint64_t>(guard.queries.visits_max);
  out.query_ms_max = guard.queries.ms_max;
  return out;
}

AdmissionRules RelayConfig::admission_rules() const {
  AdmissionRules out;
  out.future_s_max = limits.created_at_future_s_max;
  out.past_s_max = limits.created_at_past_s_max;
  out.blocked_kinds = parse_kinds(policy.blocked_kinds, "policy.blocked_kinds");
  out.open_kinds = parse_kinds(policy.open_kinds, "policy.open_kinds");
  out.blocked_authors = parse_authors(policy.blocked_authors, "policy.blocked_authors");
  out.allowed_authors = parse_authors(policy.allowed_authors, "policy.allowed_authors");
  if (membership.enabled) {
    out.is_members_only = true;
    out.allowed_authors.merge(parse_authors(admin.keys, "admin.keys"));
  }
  out.work_bits_min = static_cast<unsigned>(policy.work_bits_min);
  return out;
}

// Where the relay has one port, which only this machine reaches, and nobody has named it.
std::optional<net::HostPort> RelayConfig::only_local() const {
  if (!url.empty() || !guard.proxy.trusted.empty() || !cluster.name.empty()) return std::nullopt;
  std::vector<net::HostPort> places = listening;
  if (places.empty()) {
    const net::ListenConfig wanted = listen_config();
    places.push_back({wanted.host, wanted.port});
  }
  const bool is_local = std::ranges::all_of(places, [&](const net::HostPort& place) {
    return net::is_loopback(place.host) && place.port == places.front().port;
  });
  return is_local ? std::optional(places.front()) : std::nullopt;
}

std::optional<RelayAddress> RelayConfig::address() const {
  if (const auto local = only_local()) return RelayAddress::on_loopback(local->port);
  return RelayAddress::of(url);
}

std::vector<std::string> RelayConfig::urls() const {
  if (!url.empty()) return {url};
  std::vector<std::string> out;
  const auto local = only_local();
  if (!local) return out;
  for (const std::string& host :
       {local->host, std::string("127.0.0.1"), std::string("localhost"), std::string("::1")}) {
    net::Url one{tls_certificate.empty() ? net::UrlScheme::Ws : net::UrlScheme::Wss, host,
                 local->port, ""};
    std::string text = one.to_string();
    if (std::ranges::find(out, text) == out.end()) out.push_back(std::move(text));
  }
  return out;
}

AuthRules RelayConfig::auth_rules() const {
  AuthRules out;
  out.address = address();
  if (!url.empty() && !out.address) {
    throw ConfigError(
        fmt::format("url: \"{}\" must be ws:// or wss:// and what clients call this relay", url));
  }
  if (!out.address && (auth.to_read || auth.to_write)) {
    throw ConfigError(
        fmt::format("auth.to_read and auth.to_write need `url`{}: a client's proof "
                    "names it",
                    kWhyUrl));
  }
  if (url.empty() && out.address) out.port_url = urls().front();
  for (const auto& text : auth.private_kinds) {
    out.private_kinds.push_back(parse_number<std::uint16_t>(text, "auth.private_kinds"));
  }
  std::ranges::sort(out.private_kinds);
  out.is_needed_to_read = auth.to_read;
  out.is_needed_to_write = auth.to_write;
  return out;
}

AdminRules RelayConfig::admin_rules() const {
  AdminRules out;
  out.keys = parse_authors(admin.keys, "admin.keys");
  out.ban_deletes = admin.ban_deletes;
  if (!out.enabled()) return out;
  if (!address()) {
    throw ConfigError(fmt::format("admin.keys need `url`{}: a signed request names it", kWhyUrl));
  }
  for (const std::string& own : urls()) add_signed_urls(own, out.urls);
  return out;
}

void RelayConfig::check() const {
  (void)loop_threads();
  (void)listen_config();
  (void)server_limits();
  (void)session_limits();
  (void)ingest_options();
  (void)admission_rules();
  (void)auth_rules();
  (void)admin_rules();
  (void)membership_rules();
  (void)guard_rules();
  (void)mirror_options();
  (void)cluster_options();
  if (log_format != "text" && log_format != "json") {
    throw ConfigError("log_format: \"text\" or \"json\"");
  }
  constexpr std::array<std::string_view, 5> kLevels = {"debug", "info", "warning", "error", "off"};
  if (std::ranges::find(kLevels, log_level) == kLevels.end()) {
    throw ConfigError(
        fmt::format("log_level: \"{}\" must be debug, info, warning, error or off", log_level));
  }
  if (!info.pubkey.empty()) (void)parse_authors({info.pubkey}, "info.pubkey");
}

MembershipRules RelayConfig::membership_rules() const {
  using Inviters = MembershipRules::Inviters;
  MembershipRules out;
  out.enabled = membership.enabled;
  if (out.enabled && !address()) {
    throw ConfigError(
        fmt::format("membership.enabled needs `url`{}: who joins proves his key to it", kWhyUrl));
  }
  if (membership.invites == "nobody") {
    out.inviters = Inviters::Nobody;
  } else if (membership.invites == "anybody") {
    out.inviters = Inviters::Anybody;
  } else if (membership.invites != "members") {
    throw ConfigError(fmt::format("membership.invites: \"{}\" must be nobody, members or anybody",
                                  membership.invites));
  }
  out.invite_s = membership.invite_hours * 3'600;
  out.url = url.empty() ? "this relay" : url;  // before it listens its port may be any
  out.founders = parse_authors(policy.allowed_authors, "policy.allowed_authors");
  out.founders.merge(parse_authors(admin.keys, "admin.keys"));
  return out;
}

StoreOptions RelayConfig::store_options() const {
  StoreOptions out;
  if (store.log) out.log_bytes = kLogBytes;
  out.address = RelayAddress::of(url);
  out.search = search.enabled;
  out.map_bytes_initial = size(store.map_bytes);
  return out;
}

IngestOptions RelayConfig::ingest_options() const {
  IngestOptions out;
  out.verifier_threads = threads_or_cores(threads.verifiers);
  out.stored_under_way_max = limits.stored_under_way_max;
  out.ephemeral_under_way_max = limits.ephemeral_under_way_max;
  out.plugins = guard.plugin_options();
  return out;
}

QueryPoolOptions RelayConfig::query_options() const {
  QueryPoolOptions out;
  out.threads = static_cast<unsigned>(threads.queries);
  out.queue_max = size(limits.queries_queued_max);
  out.negentropy_events_max = negentropy.events_in_all_max;
  out.step_bytes_max = std::min<std::size_t>(64 << 10, size(limits.pending_bytes_max) / 4);
  return out;
}

std::vector<MirrorOptions> RelayConfig::mirror_options() const {
  std::vector<MirrorOptions> out;
  for (const MirrorTable& mirror : mirrors) {
    const auto wrong = [&](std::string_view key, std::string_view what) {
      return ConfigError(fmt::format("{}: {}", Config::table_key("mirror", out.size(), key), what));
    };
    const auto address = net::parse_url(mirror.url);
    if (!address ||
        (address->scheme != net::UrlScheme::Ws && address->scheme != net::UrlScheme::Wss)) {
      throw wrong("url", fmt::format("\"{}\" must be ws:// or wss://", mirror.url));
    }
    const auto direction = sync_direction_from(mirror.direction);
    if (!direction) {
      throw wrong("direction", fmt::format("\"{}\" must be down, up or both", mirror.direction));
    }
    auto filter = parse_filter(mirror.filter);
    if (!filter) throw wrong("filter", to_string(filter.error()));
    MirrorOptions options{*address,  *direction, std::move(*filter), mirror.sync_every_s,
                          mirror.ca, nullptr};
    if (!mirror.key.empty()) {
      auto key = read_key_file(mirror.key);
      if (!key) throw wrong("key", key.error());
      options.key = std::make_shared<const Keypair>(std::move(*key));
    }
    out.push_back(std::move(options));
  }
  return out;
}

ClusterOptions RelayConfig::cluster_options() const {
  ClusterOptions out;
  if (cluster.name.empty()) return out;
  if (!Bus::is_built_in()) {
    throw ConfigError(
        "cluster: this program was built without libnats: install libnats-dev and build it anew");
  }
  if (!ClusterSubjects::is_name(cluster.name, ClusterSubjects::kNameCharsMax)) {
    throw ConfigError(fmt::format("cluster.name: {} letters, digits, - and _ at most",
                                  ClusterSubjects::kNameCharsMax));
  }
  out.name = cluster.name;
  out.relay = cluster.relay.empty() ? host_name() : cluster.relay;
  if (!ClusterSubjects::is_name(out.relay, ClusterSubjects::kRelayCharsMax) || out.relay == "all") {
    throw ConfigError(
        fmt::format("cluster.relay: a name of {} letters, digits, - and _ at most, and not \"all\"",
                    ClusterSubjects::kRelayCharsMax));
  }
  if (cluster.servers.empty()) throw ConfigError("cluster.servers: name at least one");
  for (const auto& server : cluster.servers) check_server(server, cluster);
  if (cluster.user.empty() != cluster.password_file.empty()) {
    throw ConfigError("cluster.user and cluster.password_file: set both or none");
  }
  if (cluster.tls_certificate.empty() != cluster.tls_key.empty()) {
    throw ConfigError("cluster.tls_certificate and cluster.tls_key: set both or none");
  }
  const ClusterSubjects subjects(out.name, out.relay);
  out.bus.servers = cluster.servers;
  out.bus.name = out.relay;
  out.bus.inbox_prefix = subjects.inbox_prefix();
  out.bus.credentials = cluster.credentials;
  out.bus.user = cluster.user;
  if (!cluster.user.empty()) out.bus.password = first_line_of(cluster.password_file);
  out.bus.tls_ca = cluster.tls_ca;
  out.bus.tls_certificate = cluster.tls_certificate;
  out.bus.tls_key = cluster.tls_key;
  out.bus.stream = subjects.stream();
  out.bus.stream_subjects = subjects.in_stream();
  out.bus.replicas = cluster.replicas;
  out.bus.stream_bytes_max = cluster.stream_bytes_max;
  out.bus.stream_age_s_max = cluster.stream_age_days_max * 86'400;
  const bool is_authenticated =
      !cluster.credentials.empty() || !cluster.user.empty() || !cluster.tls_certificate.empty();
  out.trusts_stream = is_authenticated && !cluster.verify_stream;
  out.verifier_threads = threads_or_cores(threads.verifiers);
  out.ack_wait_ms = cluster.ack_wait_s * 1'000;
  out.outbox_events_max = size(cluster.outbox_events_max);
  if (cluster.when_away == "queue") {
    out.when_away = ClusterOptions::WhenAway::Queue;
  } else if (cluster.when_away != "refuse") {
    throw ConfigError(
        fmt::format("cluster.when_away: \"{}\" must be refuse or queue", cluster.when_away));
  }
  if (cluster.join == "stream") {
    out.join = ClusterOptions::Join::Stream;
  } else if (cluster.join == "snapshot") {
    out.join = ClusterOptions::Join::Snapshot;
  } else if (cluster.join != "auto") {
    throw ConfigError(
        fmt::format("cluster.join: \"{}\" must be auto, stream or snapshot", cluster.join));
  }
  return out;
}

}  // namespace nostril::relay
