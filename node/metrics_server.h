#pragma once

#include "net/loop.h"
#include "net/server.h"

#include <cstdint>
#include <functional>
#include <string>

namespace nostril::node {

/// `GET /metrics` (Prometheus text) and `GET /healthz` for the operator, on a listener of its own:
/// clients never reach it. Threads: the loop's only.
class MetricsServer final : public net::ServerHandler {
 public:
  /// `address`: ADDRESS:PORT, and the address must be of loopback: what a node counts tells others
  /// how busy it is. Throws ConfigError, or std::runtime_error when the port is taken.
  MetricsServer(net::Loop& loop, const std::string& address, std::function<std::string()> metrics);

  [[nodiscard]] std::uint16_t port() const { return server_.local_port(); }

  void on_http(net::ConnectionId id, const net::HttpRequest& request) override;

  bool accept_websocket(const net::PeerAddress&, const net::HttpRequest&) override { return false; }

 private:
  std::function<std::string()> metrics_;
  net::Server server_;
};

}  // namespace nostril::node
