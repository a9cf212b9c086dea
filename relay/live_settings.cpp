#include "relay/live_settings.h"

#include <utility>

namespace nostril::relay {

namespace {

// What a moderator called the relay goes before what the file calls it.
RelayConfig with_texts(RelayConfig config, const ModerationLists& lists) {
  const auto take = [&](const char* name, std::string& field) {
    const auto found = lists.texts->find(name);
    if (found != lists.texts->end()) field = found->second;
  };
  take("name", config.info.name);
  take("description", config.info.description);
  take("icon", config.info.icon);
  return config;
}

}  // namespace

LiveSettings make_live_settings(const RelayConfig& config,
                                std::shared_ptr<const ModerationLists> lists,
                                std::function<std::string()> metrics,
                                const std::optional<PublicKey>& self, const ServiceGate* gate) {
  return {config.session_limits(),
          Admission(config.admission_rules(), lists),
          Authentication(config.auth_rules()),
          HttpFace(with_texts(config, *lists), *lists, std::move(metrics), self, gate),
          config.server_limits(),
          std::move(lists),
          nullptr};
}

}  // namespace nostril::relay
