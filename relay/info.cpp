#include "relay/info.h"

#include "base/json.h"

#include <fmt/format.h>

#include <array>

namespace nostril::relay {

namespace {

/// What is implemented and tested, nothing else.
constexpr std::array<int, 4> kSupportedNips = {1, 9, 11, 40};

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string landing_page(const RelayConfig& config) {
  return fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{0}</title>"
      "<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;"
      "padding:0 1rem}}code{{background:#8882;padding:.1em .3em}}</style>"
      "<h1>{0}</h1><p>{1}</p><p>This is a Nostr relay. Point a Nostr client at this address with "
      "<code>ws://</code> or <code>wss://</code>.</p>"
      "<p>For programs: this address with <code>Accept: application/nostr+json</code> (NIP-11), "
      "and <a href=\"/metrics\">/metrics</a>.</p></html>",
      escape_html(config.info.name), escape_html(config.info.description));
}

}  // namespace

std::string make_info_json(const RelayConfig& config) {
  const RelayConfig::Limits& limits = config.limits;
  JsonWriter w;
  w.begin_object();
  w.key("name").string(config.info.name);
  w.key("description").string(config.info.description);
  if (!config.info.pubkey.empty()) w.key("pubkey").string(config.info.pubkey);
  if (!config.info.contact.empty()) w.key("contact").string(config.info.contact);
  w.key("supported_nips").begin_array();
  for (const int nip : kSupportedNips) w.integer(nip);
  w.end_array();
  w.key("software").string("nostril-relay");
  w.key("version").string(kRelayVersion);
  w.key("limitation").begin_object();
  w.key("max_message_length").integer(limits.message_bytes_max);
  w.key("max_subscriptions").integer(limits.subscriptions_max);
  w.key("max_filters").integer(limits.filters_max);
  w.key("max_limit").integer(limits.limit_default_and_max);
  w.key("default_limit").integer(limits.limit_default_and_max);
  w.key("max_subid_length")
      .integer(static_cast<std::int64_t>(config.message_limits().subscription_id_bytes_max));
  w.key("max_event_tags").integer(limits.event_tags_max);
  w.key("max_content_length").integer(limits.content_bytes_max);
  w.key("created_at_upper_limit").integer(limits.created_at_future_s);
  w.key("min_pow_difficulty").integer(0);
  w.key("auth_required").boolean(false);
  w.key("payment_required").boolean(false);
  w.key("restricted_writes").boolean(false);
  w.end_object().end_object();
  return std::move(w).take();
}

net::HttpResponse http_answer(const net::HttpRequest& request, const std::string& info_json,
                              const RelayConfig& config,
                              const std::function<std::string()>& metrics_text) {
  net::HttpResponse response;
  // NIP-11: web clients of any origin read the document.
  response.headers.add("Access-Control-Allow-Origin", "*");
  response.headers.add("Access-Control-Allow-Headers", "*");
  response.headers.add("Access-Control-Allow-Methods", "GET, OPTIONS");
  if (request.method == "OPTIONS") {
    response.status = 204;
    return response;
  }
  if (request.method != "GET") {
    response.status = 405;
    return response;
  }
  if (request.path == "/metrics") {
    response.headers.add("Content-Type", "text/plain; version=0.0.4");
    response.body = metrics_text();
  } else if (request.path != "/") {
    response.status = 404;
  } else if (request.headers.has_token("Accept", "application/nostr+json")) {
    response.headers.add("Content-Type", "application/nostr+json");
    response.body = info_json;
  } else {
    response.headers.add("Content-Type", "text/html; charset=utf-8");
    response.body = landing_page(config);
  }
  return response;
}

void append_metric(std::string& out, std::string_view name, std::string_view type,
                   std::string_view help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void append_value(std::string& out, std::string_view name, std::string_view labels,
                  std::uint64_t value) {
  out += fmt::format("{}{} {}\n", name, labels, value);
}

}  // namespace nostril::relay
