#include "node/metrics_server.h"

#include "base/config.h"
#include "net/loopback.h"

#include <charconv>
#include <optional>
#include <utility>

namespace nostril::node {

namespace {

net::ListenConfig loopback(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  net::ListenConfig out;
  if (colon != std::string::npos) {
    out.host = address.substr(0, colon);
    if (out.host == "[::1]") out.host = "::1";
    const char* begin = address.data() + colon + 1;
    const char* end = address.data() + address.size();
    const auto [rest, error] = std::from_chars(begin, end, out.port);
    if (out.host == "localhost") out.host = "127.0.0.1";
    if (error == std::errc() && rest == end && net::is_loopback(out.host)) return out;
  }
  throw ConfigError("metrics.listen: \"" + address +
                    "\" must be ADDRESS:PORT on loopback, e.g. 127.0.0.1:9464");
}

net::ServerLimits small() {
  net::ServerLimits out;
  out.connections_count_max = 32;
  out.http.body_bytes_max = 0;
  return out;
}

}  // namespace

MetricsServer::MetricsServer(net::Loop& loop, const std::string& address,
                             std::function<std::string()> metrics)
    : metrics_(std::move(metrics)), server_(loop, *this, loopback(address), small()) {}

void MetricsServer::on_http(net::ConnectionId id, const net::HttpRequest& request) {
  const bool is_read = request.method == "GET" || request.method == "HEAD";
  const auto answer = [&](int status, const char* type, std::string body) {
    server_.respond(id, {status, {{"Content-Type", type}}, std::move(body)});
  };
  if (is_read && request.path == "/metrics") {
    answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics_());
  } else if (is_read && request.path == "/healthz") {
    answer(200, "text/plain", "ok\n");
  } else {
    answer(404, "text/plain", "/metrics, /healthz\n");
  }
}

}  // namespace nostril::node
