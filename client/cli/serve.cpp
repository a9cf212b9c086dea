#include "client/cli/commands.h"
#include "client/gateway.h"

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
  if (out.host != "127.0.0.1" && out.host != "::1") {
    throw std::runtime_error("the gateway has no keys of its own yet: it listens on loopback only");
  }
  return out;
}

}  // namespace

int gateway(Process& process, const ClientSettings& settings, const std::string& listen) {
  const net::ListenConfig address = parse_listen(listen);
  ClientHome home(settings, process.loop, process.clock, process.rng);
  for (const std::string& root : settings.test_roots) {
    fmt::print(stderr, "nostril: SIMULATED evidence is taken under {}\n", root);
  }
  Gateway gateway(home, process.loop, address);
  fmt::print("listening on http://{}:{}/v1\n", address.host == "::1" ? "[::1]" : address.host,
             gateway.port());
  std::fflush(stdout);
  const auto stop = [&] {
    gateway.stop();
    // The records of answers that were cut off are worth a moment.
    process.loop.after(500, [&] { process.loop.stop(); });
  };
  process.loop.on_signal(SIGINT, stop);
  process.loop.on_signal(SIGTERM, stop);
  process.loop.run();
  return 0;
}

}  // namespace nostril::client::cli
