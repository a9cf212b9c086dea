#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/gateway/access.h"
#include "client/gateway/exchange.h"
#include "client/gateway/gateway_metrics.h"
#include "client/gateway/model_rules.h"
#include "client/gateway/repeats.h"
#include "client/gateway/token_estimate.h"
#include "client/home.h"
#include "client/web_api.h"
#include "net/server.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

struct GatewaySettings {
  net::ListenConfig listen;
  std::filesystem::path keys_file;  ///< of `nostril keys`; none: no key is asked for
  std::vector<std::string> hosts;   ///< other names of this machine, for Host and Origin
  std::int64_t hedge_ms = 0;        ///< AskChoice::hedge_ms, where no rule says more
  NodeRules rules;
};

/// A server for applications on this machine, in the languages that they speak; each request goes,
/// sealed, to a node whose evidence has passed. docs/gateway.md.
///   OpenAI     POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings
///              GET  /v1/models, /v1/models/{id}
///   Anthropic  POST /v1/messages, /v1/messages/count_tokens
///   Ollama     POST /api/chat, /api/generate, /api/embed, /api/embeddings, /api/show
///              GET  /api/tags, /api/ps, /api/version
///   ours       GET  /health, /metrics (on loopback), /nostril/v1/offers (offers_json.h, for
///   client/js), /nostril/v1/usage,
///              /nostril/v1/nodes, /verdict, /spending (web_api.h); / and the files of the page for
///              people (web_site.h)
///
/// Where the engine speaks the path its bytes pass unchanged but for what answer_form.h adds; else
/// the request is made one for /v1/chat/completions and the answer is translated. An answer that is
/// no stream is held until its record is right, and carries X-Nostril-* headers.
///
/// An application that closes its connection stops the engine: at once when it has got bytes, else
/// after kRepeatWaitMs, for SDKs send a request again when it took too long (repeats.h).
///
/// Throws std::runtime_error before it listens: keys that can't be read, an address beyond this
/// machine's loopback without keys or without TLS. Threads: the loop's only.
class Gateway final : public net::ServerHandler {
 public:
  static constexpr std::uint64_t kRepeatWaitMs = 1'000;

  Gateway(ClientHome& home, net::Loop& loop, Clock& clock, Rng& rng, GatewaySettings settings);
  ~Gateway() override;
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  [[nodiscard]] std::uint16_t port() const { return server_.local_port(); }

  /// Ends running requests; connections close.
  void stop();

  void on_http(net::ConnectionId id, const net::HttpRequest& request) override;
  void on_http_closed(net::ConnectionId id) override;

  bool accept_websocket(const net::PeerAddress&, const net::HttpRequest&) override { return false; }

 private:
  using ExchangePtr = std::shared_ptr<Exchange>;

  /// What is answered without a node; nothing: it takes one.
  [[nodiscard]] std::optional<net::HttpResponse> answer_here(const net::HttpRequest& request,
                                                             const Caller& caller);
  [[nodiscard]] net::HttpResponse show_model(const net::HttpRequest& request);
  [[nodiscard]] net::HttpResponse count_tokens(const net::HttpRequest& request);
  [[nodiscard]] net::HttpResponse health() const;

  void ask(net::ConnectionId id, const net::HttpRequest& request, const Route& route,
           Caller caller);
  [[nodiscard]] ExchangePtr make_exchange(const net::HttpRequest& request, const Route& route,
                                          Json body, Caller caller);
  [[nodiscard]] AskCallbacks callbacks_of(const ExchangePtr& exchange);
  bool prepare(Exchange& exchange, const VerifiedOffer& verified, std::string& path,
               std::string& body);
  void feed(Exchange& exchange, ByteSpan bytes);
  void finish(const ExchangePtr& exchange, const QueryResult& result);

  void attach(net::ConnectionId id, const ExchangePtr& exchange);
  void say(Exchange& exchange, std::string_view text);
  void begin_stream(Exchange& exchange);
  void deliver(Exchange& exchange);
  void respond(net::ConnectionId id, net::HttpResponse response, std::string_view origin);

  ClientHome& home_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  const GatewaySettings settings_;
  Access access_;
  WebApi web_api_;
  net::Server server_;
  Repeats repeats_;
  GatewayMetrics metrics_;
  TokenEstimate estimate_;
  std::map<net::ConnectionId, ExchangePtr> connections_;
  std::map<const Exchange*, ExchangePtr> running_;
  /// False once this object is gone: for callbacks that the asker still holds.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::client
