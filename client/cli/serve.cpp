#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/gateway/gateway.h"
#include "net/tls_identity.h"

#include <CLI/CLI.hpp>
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

void add_gateway(CLI::App& app, Options& o, Command& run) {
  auto* gateway_app = app.add_subcommand(
      "gateway",
      "a server for applications of this machine; each request goes, sealed, to a verified node\n"
      "OpenAI:    base_url = http://127.0.0.1:8788/v1   chat, completions, responses, embeddings\n"
      "Anthropic: base_url = http://127.0.0.1:8788      messages, count_tokens (an estimate)\n"
      "Ollama:    host     = http://127.0.0.1:8788      chat, generate, embed, tags, show\n"
      "GET /health, /v1/models, /nostril/v1/offers, /nostril/v1/usage. See docs/gateway.md");
  add_client(*gateway_app, o.client, o.home);
  gateway_app->add_option("--listen", o.gateway.listen,
                          "HOST:PORT; port 0 picks one. Beyond loopback only with keys and TLS. "
                          "127.0.0.1:8788");
  gateway_app->add_option("--host", o.gateway.hosts,
                          "another name under which this machine is called; again for more");
  auto* cert = gateway_app->add_option("--tls-cert", o.gateway.tls_cert, "PEM, the chain");
  auto* key = gateway_app->add_option("--tls-key", o.gateway.tls_key, "PEM");
  cert->needs(key);
  key->needs(cert);
  gateway_app
      ->add_option("--hedge-ms", o.gateway.hedge_ms,
                   "ask a second node when the first has said nothing after this; both are paid. "
                   "0: never")
      ->check(CLI::Range(0, 600'000));
  gateway_app->add_option("--rules", o.gateway.rules,
                          "TOML file: for each model prices, nodes, hedging; docs/gateway.md");
  gateway_app->callback([&] {
    run = [&o](Process& process) {
      return gateway(process, settings_of(o), HomeConfig::read(o.home), o.gateway);
    };
  });
}

}  // namespace nostril::client::cli
