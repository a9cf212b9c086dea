#include "client/gateway/gateway.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/percent.h"
#include "client/gateway/model_lists.h"
#include "client/offers_json.h"
#include "client/web_site.h"
#include "net/loopback.h"
#include "schnorr/hash.h"

#include <array>
#include <stdexcept>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::string_view kModelPrefix = "/v1/models/";
/// Applications ask what the server can do: the version of the API that is described here.
constexpr std::string_view kOllamaVersion = R"({"version":"0.12.0"})";

AccessSettings access_of(const GatewaySettings& settings) {
  const bool here = net::is_loopback(settings.listen.host);
  if (!here && !settings.listen.tls.enabled()) {
    throw std::runtime_error("who listens beyond this machine needs TLS: --tls-cert, --tls-key");
  }
  AccessSettings out{settings.keys_file, settings.hosts, !here};
  const std::string& host = settings.listen.host;
  out.hosts.push_back(host.find(':') == std::string::npos ? host : "[" + host + "]");
  return out;
}

net::ServerLimits server_limits() {
  net::ServerLimits limits;
  limits.http.body_bytes_max = 8U << 20;
  limits.pending_bytes_max = 16U << 20;
  return limits;
}

ApiError bad_request(std::string message) {
  return {.status = 400, .type = "invalid_request_error", .message = std::move(message)};
}

Digest fingerprint_of(const Caller& caller, const net::HttpRequest& request) {
  return Sha256()
      .update(caller.id.span())
      .update(request.path)
      .update(std::string_view("\n"))
      .update(request.body)
      .finish();
}

RepeatSigns signs_of(const net::HttpHeaders& headers) {
  const auto count = headers.find("x-stainless-retry-count");
  return {headers.find("Idempotency-Key").value_or(""), count && *count != "0"};
}

net::HttpResponse preflight() {
  return {204,
          {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
           {"Access-Control-Allow-Headers", "*, Authorization"},
           {"Access-Control-Max-Age", "600"}},
          {}};
}

}  // namespace

Gateway::Gateway(ClientHome& home, net::Loop& loop, Clock& clock, Rng& rng,
                 GatewaySettings settings)
    : home_(home),
      loop_(loop),
      clock_(clock),
      rng_(rng),
      settings_(std::move(settings)),
      access_(access_of(settings_), home.journal(), clock),
      web_api_(home, clock),
      server_(loop, *this, settings_.listen, server_limits()) {}

Gateway::~Gateway() {
  *alive_ = false;
  for (const auto& [at, exchange] : std::exchange(running_, {})) {
    loop_.cancel(exchange->linger);
    home_.asker().cancel(exchange->ask, "the gateway stops");
  }
}

void Gateway::stop() {
  server_.stop_listening();
  connections_.clear();
  const auto running = running_;  // cancelling may end them at once
  for (const auto& [at, exchange] : running) {
    exchange->connection = net::ConnectionId::None;
    exchange->cancelled = true;
    home_.asker().cancel(exchange->ask, "the gateway stops");
  }
  server_.close_all("stopping");
}

void Gateway::on_http(net::ConnectionId id, const net::HttpRequest& request) {
  const Protocol protocol = protocol_of(request.path);
  if (!access_.from_here(request.headers)) {
    return respond(id,
                   error_response(protocol, {.status = 403,
                                             .type = "forbidden",
                                             .message = "only programs and pages of this machine "
                                                        "are served"}),
                   {});
  }
  const std::string_view origin = request.headers.find("Origin").value_or("");
  if (request.method == "OPTIONS") return respond(id, preflight(), origin);
  if (auto file = web_response(request)) return respond(id, *std::move(file), origin);
  if (request.path == "/health") return respond(id, health(), origin);
  auto caller = access_.admit(request.headers);
  if (!caller) return respond(id, error_response(protocol, caller.error()), origin);
  if (auto here = answer_here(request, *caller)) return respond(id, *std::move(here), origin);
  const Route* route = find_route(request.path);
  if (route == nullptr) {
    return respond(id,
                   error_response(protocol, {.status = 404,
                                             .type = "not_found",
                                             .message = "no such path; see docs/gateway.md"}),
                   origin);
  }
  if (request.method != "POST") {
    return respond(
        id,
        error_response(protocol,
                       {.status = 405, .type = "method_not_allowed", .message = "POST it"}),
        origin);
  }
  ask(id, request, *route, *std::move(caller));
}

