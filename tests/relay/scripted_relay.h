#pragma once

#include "net/server.h"
#include "tests/relay/relay_support.h"

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::relay::test {

/// A relay that says what it is told, on the test's own loop.
class Scripted final : public net::ServerHandler {
 public:
  using Answer = std::function<std::vector<std::string>(const std::string&)>;

  Scripted(World& world, Answer answer)
      : answer_(std::move(answer)), server_(world.loop, *this, net::ListenConfig{}) {}

  [[nodiscard]] std::string url() const {
    return fmt::format("ws://127.0.0.1:{}", server_.local_port());
  }

  void on_ws_text(net::ConnectionId id, std::string_view text) override {
    for (const std::string& message : answer_(std::string(text))) server_.send_text(id, message);
  }

  void on_http(net::ConnectionId /*id*/, const net::HttpRequest& /*request*/) override {}

  bool accept_websocket(const net::PeerAddress& /*peer*/,
                        const net::HttpRequest& /*request*/) override {
    return true;
  }

  void on_ws_open(net::ConnectionId /*id*/, const net::PeerAddress& /*peer*/,
                  const net::HttpRequest& /*request*/) override {}

  void on_ws_binary(net::ConnectionId /*id*/, std::string_view /*message*/) override {}

  void on_ws_close(net::ConnectionId /*id*/) override {}

  void on_drained(net::ConnectionId /*id*/) override {}

 private:
  const Answer answer_;
  net::Server server_;
};

}  // namespace nostril::relay::test
