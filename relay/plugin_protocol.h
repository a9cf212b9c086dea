#pragma once

#include "base/result.h"
#include "events/event.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::relay {

/// How an event came to the relay.
enum class EventSourceType : std::uint8_t { Ip4, Ip6, Import, Stream, Sync, Stored };

struct EventSource {
  EventSourceType type = EventSourceType::Import;
  std::string info;                 ///< of a client: its address; of a relay: its URL
  std::optional<PublicKey> authed;  ///< the first key that its connection has shown (NIP-42)
};

/// One line of a write-policy plugin's input, as strfry writes it, with its end.
[[nodiscard]] std::string plugin_request(const Event& event, std::int64_t received_at_s,
                                         const EventSource& source);

enum class PluginAction : std::uint8_t {
  Accept,
  Reject,
  ShadowReject,  ///< the client is told that it was taken
};

struct PluginReply {
  EventId id;
  PluginAction action = PluginAction::Reject;
  /// For the client: with NIP-01's prefix ("blocked: " where it has none), one line, at most
  /// kPluginMessageBytesMax bytes.
  std::string message;
};

inline constexpr std::size_t kPluginMessageBytesMax = 512;
inline constexpr std::size_t kPluginLineBytesMax = 64 << 10;

/// A line of its output that says nothing. With an id: it is about that event all the same.
struct PluginReplyError {
  std::optional<EventId> id;
};

/// A line of its output, without its end. Members that the protocol does not have are ignored.
[[nodiscard]] Result<PluginReply, PluginReplyError> parse_plugin_reply(std::string_view line);

}  // namespace nostril::relay
