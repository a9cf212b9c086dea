#pragma once

#include "net/server.h"
#include "net/tls_identity.h"
#include "relay/admission.h"
#include "relay/authentication.h"
#include "relay/config.h"
#include "relay/http_face.h"
#include "relay/moderation.h"
#include "relay/session.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace nostril::relay {

/// What may change while the relay serves. Each loop has a copy of its own and takes the next one
/// between two turns, so nothing is locked where messages are handled; the lists in it are shared
/// and immutable.
struct LiveSettings {
  SessionLimits limits;
  Admission admission;
  Authentication authentication;
  HttpFace http;
  net::ServerLimits server;
  std::shared_ptr<const ModerationLists> lists;
  std::shared_ptr<net::TlsContext> tls;  ///< none: the server keeps what it has
};

/// Of the configuration and of what moderators have said since. Throws ConfigError where a text
/// means nothing. `metrics` makes the text of /metrics; `gate` outlives it.
[[nodiscard]] LiveSettings make_live_settings(const RelayConfig& config,
                                              std::shared_ptr<const ModerationLists> lists,
                                              std::function<std::string()> metrics,
                                              const std::optional<PublicKey>& self = {},
                                              const ServiceGate* gate = nullptr);

}  // namespace nostril::relay
