#include "client/gateway.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "client/offers_json.h"
#include "events/nip19.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::string_view kDone = "data: [DONE]";
constexpr std::array<std::string_view, 2> kPostPaths = {"/v1/chat/completions", "/v1/completions"};
constexpr std::string_view kModelPrefix = "/v1/models/";

net::HttpResponse json_response(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

std::string error_body(std::string_view type, std::string_view message) {
  JsonWriter w;
  w.begin_object().key("error").begin_object();
  w.key("message").string(message).key("type").string(type);
  w.key("param").null().key("code").null();
  w.end_object().end_object();
  return std::move(w).take();
}

/// Whether the engine's own words may be handed on as the answer: whole, or a refusal of its own.
bool is_answer(const QueryResult& result) {
  return result.failure == QueryFailure::None && result.record &&
         (result.record->status == RecordStatus::Ok ||
          result.record->status == RecordStatus::Error);
}

/// HTTP status of a query that did not begin to answer. SDKs repeat 408, 409, 429 and 5xx by
/// themselves, so what is final gets another code.
int status_of(const QueryResult& result) {
  switch (result.failure) {
    case QueryFailure::NotOffered:
      return 404;
    case QueryFailure::NobodyListens:
    case QueryFailure::NotTaken:
    case QueryFailure::NoAnswer:
      return 503;
    case QueryFailure::Refused:
      return result.error ? error_code_info(result.error->code).http_status : 400;
    case QueryFailure::None:
      return 502;  // recorded, but broken off
    default:
      return 424;  // the node can't be trusted: repeating would pay it again
  }
}

/// Whole seconds that the node asked for, upwards; else one.
std::uint64_t retry_after_s(const QueryResult& result) {
  const std::uint64_t wait_ms = result.error ? result.error->retry_after_ms : 0;
  return std::max<std::uint64_t>(1, wait_ms / 1000 + (wait_ms % 1000 == 0 ? 0 : 1));
}

std::string type_of(const QueryResult& result) {
  if (result.error) return std::string(to_string(result.error->code));
  if (result.failure == QueryFailure::NotOffered) return "model_not_found";
  if (result.failure == QueryFailure::None) return "incomplete_answer";
  return result.failure == QueryFailure::NoAnswer || result.failure == QueryFailure::NobodyListens
             ? "node_unavailable"
             : "verification_failed";
}

/// What an application may want to keep: one line of JSON.
std::string record_line(const QueryResult& result, const VerifiedOffer* offer) {
  JsonWriter w;
  w.begin_object();
  if (offer != nullptr) {
    w.key("node").string(nip19::encode(nip19::Npub{offer->offer().node}));
    w.key("level").string(to_string(offer->verdict().level));
    w.key("simulated").boolean(offer->verdict().simulated);
  }
  if (result.record) {
    w.key("status").string(to_string(result.record->status));
    w.key("cost").string(result.record->cost.to_string());
    w.key("spent").string(result.record->spent.to_string());
    w.key("asset").string(result.record->asset);
  }
  if (result.record_event) w.key("record").raw(to_json(*result.record_event));
  if (result.receipt) w.key("receipt").raw(to_json(*result.receipt));
  w.end_object();
  return std::move(w).take();
}

void write_model(JsonWriter& w, const VerifiedOffer& verified) {
  const Offer& offer = verified.offer();
  w.begin_object();
  w.key("id").string(offer.model).key("object").string("model");
  w.key("created").integer(offer.created_at);
  w.key("owned_by").string(nip19::encode(nip19::Npub{offer.node}));
  w.key("context_length").integer(static_cast<std::int64_t>(offer.context_tokens));
  w.key("max_output_length").integer(static_cast<std::int64_t>(offer.output_tokens_max));
  w.key("pricing").begin_object().key("asset").string(offer.asset);
  for (const PriceTag& price : offer.prices) {
    w.key(to_string(price.unit)).string(price.amount.to_string());
  }
  w.end_object();
  w.key("verification").begin_object();
  w.key("level").string(to_string(verified.verdict().level));
  w.key("tee").string(offer.tee);
  w.key("simulated").boolean(verified.verdict().simulated);
  w.end_object().end_object();
}

}  // namespace

std::string DoneHolder::feed(std::string_view bytes) {
  held_ += bytes;
  if (done_) return {};
  // Look at each line's beginning; everything before the first one that is, or may become, [DONE]
  // goes out.
  std::size_t at = 0;
  if (!at_line_start_) {
    const std::size_t line_end = held_.find('\n');
    if (line_end == std::string::npos) return std::exchange(held_, {});
    at = line_end + 1;
  }
  for (;;) {
    const std::string_view line = std::string_view(held_).substr(at);
    if (line.starts_with(kDone)) {
      done_ = true;
      break;
    }
    if (kDone.starts_with(line)) break;  // also when it is empty
    const std::size_t line_end = held_.find('\n', at);
    if (line_end == std::string::npos) {
      at_line_start_ = false;
      return std::exchange(held_, {});
    }
    at = line_end + 1;
  }
  at_line_start_ = true;
  std::string out = held_.substr(0, at);
  held_.erase(0, at);
  return out;
}

