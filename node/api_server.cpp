#include "node/api_server.h"

#include "node/api_answer.h"
#include "node/endpoint.h"

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

/// What a browser asks before a page may send a key, or JSON.
net::HttpResponse preflight() {
  constexpr int kNoContent = 204;
  return {kNoContent,
          {{"Access-Control-Allow-Methods", "GET, POST"},
           {"Access-Control-Allow-Headers", "Authorization, *"},
           {"Access-Control-Max-Age", "86400"}},
          {}};
}

}  // namespace

ApiServer::ApiServer(ApiServerParts parts, const net::ListenConfig& listen, const ApiLimits& limits)
    : parts_(parts), limits_(limits), server_(parts.loop, *this, listen, limits.server) {}

ApiServer::~ApiServer() {
  *alive_ = false;
}

void ApiServer::add_route(ApiRoute route) {
  routes_.push_back(std::move(route));
}

void ApiServer::add_transform(ApiTransformMaker maker) {
  transforms_.push_back(std::move(maker));
}

void ApiServer::add_hook(ApiHook& hook) {
  hooks_.push_back(&hook);
}

void ApiServer::add_envelope(ApiEnvelope envelope) {
  envelopes_.push_back(std::move(envelope));
}

void ApiServer::stop_listening() {
  server_.stop_listening();
}

void ApiServer::stop() {
  server_.stop_listening();
  const auto running = answers_;  // ending one may take it off the map
  for (const auto& [id, answer] : running) answer->stop();
  server_.close_all("stopping");
}

bool ApiServer::accept_connection(const net::PeerAddress& peer) {
  std::size_t& count = peers_[net::peer_group(peer)];
  if (count >= limits_.connections_per_peer_max) return false;
  ++count;
  return true;
}

void ApiServer::connection_closed(const net::PeerAddress& peer) {
  const auto found = peers_.find(net::peer_group(peer));
  if (found != peers_.end() && --found->second == 0) peers_.erase(found);
}

const ApiRoute* ApiServer::route_of(const net::HttpRequest& request) const {
  const auto matches = [&request](const ApiRoute& route) {
    return route.below ? request.path.starts_with(route.path) : request.path == route.path;
  };
  const auto found = std::ranges::find_if(routes_, [&](const ApiRoute& route) {
    return matches(route) && route.method == request.method;
  });
  if (found != routes_.end()) return &*found;
  const auto other = std::ranges::find_if(routes_, matches);
  return other == routes_.end() ? nullptr : &*other;
}

ApiReply ApiServer::reply_to(std::shared_ptr<ApiWire> wire) {
  return
      [alive = std::weak_ptr(alive_), wire = std::move(wire)](const net::HttpResponse& response) {
        if (!alive.expired()) wire->respond(response);
      };
}

void ApiServer::refuse(ApiWire& wire, int status, std::string_view message) {
  wire.respond(refusal(status, message));
}

void ApiServer::on_http(net::ConnectionId id, const net::HttpRequest& request) {
  const auto wire = std::make_shared<ConnectionWire>(server_, id);
  if (request.method == "OPTIONS") return wire->respond(preflight());
  const auto envelope = std::ranges::find(envelopes_, request.path, &ApiEnvelope::path);
  if (envelope == envelopes_.end()) return dispatch(id, request, wire);
  if (request.method != "POST") return refuse(*wire, 405, "no such method on this path");
  const auto inner = envelope->open(request, wire);
  if (!inner) return wire->respond(to_response(inner.error()));
  dispatch(id, inner->request, inner->wire);
}

void ApiServer::dispatch(net::ConnectionId id, const net::HttpRequest& request,
                         const std::shared_ptr<ApiWire>& wire) {
  const ApiRoute* route = route_of(request);
  const bool is_endpoint = find_endpoint(request.path) != nullptr;
  if (route == nullptr && !is_endpoint) return refuse(*wire, 404, "no such path");
  if (request.method != (route == nullptr ? "POST" : route->method)) {
    return refuse(*wire, 405, "no such method on this path");
  }
  const auto peer = server_.peer(id);
  if (!peer) return;
  if (route != nullptr) return route->answer(request, *peer, reply_to(wire));
  ask(id, request, wire);
}

void ApiServer::ask(net::ConnectionId id, const net::HttpRequest& request,
                    const std::shared_ptr<ApiWire>& wire) {
  const auto answer = std::make_shared<ApiAnswer>(ApiContext{parts_, limits_, transforms_, hooks_},
                                                  wire, [this, alive = std::weak_ptr(alive_), id] {
                                                    if (!alive.expired()) answers_.erase(id);
                                                  });
  answers_.insert_or_assign(id, answer);
  answer->begin(request, *server_.peer(id));
}

net::HttpResponse ApiServer::refusal(int status, std::string_view text) {
  return to_response({status, api_error_type(status), text});
}

void ApiServer::on_http_closed(net::ConnectionId id) {
  const auto found = answers_.find(id);
  if (found == answers_.end()) return;
  const auto answer = found->second;
  answer->on_closed();
}

void ApiServer::on_drained(net::ConnectionId id) {
  const auto found = answers_.find(id);
  if (found == answers_.end()) return;
  const auto answer = found->second;
  answer->on_drained();
}

}  // namespace nostril::node
