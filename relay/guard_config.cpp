#include "relay/guard_config.h"

#include "base/hex.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

namespace nostril::relay {

namespace {

constexpr std::int64_t kMany = 1'000'000'000;
constexpr std::size_t kPluginsMax = 16;

net::AddressRanges parse_ranges(const std::vector<std::string>& texts, std::string_view what) {
  std::vector<net::AddressRange> out;
  for (const auto& text : texts) {
    const auto range = net::AddressRange::parse(text);
    if (!range) {
      throw ConfigError(
          fmt::format("{}: \"{}\" is no address or range, e.g. \"10.0.0.0/8\" or \"2001:db8::/32\"",
                      what, text));
    }
    out.push_back(*range);
  }
  return net::AddressRanges(std::move(out));
}

// `parse` gives nothing for what is none.
template <typename Parse>
auto parse_all(const std::vector<std::string>& texts, std::string_view what,
               std::string_view example, const Parse& parse) {
  std::vector<typename decltype(parse(std::string_view()))::value_type> out;
  for (const auto& text : texts) {
    const auto one = parse(std::string_view(text));
    if (!one) throw ConfigError(fmt::format("{}: \"{}\" must be like {}", what, text, example));
    out.push_back(*one);
  }
  return out;
}

std::optional<std::uint32_t> parse_kind(std::string_view text) {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

void declare_plugin(Config& config, GuardConfig::Plugin& plugin) {
  config.list(
      "command", &plugin.command,
      "the program and its arguments, e.g. [\"/usr/bin/node\", \"/etc/nostril/policy.js\"]");
  config.number("processes", &plugin.processes, 1, 64, "of it; events are dealt out");
  config.number("in_flight_max", &plugin.in_flight_max, 1, 100'000,
                "events given to one process and not answered");
  config.number("timeout_ms", &plugin.timeout_ms, 10, 600'000,
                "for the oldest unanswered event of a process; then it is started anew");
  config.text("on_failure", &plugin.on_failure,
              "without an answer events are: \"refuse\" refused, \"accept\" taken");
  config.flag("ephemeral", &plugin.ephemeral, "ask about ephemeral events, too");
}

}  // namespace

void GuardConfig::declare(Config& config) {
  config.section("proxy", "Who is behind a reverse proxy or load balancer: docs/protection.md.");
  config.list(
      "trusted", &proxy.trusted,
      "addresses of your proxies, e.g. [\"127.0.0.1\", \"10.0.0.0/8\"]; none else is believed");
  config.text("header", &proxy.header,
              "the one header they set: X-Forwarded-For, X-Real-IP, Forwarded; \"\": none");
  config.flag("protocol", &proxy.protocol,
              "their connections begin with a PROXY header (version 1 or 2), without exception");

  config.section("clients",
                 "What one address may do, with all its connections together. 0: any number.");
  config.number("connections_max", &clients.connections_max, 0, 1'000'000, "WebSockets at a time");
  config.number("connections_a_minute_max", &clients.connections_a_minute_max, 0, kMany,
                "new ones; further are told when to try again (429)");
  config.number("messages_a_second_max", &clients.messages_a_second_max, 0, kMany,
                "then it is read more slowly");
  config.number("bytes_a_second_max", &clients.bytes_a_second_max, 0, std::int64_t{1} << 40,
                "of messages; then it is read more slowly");
  config.number("events_a_second_max", &clients.events_a_second_max, 0, kMany,
                "published; further are refused with rate-limited:");
  config.number("requests_a_second_max", &clients.requests_a_second_max, 0, kMany,
                "REQ, COUNT and plain HTTP; further are refused");
  config.number("burst_s", &clients.burst_s, 1, 3'600,
                "of each of these, what comes in so many seconds may come at once");
  config.number("query_steps_max", &clients.query_steps_max, 0, 256,
                "steps of its queries that worker threads do at a time");
  config.number("key_events_a_minute_max", &clients.key_events_a_minute_max, 0, kMany,
                "published by one key from anywhere: their author, or who has authenticated");
  config.number("key_events_burst_max", &clients.key_events_burst_max, 1, kMany,
                "of these, at once");
  config.number("v6_prefix_bits", &clients.v6_prefix_bits, 16, 128,
                "of an IPv6 address: those that share them count as one");
  config.number("addresses_max", &clients.addresses_max, 16, 100'000'000,
                "known at a time, 300 bytes each; beyond, new ones share 16 accounts");
  config.number(
      "waiting_bytes_max", &clients.waiting_bytes_max, 0, std::int64_t{1} << 40,
      "input and output waiting for all clients; then those with over 64 KiB are dropped");
  config.list("exempt", &clients.exempt, "addresses without these limits");

  config.section("queries", "What one REQ may cost; then it is closed with what it has found.");
  config.number("visits_max", &queries.visits_max, 0, kMany,
                "index entries and records looked at; 0: any");
  config.number("ms_max", &queries.ms_max, 0, kMany, "work of threads on it; 0: any");

  config.section("content", "What events may be made of, by kind, and moderators' reports.");
  config.list("tags_max", &content.tags_max,
              "kind:tag:count, e.g. [\"1:p:50\"]: notes that mention more people are refused");
  config.list("bytes_max", &content.bytes_max,
              "kind:bytes of content and tags, e.g. [\"0:16384\", \"7:2048\"]");
  config.list("blocked_words", &content.blocked_words,
              "whole words, e.g. [\"casino\", \"spam.example\"]; ASCII letters without case");
  config.list("blocked_words_kinds", &content.blocked_words_kinds,
              "kinds that are looked at for them");
  config.list("moderators", &content.moderators,
              "public keys whose reports (NIP-56) count: docs/protection.md");
  config.number("reports_needed", &content.reports_needed, 1, 1'000,
                "different moderators, for an event to be erased or a key to be refused");

  config.tables("plugins", &plugins, kPluginsMax, declare_plugin,
                "Programs that are asked about each new event, in this order: docs/plugins.md.");
}

net::AddressRanges GuardConfig::protocol_proxies() const {
  return proxy.protocol ? parse_ranges(proxy.trusted, "proxy.trusted") : net::AddressRanges();
}

GuardRules GuardConfig::rules() const {
  GuardRules out;
  out.clients.proxies.ranges = parse_ranges(proxy.trusted, "proxy.trusted");
  const auto header = net::forwarded_header_named(proxy.header);
  if (!header) {
    throw ConfigError(
        fmt::format("proxy.header: \"{}\" must be X-Forwarded-For, X-Real-IP, Forwarded or empty",
                    proxy.header));
  }
  out.clients.proxies.header = *header;
  if (proxy.protocol && proxy.trusted.empty()) {
    throw ConfigError("proxy.protocol needs proxy.trusted: the addresses that write PROXY headers");
  }
  out.clients.exempt = parse_ranges(clients.exempt, "clients.exempt");
  out.clients.v6_prefix_bits = static_cast<unsigned>(clients.v6_prefix_bits);
  out.clients.addresses_max = static_cast<std::size_t>(clients.addresses_max);
  out.clients.connections_max = static_cast<std::size_t>(clients.connections_max);
  out.clients.query_steps_max = static_cast<std::size_t>(clients.query_steps_max);
  const auto rate = [&](std::int64_t a_second) {
    const auto value = static_cast<double>(a_second);
    return Rate{value, value * static_cast<double>(clients.burst_s)};
  };
  const auto a_minute = static_cast<double>(clients.connections_a_minute_max);
  out.clients.connections = {a_minute / 60, a_minute};
  out.clients.messages = rate(clients.messages_a_second_max);
  out.clients.bytes = rate(clients.bytes_a_second_max);
  out.clients.events = rate(clients.events_a_second_max);
  out.clients.requests = rate(clients.requests_a_second_max);
  out.key_events = {static_cast<double>(clients.key_events_a_minute_max) / 60,
                    static_cast<double>(clients.key_events_burst_max)};
  out.memory_bytes_max = static_cast<std::size_t>(clients.waiting_bytes_max);

  out.content.tag_limits =
      parse_all(content.tags_max, "content.tags_max", "1:p:50", TagLimit::parse);
  out.content.size_limits =
      parse_all(content.bytes_max, "content.bytes_max", "0:16384", SizeLimit::parse);
  out.content.blocked_words_kinds =
      parse_all(content.blocked_words_kinds, "content.blocked_words_kinds", "1", parse_kind);
  for (const auto& word : content.blocked_words) {
    if (!ContentPolicy::is_word(word)) {
      throw ConfigError(fmt::format(
          "content.blocked_words: \"{}\" must be one word: letters, digits, _ - .", word));
    }
  }
  out.content.blocked_words = content.blocked_words;
  out.reports.moderators = parse_all(
      content.moderators, "content.moderators", "a public key of 64 lowercase hex characters",
      [](std::string_view text) { return from_hex<PublicKey>(text); });
  out.reports.needed = static_cast<std::size_t>(content.reports_needed);
  return out;
}

std::vector<PluginOptions> GuardConfig::plugin_options() const {
  std::vector<PluginOptions> out;
  for (const Plugin& plugin : plugins) {
    const auto wrong = [&](std::string_view key, std::string_view what) {
      return ConfigError(
          fmt::format("{}: {}", Config::table_key("plugins", out.size(), key), what));
    };
    if (plugin.command.empty() || plugin.command.front().empty()) {
      throw wrong("command", "must name a program");
    }
    if (plugin.on_failure != "refuse" && plugin.on_failure != "accept") {
      throw wrong("on_failure",
                  fmt::format("\"{}\" must be \"refuse\" or \"accept\"", plugin.on_failure));
    }
    out.push_back({plugin.command, plugin.processes, plugin.in_flight_max, plugin.timeout_ms,
                   plugin.on_failure == "accept", plugin.ephemeral});
  }
  return out;
}

}  // namespace nostril::relay