struct Gateway::Exchange {
  AskId ask = AskId::None;
  std::shared_ptr<const VerifiedOffer> offer;
  bool stream = false;
  bool closed = false;  ///< the application went away
  std::optional<ResponseHead> head;
  bool started = false;
  std::string body;  ///< of an answer that is no stream
  DoneHolder holder;

  /// Only a good answer to a streamed request is passed on as it comes.
  [[nodiscard]] bool passes() const { return stream && head && head->status == 200; }
};

Gateway::Gateway(ClientHome& home, net::Loop& loop, const net::ListenConfig& listen)
    : home_(home), server_(loop, *this, listen, [] {
        net::ServerLimits limits;
        limits.http.body_bytes_max = 8U << 20;
        limits.pending_bytes_max = 16U << 20;
        return limits;
      }()) {}

Gateway::~Gateway() {
  *alive_ = false;
  for (const auto& [id, exchange] : std::exchange(exchanges_, {})) {
    home_.asker().cancel(exchange->ask, "the gateway stops");
  }
}

void Gateway::stop() {
  server_.stop_listening();
  const auto running = exchanges_;  // cancelling may end them at once
  for (const auto& [id, exchange] : running) {
    exchange->closed = true;
    home_.asker().cancel(exchange->ask, "the gateway stops");
  }
  server_.close_all("stopping");
}

bool Gateway::from_here(const net::HttpRequest& request) const {
  static const std::set<std::string, std::less<>> kNames = {"localhost", "127.0.0.1", "[::1]"};
  const auto host_of = [](std::string_view authority) {
    const std::size_t end = authority.starts_with('[')
                                ? authority.find(']') + 1
                                : std::min(authority.find(':'), authority.size());
    return authority.substr(0, end);
  };
  if (!kNames.contains(host_of(request.headers.find("Host").value_or("")))) return false;
  const auto origin = request.headers.find("Origin");
  if (!origin) return true;
  const std::size_t scheme_end = origin->find("://");
  return scheme_end != std::string_view::npos &&
         kNames.contains(host_of(origin->substr(scheme_end + 3)));
}

void Gateway::on_http(net::ConnectionId id, const net::HttpRequest& request) {
  if (!from_here(request)) {
    return respond_error(id, 403, "forbidden",
                         "only programs and pages of this machine are served");
  }
  const bool get = request.method == "GET";
  if (get && request.path == "/health") return health(id);
  if (get && request.path == "/v1/models") return list_models(id);
  if (get && request.path == "/nostril/v1/offers") return list_offers(id, request);
  if (get && request.path.starts_with(kModelPrefix)) {
    return show_model(id, std::string_view(request.path).substr(kModelPrefix.size()));
  }
  if (std::ranges::find(kPostPaths, request.path) == kPostPaths.end()) {
    return respond_error(id, 404, "not_found", "no such path; see nostril gateway --help");
  }
  if (request.method != "POST") {
    return respond_error(id, 405, "method_not_allowed", "POST it");
  }
  ask(id, request);
}

void Gateway::ask(net::ConnectionId id, const net::HttpRequest& request) {
  const auto body = Json::parse(request.body);
  const auto model = body ? body->find_string("model") : std::nullopt;
  if (!model) {
    return respond_error(id, 400, "invalid_request_error",
                         "the body must be a JSON object that names a model");
  }
  const auto exchange = std::make_shared<Exchange>();
  exchange->stream = body->find_boolean("stream").value_or(false);
  AskCallbacks callbacks;
  callbacks.on_offer = [this, alive = alive_, exchange](const VerifiedOffer& chosen) {
    if (!*alive) return;
    for (const auto& usable : home_.offers().usable()) {
      if (usable->offer().id == chosen.offer().id) exchange->offer = usable;
    }
  };
  callbacks.on_head = [exchange](const ResponseHead& head) { exchange->head = head; };
  callbacks.on_data = [this, alive = alive_, id, exchange](ByteSpan bytes) {
    if (!*alive || exchange->closed) return;
    if (!exchange->passes()) {
      exchange->body += as_text(bytes);
      return;
    }
    if (!std::exchange(exchange->started, true)) {
      server_.start_stream(
          id, 200, {{"Content-Type", exchange->head->content_type}, {"Cache-Control", "no-cache"}});
    }
    const std::string out = exchange->holder.feed(as_text(bytes));
    if (!out.empty() && !server_.write_stream(id, out)) {
      home_.asker().cancel(exchange->ask, "the application does not read");
    }
  };
  callbacks.on_end = [this, alive = alive_, id, exchange](const QueryResult& result) {
    if (!*alive) return;
    // First, because answering may bring the connection's next request.
    exchanges_.erase(id);
    if (!exchange->closed) finish(id, *exchange, result);
  };
  exchanges_.insert_or_assign(id, exchange);
  exchange->ask =
      home_.asker().ask(std::string(*model), request.path, request.body, std::move(callbacks));
}

