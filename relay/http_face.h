#pragma once

#include "net/http.h"
#include "relay/config.h"
#include "relay/moderation.h"
#include "relay/service_gate.h"

#include <functional>
#include <optional>
#include <string>

namespace nostril::relay {

/// What the relay's port answers to plain HTTP: the NIP-11 document, /metrics, /health, a page for
/// people who open the address in a browser, and the operator's at /admin. Threads: const after
/// construction, any.
class HttpFace {
 public:
  /// `metrics` makes the text of /metrics; called on the asking loop's thread.
  /// `self`: the relay's own key, where it has one.
  /// `gate`: what /health says; nothing: that the relay serves.
  HttpFace(const RelayConfig& config, const ModerationLists& lists,
           std::function<std::string()> metrics, const std::optional<PublicKey>& self = {},
           const ServiceGate* gate = nullptr);

  [[nodiscard]] bool has_admin() const { return has_admin_; }

  [[nodiscard]] net::HttpResponse answer(const net::HttpRequest& request) const;
  /// Of a path where there is nothing, for a WebSocket neither.
  [[nodiscard]] static net::HttpResponse not_found();
  /// WebSockets are taken at one path only (NIP-01).
  [[nodiscard]] bool is_relay_path(std::string_view path) const;

 private:
  std::string document_;
  std::string page_;
  std::string path_;  // of the public URL
  bool has_admin_ = false;
  std::function<std::string()> metrics_;  // empty: not served
  const ServiceGate* gate_;
};

/// Of a relay that takes no clients at the moment: 503, come again.
[[nodiscard]] net::HttpResponse not_now(ServiceGate::State state);

}  // namespace nostril::relay
