// A plugin's output: what a client is told of it is one bounded line with a prefix.
#include "relay/plugin_protocol.h"

#include "base/check.h"
#include "base/log.h"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto reply =
      nostril::relay::parse_plugin_reply({reinterpret_cast<const char*>(data), size});
  if (!reply) return 0;
  const std::string& message = reply->message;
  CHECK(message.size() <= nostril::relay::kPluginMessageBytesMax);
  CHECK(nostril::one_line(message) == message);
  CHECK((reply->action == nostril::relay::PluginAction::Reject) == !message.empty());
  CHECK(message.empty() || message.find(':') != std::string::npos);
  return 0;
}