void Gateway::finish(net::ConnectionId id, Exchange& exchange, const QueryResult& result) {
  const std::string line = record_line(result, exchange.offer.get());
  if (exchange.started) {
    std::string tail;
    if (result.verified()) {
      tail = ": nostril-record " + line + "\n\n" + exchange.holder.take();
    } else {
      const std::string detail =
          result.detail.empty() ? "the answer is not complete" : result.detail;
      // Ends whatever line the answer broke off in.
      tail = "\n\ndata: " + error_body(type_of(result), detail) + "\n\n";
    }
    server_.write_stream(id, tail);
    server_.end_stream(id);
    return;
  }
  if (is_answer(result) && exchange.head) {
    net::HttpResponse response{exchange.head->status,
                               {{"Content-Type", exchange.head->content_type}},
                               std::move(exchange.body)};
    response.headers.add("X-Nostril-Record", encode_hex(result.record_event->id));
    response.headers.add("X-Nostril-Cost",
                         result.record->cost.to_string() + " " + result.record->asset);
    if (exchange.offer) {
      response.headers.add("X-Nostril-Verification",
                           std::string(to_string(exchange.offer->verdict().level)) +
                               (exchange.offer->verdict().simulated ? "; simulated" : ""));
    }
    server_.respond(id, response);
    return;
  }
  const std::string detail = !result.detail.empty() ? result.detail
                             : result.failure == QueryFailure::None
                                 ? "the answer broke off; see its record"
                                 : std::string(to_string(result.failure));
  log(LogLevel::Warning, "request failed: {}", detail);
  net::HttpResponse response =
      json_response(status_of(result), error_body(type_of(result), detail));
  if (response.status == 429 || response.status == 503) {
    response.headers.add("Retry-After", std::to_string(retry_after_s(result)));
  }
  server_.respond(id, response);
}

void Gateway::on_http_closed(net::ConnectionId id) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  const auto exchange = found->second;
  exchange->closed = true;
  home_.asker().cancel(exchange->ask, "the application went away");
}

void Gateway::list_models(net::ConnectionId id) {
  JsonWriter w;
  w.begin_object().key("object").string("list").key("data").begin_array();
  std::set<std::string> named;
  for (const auto& verified : home_.offers().usable()) {
    if (named.insert(verified->offer().model).second) write_model(w, *verified);
  }
  w.end_array().end_object();
  server_.respond(id, json_response(200, std::move(w).take()));
}

void Gateway::show_model(net::ConnectionId id, std::string_view model) {
  for (const auto& verified : home_.offers().usable()) {
    if (verified->offer().model != model) continue;
    JsonWriter w;
    write_model(w, *verified);
    server_.respond(id, json_response(200, std::move(w).take()));
    return;
  }
  respond_error(id, 404, "not_found", "no verified node offers this model");
}

void Gateway::health(net::ConnectionId id) {
  JsonWriter w;
  const std::size_t usable = home_.offers().usable().size();
  w.begin_object().key("status").string(usable > 0 ? "ok" : "no verified node");
  w.key("relays_connected").integer(static_cast<std::int64_t>(home_.pool().connected_count()));
  w.key("offers_verified").integer(static_cast<std::int64_t>(usable));
  w.key("offers_rejected").integer(static_cast<std::int64_t>(home_.offers().rejected().size()));
  w.end_object();
  server_.respond(id, json_response(usable > 0 ? 200 : 503, std::move(w).take()));
}

void Gateway::list_offers(net::ConnectionId id, const net::HttpRequest& request) {
  net::HttpResponse response = json_response(200, offers_json(home_.offers()));
  response.headers.add("Cache-Control", "no-store");
  // from_here() let it through: a page of this machine.
  if (const auto origin = request.headers.find("Origin")) {
    response.headers.add("Access-Control-Allow-Origin", std::string(*origin));
    response.headers.add("Vary", "Origin");
  }
  server_.respond(id, response);
}

void Gateway::respond_error(net::ConnectionId id, int status, std::string_view type,
                            std::string_view message) {
  server_.respond(id, json_response(status, error_body(type, message)));
}

}  // namespace nostril::client
