#pragma once

#include "base/json.h"
#include "events/event.h"
#include "events/inference.h"
#include "net/http_client.h"
#include "node/https_face.h"
#include "tests/support/world.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::test {

/// What came of one HTTPS request.
struct Reply {
  int status = 0;
  net::HttpHeaders headers;
  std::string body;
  std::optional<net::HttpCallResult> result;

  [[nodiscard]] std::string error_type() const {
    const auto json = Json::parse(body);
    const Json* error = json ? json->find("error") : nullptr;
    return error == nullptr ? "" : std::string(error->find_string("type").value_or(""));
  }
};

/// A world whose node has an HTTPS face, and a client that trusts its certificate.
class HttpsWorld : public testing::Test {
 protected:
  void start(const std::function<void(node::NodeConfig&)>& configure = {}) {
    world_ = std::make_unique<World>([&](node::NodeConfig& config) {
      config.https.listen = "127.0.0.1:0";
      if (configure) configure(config);
    });
  }

  bool serving() {
    return world_->until([this] { return !world_->agent->offered().empty(); });
  }

  std::shared_ptr<Reply> send(const std::string& method, const std::string& target,
                              const std::string& body = {}, const net::HttpHeaders& headers = {},
                              const std::function<bool()>& on_data = {}) {
    const std::string roots = (world_->folder.path() / "https.pem").string();
    std::ofstream(roots, std::ios::trunc) << world_->https->certificate_pem();
    if (!client_) client_ = std::make_unique<net::HttpClient>(world_->loop);
    net::HttpCall call;
    call.method = method;
    call.url = "https://127.0.0.1:" + std::to_string(world_->https->port()) + target;
    call.headers = headers;
    call.body = body;
    call.ca_path = roots;
    auto reply = std::make_shared<Reply>();
    net::HttpCallbacks callbacks;
    callbacks.on_status = [reply](int status, const net::HttpHeaders& fields) {
      reply->status = status;
      reply->headers = fields;
    };
    callbacks.on_data = [reply, on_data](std::string_view bytes) {
      reply->body += bytes;
      return !on_data || on_data();
    };
    callbacks.on_done = [reply](const net::HttpCallResult& result) { reply->result = result; };
    last_call_ = client_->start(std::move(call), std::move(callbacks));
    return reply;
  }

  std::shared_ptr<Reply> get(const std::string& method, const std::string& target,
                             const std::string& body = {}, const net::HttpHeaders& headers = {}) {
    auto reply = send(method, target, body, headers);
    EXPECT_TRUE(world_->until([&] { return reply->result.has_value(); })) << target;
    return reply;
  }

  /// Records in the node's journal, verified by their form only.
  std::vector<ResponseRecord> records() {
    std::vector<ResponseRecord> out;
    world_->node_journal->scan(client::JournalTable::Records, {}, [&](ByteSpan, ByteSpan value) {
      const auto event = parse_event(as_text(value));
      EXPECT_TRUE(event.has_value());
      if (!event) return false;
      const auto record = parse_record(event->event());
      EXPECT_TRUE(record.has_value());
      if (record) out.push_back(*record);
      return true;
    });
    return out;
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<net::HttpClient> client_;
  net::CallId last_call_ = net::CallId::None;
};

}  // namespace nostril::test
