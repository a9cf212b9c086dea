#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/journal.h"
#include "net/loop.h"
#include "net/server.h"
#include "node/answering.h"
#include "node/api_exchange.h"
#include "node/engine_queue.h"
#include "node/exchange_store.h"

#include "face/legacy_signature.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// Where a model is served at present.
struct ModelPlace {
  Services& services;
  EngineQueue& queue;
  LiveOffer offer;
};

class ApiAnswer;

/// What the face asks of the node. Threads: the loop's only.
class ModelDirectory {
 public:
  virtual ~ModelDirectory() = default;

  /// Under its newest offer; nothing when no engine serves it.
  [[nodiscard]] virtual std::optional<ModelPlace> find_model(std::string_view model) = 0;
  /// The newest offer of each model.
  [[nodiscard]] virtual std::vector<Offer> offered() = 0;
};

struct ApiServerParts {
  net::Loop& loop;
  Clock& clock;
  Rng& rng;
  client::Journal& journal;
  ModelDirectory& models;
  ApiAccess& access;
  const face::LegacySigner& signer;
  ExchangeStore& store;
};

struct ApiLimits {
  net::ServerLimits server;
  std::size_t connections_per_peer_max = 64;  ///< of one address; of IPv6 one /64
  std::size_t unsent_bytes_max = 256U << 10;  ///< of one answer; above it the engine waits
  std::size_t whole_bytes_max = 64U << 20;  ///< of an answer that is no stream, held until its end
};

/// The HTTPS face: OpenAI's API over net::Server. A POST to a path of endpoint.h goes the way of
/// every request (answering.h): admission, meter, record. An answer that is no stream leaves once
/// its record is on the disk; of a stream its last word does.
/// Threads: the loop's only.
class ApiServer final : public net::ServerHandler {
 public:
  /// Listens at once; throws as net::Server does.
  ApiServer(ApiServerParts parts, const net::ListenConfig& listen, const ApiLimits& limits = {});
  ~ApiServer() override;
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Before the first request.
  void add_route(ApiRoute route);
  /// The first is the outermost.
  void add_transform(ApiTransformMaker maker);
  void add_hook(ApiHook& hook);
  /// Of inner requests all is as of others, but that none is inside of them.
  void add_envelope(ApiEnvelope envelope);

  [[nodiscard]] net::Server& server() { return server_; }

  /// No new connection; running answers go on.
  void stop_listening();
  /// Ends running answers with a record.
  void stop();

  [[nodiscard]] std::size_t running() const { return answers_.size(); }

  bool accept_connection(const net::PeerAddress& peer) override;
  void on_http(net::ConnectionId id, const net::HttpRequest& request) override;
  void on_http_closed(net::ConnectionId id) override;
  net::HttpResponse refusal(int status, std::string_view text) override;
  void on_drained(net::ConnectionId id) override;
  void connection_closed(const net::PeerAddress& peer) override;

  bool accept_websocket(const net::PeerAddress& /*peer*/,
                        const net::HttpRequest& /*request*/) override {
    return false;
  }

 private:
  [[nodiscard]] const ApiRoute* route_of(const net::HttpRequest& request) const;
  [[nodiscard]] ApiReply reply_to(std::shared_ptr<ApiWire> wire);
  void refuse(ApiWire& wire, int status, std::string_view message);
  void dispatch(net::ConnectionId id, const net::HttpRequest& request,
                const std::shared_ptr<ApiWire>& wire);
  void ask(net::ConnectionId id, const net::HttpRequest& request,
           const std::shared_ptr<ApiWire>& wire);

  ApiServerParts parts_;
  const ApiLimits limits_;
  std::vector<ApiRoute> routes_;
  std::vector<ApiTransformMaker> transforms_;
  std::vector<ApiHook*> hooks_;
  std::vector<ApiEnvelope> envelopes_;
  std::map<net::ConnectionId, std::shared_ptr<ApiAnswer>> answers_;
  std::map<std::array<std::uint8_t, 16>, std::size_t> peers_;  ///< connections of each
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  net::Server server_;
};

}  // namespace nostril::node