std::optional<net::HttpResponse> Gateway::answer_here(const net::HttpRequest& request,
                                                      const Caller& caller) {
  const std::string& path = request.path;
  if (request.method == "POST") {
    if (path == "/v1/messages/count_tokens") return count_tokens(request);
    if (path == "/api/show") return show_model(request);
    return std::nullopt;
  }
  if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
  if (auto page = web_api_.answer(request)) return page;
  if (path == "/v1/models") return json_response(200, openai_models(home_.offers()));
  if (path == "/api/tags" || path == "/api/ps") {
    return json_response(200, ollama_tags(home_.offers()));
  }
  if (path == "/api/version") return json_response(200, std::string(kOllamaVersion));
  // All callers' sums: for who runs the gateway, on this machine.
  if (path == "/metrics" && net::is_loopback(settings_.listen.host)) {
    return net::HttpResponse{
        200, {{"Content-Type", "text/plain; version=0.0.4"}}, metrics_.text(running_, home_)};
  }
  if (path == "/nostril/v1/usage") return json_response(200, access_.usage_of(caller));
  if (path == "/nostril/v1/offers") {
    net::HttpResponse out = json_response(200, offers_json(home_.offers()));
    out.headers.add("Cache-Control", "no-store");
    return out;
  }
  if (!path.starts_with(kModelPrefix)) return std::nullopt;
  const auto name = percent_decode(std::string_view(path).substr(kModelPrefix.size()));
  if (auto model = name ? openai_model(home_.offers(), *name) : std::nullopt) {
    return json_response(200, *std::move(model));
  }
  return error_response(
      Protocol::OpenAi,
      {.status = 404, .type = "not_found", .message = "no verified node offers this model"});
}

net::HttpResponse Gateway::show_model(const net::HttpRequest& request) {
  const auto body = Json::parse(request.body);
  auto name = body ? body->find_string("model") : std::nullopt;
  if (body && !name) name = body->find_string("name");
  if (auto model = name ? ollama_show(home_.offers(), *name) : std::nullopt) {
    return json_response(200, *std::move(model));
  }
  return error_response(
      Protocol::Ollama,
      {.status = 404, .type = "not_found", .message = "no verified node offers this model"});
}

/// Only the model's own tokenizer knows; this is what earlier answers make likely.
net::HttpResponse Gateway::count_tokens(const net::HttpRequest& request) {
  const auto body = Json::parse(request.body);
  const auto model = body ? body->find_string("model") : std::nullopt;
  if (!model || body->find("messages") == nullptr) {
    return error_response(Protocol::Anthropic, bad_request("model and messages are needed"));
  }
  JsonWriter w;
  w.begin_object().key("input_tokens");
  w.integer(static_cast<std::int64_t>(estimate_.tokens(std::string(*model), said_bytes(*body))))
      .end_object();
  return json_response(200, std::move(w).take());
}

net::HttpResponse Gateway::health() const {
  JsonWriter w;
  const std::size_t usable = home_.offers().usable().size();
  w.begin_object().key("status").string(usable > 0 ? "ok" : "no verified node");
  w.key("relays_connected").integer(static_cast<std::int64_t>(home_.pool().connected_count()));
  w.key("offers_verified").integer(static_cast<std::int64_t>(usable));
  w.key("offers_rejected").integer(static_cast<std::int64_t>(home_.offers().rejected().size()));
  w.key("requests_running").integer(static_cast<std::int64_t>(running_.size()));
  w.end_object();
  return json_response(usable > 0 ? 200 : 503, std::move(w).take());
}

void Gateway::ask(net::ConnectionId id, const net::HttpRequest& request, const Route& route,
                  Caller caller) {
  const Protocol protocol = protocol_of(route.path);
  const std::string_view origin = request.headers.find("Origin").value_or("");
  auto body = Json::parse(request.body);
  if (!body || !body->find_string("model")) {
    return respond(
        id,
        error_response(protocol, bad_request("the body must be a JSON object that names a model")),
        origin);
  }
  metrics_.on_request(request.body.size());
  const RepeatSigns signs = signs_of(request.headers);
  const Digest fingerprint = fingerprint_of(caller, request);
  if (const auto first = repeats_.find(fingerprint, signs, loop_.now_ms())) {
    return attach(id, first);
  }
  if (repeats_.names_another(caller, fingerprint, signs.idempotency_key)) {
    return respond(id,
                   error_response(protocol, {.status = 422,
                                             .type = "idempotency_error",
                                             .message = "this Idempotency-Key was used for another "
                                                        "request"}),
                   origin);
  }
  const auto exchange = make_exchange(request, route, *std::move(body), std::move(caller));
  exchange->connection = id;
  connections_.insert_or_assign(id, exchange);
  running_.emplace(exchange.get(), exchange);
  repeats_.add(exchange);
  AskChoice choice;
  const NodeRule* rule = settings_.rules.rule_for(exchange->model);
  choice.hedge_ms = rule != nullptr && rule->hedge_ms > 0 ? rule->hedge_ms : settings_.hedge_ms;
  choice.suits = [this, alive = alive_](const Offer& offer) {
    return *alive && settings_.rules.allows(offer);
  };
  choice.sticky = request.headers.find("X-Nostril-Sticky")
                      .value_or(exchange->body.find_string("prompt_cache_key").value_or(""));
  exchange->ask = home_.asker().ask(exchange->model, request.path, request.body,
                                    callbacks_of(exchange), {}, std::move(choice));
}

