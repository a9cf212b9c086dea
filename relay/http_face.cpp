#include "relay/http_face.h"

#include "base/hex.h"
#include "base/json.h"
#include "events/kinds.h"
#include "relay/admin_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#ifndef NOSTRIL_VERSION
#define NOSTRIL_VERSION "unknown"
#endif

namespace nostril::relay {

namespace {

// From everybody.
bool takes(const RelayConfig& config, std::uint32_t kind) {
  const AdmissionRules rules = config.admission_rules();
  return !rules.blocked_kinds.contains(kind) &&
         (rules.allowed_authors.empty() || rules.open_kinds.contains(kind) ||
          Admission::is_open_to_all(kind));
}

// What holds of this relay as it is set up, and no more.
std::vector<int> nips_of(const RelayConfig& config) {
  std::vector<int> out = {1, 9, 11, 40, 45};
  if (takes(config, kinds::kRelayList)) out.push_back(65);
  if (config.membership.enabled) out.push_back(43);
  if (config.search.enabled) out.push_back(50);
  if (config.net.eose_hints) out.push_back(67);
  if (config.policy.work_bits_min > 0) out.push_back(13);
  if (!config.admin.keys.empty()) out.insert(out.end(), {86, 98});
  if (config.address()) {
    out.insert(out.end(), {42, 70});
    if (takes(config, kinds::kVanish)) out.push_back(62);
    if (!config.auth.private_kinds.empty()) out.insert(out.end(), {17, 59});
  }
  if (config.negentropy.events_max > 0) out.push_back(77);
  std::ranges::sort(out);
  return out;
}

std::string document_of(const RelayConfig& config, const ModerationLists& lists,
                        const std::optional<PublicKey>& self) {
  const SessionLimits limits = config.session_limits();
  const auto number = [](auto value) { return static_cast<std::int64_t>(value); };
  JsonWriter w;
  w.begin_object();
  w.key("name").string(config.info.name);
  w.key("description").string(config.info.description);
  if (!config.info.pubkey.empty()) w.key("pubkey").string(config.info.pubkey);
  if (!config.info.contact.empty()) w.key("contact").string(config.info.contact);
  if (!config.info.icon.empty()) w.key("icon").string(config.info.icon);
  if (!config.info.banner.empty()) w.key("banner").string(config.info.banner);
  if (!config.info.terms_of_service.empty()) {
    w.key("terms_of_service").string(config.info.terms_of_service);
  }
  if (self) w.key("self").string(encode_hex(*self));
  w.key("supported_nips").begin_array();
  for (const int nip : nips_of(config)) w.integer(nip);
  w.end_array();
  // NIP-11 means the address of a home page here. There is none yet, and none is made up; clients
  // that show the software show this.
  w.key("software").string("nostril-relay").key("version").string(NOSTRIL_VERSION);
  w.key("limitation").begin_object();
  w.key("max_message_length").integer(config.limits.message_bytes_max);
  w.key("max_subscriptions").integer(config.limits.subscriptions_max);
  w.key("max_filters").integer(config.limits.filters_max);
  w.key("max_limit").integer(number(limits.limit_max));
  w.key("default_limit").integer(number(limits.limit_default));
  w.key("max_subid_length").integer(number(limits.message.subscription_id_chars_max));
  w.key("max_event_tags").integer(config.limits.event_tags_max);
  w.key("max_content_length").integer(config.limits.content_chars_max);
  w.key("min_pow_difficulty").integer(config.policy.work_bits_min);
  w.key("auth_required").boolean(config.auth.to_read || config.auth.to_write);
  w.key("payment_required").boolean(false);
  w.key("restricted_writes")
      .boolean(!config.policy.allowed_authors.empty() || !lists.allowed_keys->empty() ||
               !lists.allowed_kinds->empty() || config.policy.work_bits_min > 0 ||
               config.auth.to_write || !config.guard.plugins.empty() || config.membership.enabled);
  if (config.limits.created_at_past_s_max > 0) {
    w.key("created_at_lower_limit").integer(config.limits.created_at_past_s_max);
  }
  w.key("created_at_upper_limit").integer(config.limits.created_at_future_s_max);
  w.end_object().end_object();
  return std::move(w).take();
}

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

std::string page_of(const RelayConfig& config) {
  const std::string name = escape_html(config.info.name);
  const std::string url =
      config.url.empty() ? "this address, with ws:// or wss:// before it" : config.url;
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>{0}</title>\n<body style=\"font:1rem/1.5 "
      "sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem\">\n<h1>{0}</h1>\n<p>{1}</p>\n"
      "<p>This is a Nostr relay: add {2} to a Nostr client.</p>\n</body></html>\n",
      name, escape_html(config.info.description), escape_html(url));
}

std::string path_of(const std::string& url) {
  const std::size_t host = url.find("://");
  if (host == std::string::npos) return "/";
  const std::size_t slash = url.find('/', host + 3);
  if (slash == std::string::npos) return "/";
  // Clients normalise addresses: most leave a slash at the end out.
  std::string path = url.substr(slash);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

net::HttpResponse make(int status, std::string_view type, std::string body) {
  net::HttpResponse out{status, {}, std::move(body)};
  out.headers.add("Content-Type", std::string(type));
  // NIP-11: browsers of any origin may read.
  out.headers.add("Access-Control-Allow-Origin", "*");
  // "*" does not name Authorization, which NIP-86 needs.
  out.headers.add("Access-Control-Allow-Headers", "*, Authorization");
  out.headers.add("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
  return out;
}

constexpr std::string_view kBlanks = " \t";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// Takes what stands before the first `mark` off `rest`.
std::string_view cut(std::string_view& rest, char mark) {
  const std::size_t end = std::min(rest.find(mark), rest.size());
  const std::string_view out = trim(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return out;
}

// "q=0", "q=0.00": whoever asks does not want it.
bool is_unwanted(std::string_view parameter) {
  return parameter.size() > 2 && net::equals_ignoring_case(parameter.substr(0, 2), "q=") &&
         parameter.substr(2).find_first_not_of("0.") == std::string_view::npos;
}

// Media types have no case, and may have parameters behind them; the field may stand several times.
bool accepts(const net::HttpRequest& request, std::string_view type) {
  for (const net::HttpHeader& field : request.headers.fields()) {
    if (!net::equals_ignoring_case(field.name, "Accept")) continue;
    for (std::string_view list = field.value; !list.empty();) {
      std::string_view entry = cut(list, ',');
      if (!net::equals_ignoring_case(cut(entry, ';'), type)) continue;
      bool wanted = true;
      while (!entry.empty()) wanted = !is_unwanted(cut(entry, ';')) && wanted;
      if (wanted) return true;
    }
  }
  return false;
}

constexpr std::string_view kPlain = "text/plain; charset=utf-8";

}  // namespace

HttpFace::HttpFace(const RelayConfig& config, const ModerationLists& lists,
                   std::function<std::string()> metrics, const std::optional<PublicKey>& self,
                   const ServiceGate* gate)
    : document_(document_of(config, lists, self)),
      page_(page_of(config)),
      path_(path_of(config.url)),
      has_admin_(!config.admin.keys.empty()),
      metrics_(config.metrics ? std::move(metrics) : nullptr),
      gate_(gate) {}

net::HttpResponse not_now(ServiceGate::State state) {
  auto out = make(503, kPlain, fmt::format("{}\n", to_string(state)));
  out.headers.add("Retry-After", "5");
  return out;
}

bool HttpFace::is_relay_path(std::string_view path) const {
  return path == path_;
}

net::HttpResponse HttpFace::answer(const net::HttpRequest& request) const {
  if (request.method == "OPTIONS") return make(204, kPlain, "");
  if (request.method == "POST" && has_admin_ && is_relay_path(request.path)) {
    return make(415, kPlain, "management speaks application/nostr+json+rpc (NIP-86)\n");
  }
  if (request.method != "GET" && request.method != "HEAD") {
    auto out = make(405, kPlain, "only GET and HEAD are answered here\n");
    out.headers.add("Allow", "GET, HEAD, OPTIONS");
    return out;
  }
  if (metrics_ && request.path == "/metrics") {
    return make(200, "text/plain; version=0.0.4; charset=utf-8", metrics_());
  }
  if (request.path == "/health") {
    if (gate_ != nullptr && !gate_->is_open()) return not_now(gate_->state());
    return make(200, kPlain, "ok\n");
  }
  if (has_admin_) {
    if (auto page = admin_page(request)) return std::move(*page);
  }
  if (!is_relay_path(request.path)) return not_found();
  const bool wants_document = accepts(request, "application/nostr+json");
  auto out = wants_document ? make(200, "application/nostr+json", document_)
                            : make(200, "text/html; charset=utf-8", page_);
  // Else a cache shows one for the other.
  out.headers.add("Vary", "Accept");
  return out;
}

net::HttpResponse HttpFace::not_found() {
  return make(404, kPlain, "nothing here\n");
}

}  // namespace nostril::relay
