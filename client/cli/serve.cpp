#include "client/cli/commands.h"
#include "client/gateway/gateway.h"
#include "net/tls_identity.h"

#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

net::ListenConfig parse_listen(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  net::ListenConfig out;
  out.host = text.substr(0, colon == std::string::npos ? 0 : colon);
  if (out.host.starts_with('[') && out.host.ends_with(']')) {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  const char* begin = text.data() + (colon == std::string::npos ? text.size() : colon + 1);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, out.port);
  if (out.host.empty() || error != std::errc() || stop != end) {
    throw std::runtime_error("--listen must be HOST:PORT: " + text);
  }
  return out;
}

}  // namespace

int gateway(Process& process, const ClientSettings& settings, const HomeConfig& config,
            const GatewayOptions& options) {
  const HomeConfig::Gateway& file = config.gateway;
  GatewaySettings served;
  served.listen = parse_listen(options.listen.empty() ? file.listen : options.listen);
  served.keys_file = keys_file_of(settings.home);
  served.hosts = options.hosts.empty() ? file.hosts : options.hosts;
  served.hedge_ms = options.hedge_ms.value_or(file.hedge_ms);
  const std::string& rules = options.rules.empty() ? file.rules : options.rules;
  if (!rules.empty()) served.rules = NodeRules::read(rules);
  const bool own_tls = !options.tls_cert.empty();
  const std::string& cert = own_tls ? options.tls_cert : file.tls_cert;
  if (!cert.empty()) {
    served.listen.tls.context =
        net::TlsIdentity::load(cert, own_tls ? options.tls_key : file.tls_key).server_context();
  }
  ClientHome home(settings, process.loop, process.clock, process.rng);
  for (const std::string& root : settings.test_roots) {
    fmt::print(stderr, "nostril: SIMULATED evidence is taken under {}\n", root);
  }
  const net::ListenConfig& address = served.listen;
  const std::string host =
      address.host.find(':') == std::string::npos ? address.host : "[" + address.host + "]";
  const std::string scheme = address.tls.enabled() ? "https" : "http";
  Gateway gateway(home, process.loop, process.clock, process.rng, served);
  fmt::print("listening on {}://{}:{}/v1\n", scheme, host, gateway.port());
  std::fflush(stdout);
  const auto stop = [&] {
    gateway.stop();
    // The records of answers that were cut off are worth a moment.
    process.loop.after(500, [&] { process.loop.stop(); });
  };
  process.loop.on_signal(SIGINT, stop);
  process.loop.on_signal(SIGTERM, stop);
  process.loop.run();
  home.finish_paying();
  return 0;
}

}  // namespace nostril::client::cli