Gateway::ExchangePtr Gateway::make_exchange(const net::HttpRequest& request, const Route& route,
                                            Json body, Caller caller) {
  auto out = std::make_shared<Exchange>();
  out->route = &route;
  out->model = *body.find_string("model");
  out->stream = wants_stream(route, body);
  out->said_bytes = said_bytes(body);
  out->body = std::move(body);
  out->fingerprint = fingerprint_of(caller, request);
  out->caller = std::move(caller);
  out->idempotency_key = request.headers.find("Idempotency-Key").value_or("");
  out->origin = request.headers.find("Origin").value_or("");
  std::array<std::uint8_t, 12> random{};
  rng_.fill(random);
  const std::int64_t began_ms = clock_.monotonic_ms();
  out->echo = {
      encode_hex(ByteSpan(random)), out->model, clock_.unix_s(),
      [&clock = clock_, began_ms] { return (clock.monotonic_ms() - began_ms) * 1'000'000; }};
  return out;
}

AskCallbacks Gateway::callbacks_of(const ExchangePtr& exchange) {
  AskCallbacks out;
  out.prepare = [this, alive = alive_, exchange](const VerifiedOffer& offer, std::string& path,
                                                 std::string& body) {
    return *alive && prepare(*exchange, offer, path, body);
  };
  out.on_answering = [exchange](const VerifiedOffer& offer) {
    exchange->part = &exchange->parts.at(offer.offer().id);
  };
  out.on_head = [exchange](const ResponseHead& head) { exchange->head = head; };
  out.on_data = [this, alive = alive_, exchange](ByteSpan bytes) {
    if (*alive && !exchange->cancelled) feed(*exchange, bytes);
  };
  out.on_record = [this, alive = alive_, exchange](const VerifiedOffer& offer,
                                                   const ResponseRecord& record) {
    if (!*alive) return;
    web_api_.on_record(record);
    metrics_.on_record(offer.offer(), record);
    access_.charge(exchange->caller, spent_by(offer.offer(), record));
    estimate_.learn(exchange->model, exchange->said_bytes, record.usage.input);
  };
  out.on_end = [this, alive = alive_, exchange](const QueryResult& result) {
    if (*alive) finish(exchange, result);
  };
  return out;
}

/// The request as this node's engine reads it, and the budget for what it may come to.
bool Gateway::prepare(Exchange& exchange, const VerifiedOffer& verified, std::string& path,
                      std::string& body) {
  const Offer& offer = verified.offer();
  const bool native = speaks(offer, *exchange.route);
  if (!native || exchange.route->kind == RouteKind::Embeddings) {
    auto call = call_for(*exchange.route, exchange.body, native);
    if (!call) {
      exchange.error = bad_request(std::move(call).error());
      return false;
    }
    path = std::move(call->path);
    body = std::move(call->body);
  }
  access_.release(exchange.caller, std::exchange(exchange.reserved, {}));
  const ApiSpending most = most_of(offer, settlement::PriceTable::of(offer), body);
  if (auto reserved = access_.reserve(exchange.caller, most); !reserved) {
    exchange.error = std::move(reserved).error();
    return false;
  }
  exchange.reserved = most;
  Exchange::Part& part = exchange.parts[offer.id];
  for (const auto& usable : home_.offers().usable()) {
    if (usable->offer().id == offer.id) part.offer = usable;
  }
  CHECK(part.offer != nullptr);
  metrics_.on_try(++exchange.tries);
  part.form = form_for(*exchange.route, exchange.body, native, exchange.echo);
  exchange.part = &part;
  return true;
}

void Gateway::feed(Exchange& exchange, ByteSpan bytes) {
  if (exchange.passes()) {
    say(exchange, exchange.part->form->feed(as_text(bytes)));
    return;
  }
  exchange.engine_body += as_text(bytes);
  if (exchange.engine_body.size() > Exchange::kBodyBytesMax) {
    exchange.error =
        ApiError{.status = 422, .type = "answer_too_large", .message = "the answer is too large"};
    home_.asker().cancel(exchange.ask, "the answer is too large");
  }
}

void Gateway::say(Exchange& exchange, std::string_view text) {
  if (text.empty()) return;
  if (exchange.sent.size() + text.size() > Exchange::kReplayBytesMax) {
    exchange.replayable = false;
    std::string().swap(exchange.sent);  // its memory, too
  }
  if (exchange.replayable) exchange.sent += text;
  begin_stream(exchange);
  if (exchange.connection == net::ConnectionId::None) return;
  exchange.fed = true;
  metrics_.on_bytes(text.size());
  if (!server_.write_stream(exchange.connection, text)) {
    home_.asker().cancel(exchange.ask, "the application does not read");
  }
}

