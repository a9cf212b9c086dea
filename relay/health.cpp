#include "relay/health.h"

#include "net/http_client.h"
#include "net/loop.h"
#include "net/url.h"

#include <fmt/format.h>

namespace nostril::relay {

namespace {

constexpr std::uint64_t kAnswerMsMax = 5'000;
constexpr std::size_t kDocumentBytesMax = 256 << 10;

/// Where a relay that listens there is reached from this machine.
std::string own_address(const net::ListenConfig& listen) {
  if (listen.port == 0) throw ConfigError("listen: with port 0 nobody knows where the relay is");
  if (listen.host == "::") return fmt::format("[::1]:{}", listen.port);
  if (listen.host == "0.0.0.0") return fmt::format("127.0.0.1:{}", listen.port);
  const bool is_v6 = listen.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", listen.host, is_v6 ? "]" : "", listen.port);
}

net::HttpCall question(const RelayConfig& config) {
  const net::ListenConfig listen = config.listen_config();
  net::HttpCall call;
  call.connect_to = own_address(listen);
  call.url = fmt::format("http://{}/", call.connect_to);
  if (listen.tls.enabled()) {
    const auto url = net::parse_url(config.url);
    if (!url) throw ConfigError("a certificate is of the name in `url`: set it");
    call.url = fmt::format("https://{}{}", url->authority(), url->target);
    call.ca_path = config.tls_certificate;
  }
  call.headers.add("Accept", "application/nostr+json");
  call.connect_ms_max = kAnswerMsMax;
  call.first_byte_ms_max = kAnswerMsMax;
  call.idle_ms_max = kAnswerMsMax;
  call.response_bytes_max = kDocumentBytesMax;
  return call;
}

}  // namespace

std::optional<std::string> health_problem(const RelayConfig& config) {
  const net::HttpCall call = question(config);
  const std::string where = call.connect_to;
  net::Loop loop;
  net::HttpClient client(loop, 1);
  int http_status = 0;
  std::string type;
  std::optional<std::string> problem = "no answer within 5 seconds";
  net::HttpCallbacks callbacks;
  callbacks.on_status = [&](int status, const net::HttpHeaders& headers) {
    http_status = status;
    type = headers.find("Content-Type").value_or("");
  };
  callbacks.on_data = [](std::string_view) { return true; };
  callbacks.on_done = [&](const net::HttpCallResult& result) {
    loop.stop();
    problem.reset();
    if (!result.ok()) {
      problem = fmt::format("{}: {} {}", where, to_string(result.error), result.detail);
    } else if (http_status != 200 || type != "application/nostr+json") {
      problem = fmt::format("{}: what answers there is no relay (HTTP {})", where, http_status);
    }
  };
  loop.after(kAnswerMsMax, [&loop] { loop.stop(); });
  client.start(call, std::move(callbacks));
  loop.run();
  return problem;
}

}  // namespace nostril::relay
