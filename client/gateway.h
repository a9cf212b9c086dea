#pragma once

#include "client/asker.h"
#include "client/home.h"
#include "net/server.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace nostril::client {

/// Holds back the end of an SSE stream, so that something can be said before `data: [DONE]`. All
/// other bytes pass as they come. Pure; one thread.
class DoneHolder {
 public:
  /// The bytes that may be sent now.
  [[nodiscard]] std::string feed(std::string_view bytes);

  /// The bytes held back: from the [DONE] line on, or a beginning of it.
  [[nodiscard]] std::string take() { return std::exchange(held_, {}); }

 private:
  std::string held_;
  bool done_ = false;
  bool at_line_start_ = true;
};

/// An OpenAI-compatible server for applications on this machine: each request goes, sealed, to a
/// node whose evidence has passed.
///   GET  /v1/models, /v1/models/{id}, /health
///   POST /v1/chat/completions, /v1/completions   streamed and not
///   GET  /nostril/v1/offers   every offer with its verdict (offers_json.h), for client/js; pages
///   of
///                             this machine may read it, too
/// Engine bytes pass unchanged. A stream carries `: nostril-record {…}` as a comment before [DONE];
/// another answer is held until its record is right, and carries X-Nostril-* headers.
/// Refuses requests whose Host is not this machine's loopback (DNS rebinding) or whose Origin is a
/// foreign page.
/// Threads: the loop's only.
class Gateway final : public net::ServerHandler {
 public:
  Gateway(ClientHome& home, net::Loop& loop, const net::ListenConfig& listen);
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
  struct Exchange;

  [[nodiscard]] bool from_here(const net::HttpRequest& request) const;
  void ask(net::ConnectionId id, const net::HttpRequest& request);
  void finish(net::ConnectionId id, Exchange& exchange, const QueryResult& result);
  void list_models(net::ConnectionId id);
  void show_model(net::ConnectionId id, std::string_view model);
  void health(net::ConnectionId id);
  void list_offers(net::ConnectionId id, const net::HttpRequest& request);
  void respond_error(net::ConnectionId id, int status, std::string_view type,
                     std::string_view message);

  ClientHome& home_;
  net::Server server_;
  std::map<net::ConnectionId, std::shared_ptr<Exchange>> exchanges_;
  /// False once this object is gone: for callbacks that the asker still holds.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::client