void Gateway::begin_stream(Exchange& exchange) {
  if (std::exchange(exchange.started, true)) return;
  if (exchange.connection == net::ConnectionId::None) return;
  net::HttpHeaders headers = {{"Content-Type", std::string(exchange.part->form->stream_type())},
                              {"Cache-Control", "no-cache"}};
  if (!exchange.origin.empty()) {
    headers.add("Access-Control-Allow-Origin", exchange.origin);
    headers.add("Vary", "Origin");
  }
  server_.start_stream(exchange.connection, 200, headers);
}

void Gateway::finish(const ExchangePtr& exchange, const QueryResult& result) {
  loop_.cancel(std::exchange(exchange->linger, net::TimerId::None));
  running_.erase(exchange.get());
  metrics_.on_end(*exchange, result);
  access_.release(exchange->caller, std::exchange(exchange->reserved, {}));
  if (!result.verified()) {
    // Not the message, which may be the node's words.
    const std::string type = exchange->error ? exchange->error->type : error_of(result).type;
    log(LogLevel::Warning, "request failed: {} ({})", public_text(type), result.failure);
  }
  if (exchange->started) {
    const bool whole = result.verified() && exchange->part != nullptr && !exchange->error;
    say(*exchange, whole ? exchange->part->form->finish(proof_of(result, *exchange->part->offer))
                         : exchange->part->form->fail(exchange->error.value_or(error_of(result))));
  } else if (exchange->passes() && result.verified() && exchange->part != nullptr) {
    say(*exchange, exchange->part->form->finish(proof_of(result, *exchange->part->offer)));
  } else {
    exchange->response = response_of(*exchange, result);
  }
  std::string().swap(exchange->engine_body);
  exchange->ended = true;
  const bool lost = exchange->connection == net::ConnectionId::None;
  const bool final = exchange->response && exchange->response->headers.find("x-should-retry");
  const bool small =
      exchange->replayable &&
      (!exchange->response || exchange->response->body.size() <= Exchange::kReplayBytesMax);
  // A refusal that may pass is worth another try.
  const bool passing = exchange->response && exchange->response->status >= 500;
  const bool keep = small && !exchange->cancelled && !passing &&
                    (lost || final || !exchange->idempotency_key.empty());
  deliver(*exchange);
  repeats_.end(exchange, keep, loop_.now_ms());
}

/// What ended, to the application, if it is there.
void Gateway::deliver(Exchange& exchange) {
  const net::ConnectionId id = exchange.connection;
  if (id == net::ConnectionId::None) return;
  // First, because answering may bring the connection's next request.
  connections_.erase(id);
  if (exchange.response) {
    metrics_.on_bytes(exchange.response->body.size());
    respond(id, *exchange.response, exchange.origin);
  } else {
    begin_stream(exchange);  // of a stream without a byte
    server_.end_stream(id);
  }
}

/// The application of `exchange` asks again, on another connection: it goes on there.
void Gateway::attach(net::ConnectionId id, const ExchangePtr& exchange) {
  log(LogLevel::Info, "a request is sent again; it is not asked twice");
  metrics_.on_repeat();
  loop_.cancel(std::exchange(exchange->linger, net::TimerId::None));
  const net::ConnectionId old = std::exchange(exchange->connection, id);
  if (old != net::ConnectionId::None && connections_.erase(old) > 0) server_.drop(old);
  connections_.insert_or_assign(id, exchange);
  if (exchange->started) {
    exchange->started = false;
    begin_stream(*exchange);
    exchange->fed = true;
    metrics_.on_bytes(exchange->sent.size());
    server_.write_stream(id, exchange->sent);
  }
  if (exchange->ended) deliver(*exchange);
}

void Gateway::on_http_closed(net::ConnectionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const auto exchange = found->second;
  connections_.erase(found);
  exchange->connection = net::ConnectionId::None;
  const auto leave = [this, exchange] {
    exchange->linger = net::TimerId::None;
    exchange->cancelled = true;
    home_.asker().cancel(exchange->ask, "the application went away");
  };
  if (exchange->fed) {
    leave();
  } else {
    exchange->linger = loop_.after(kRepeatWaitMs, leave);
  }
}

void Gateway::respond(net::ConnectionId id, net::HttpResponse response, std::string_view origin) {
  // from_here() let it through: a page of this machine.
  if (!origin.empty()) {
    response.headers.add("Access-Control-Allow-Origin", std::string(origin));
    response.headers.add("Vary", "Origin");
  }
  server_.respond(id, response);
}

}  // namespace nostril::client
