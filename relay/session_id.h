#pragma once

#include "net/server.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace nostril::relay {

/// No loop: what the mirrors offer (relay/sync/mirror.h). The connection is the stream's index.
inline constexpr std::uint32_t kMirrorLoop = UINT32_MAX;

/// None either: what the relay itself publishes. Nobody waits for an answer.
inline constexpr std::uint32_t kOwnLoop = UINT32_MAX - 1;

/// Nor here: what the cluster's other relays have taken.
inline constexpr std::uint32_t kStreamLoop = UINT32_MAX - 2;

/// Names a session from any thread: its loop, and its connection there. Connection ids are never
/// reused within a run, so an answer to a session that has gone finds nobody, never somebody else.
struct SessionId {
  std::uint32_t loop = 0;
  net::ConnectionId connection = net::ConnectionId::None;

  auto operator<=>(const SessionId&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

}  // namespace nostril::relay

template <>
struct std::hash<nostril::relay::SessionId> {
  std::size_t operator()(const nostril::relay::SessionId& id) const noexcept {
    return std::hash<std::uint64_t>()(static_cast<std::uint64_t>(id.connection) +
                                      (std::uint64_t{id.loop} << 48U));
  }
};
