#pragma once

#include "events/event.h"
#include "net/server.h"
#include "relay/store/scan.h"
#include "relay/store/writer.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

/// What travels between the relay's threads. Moved, or immutable and shared.
namespace nostril::relay {

/// A connection of one loop, named from anywhere. A stale one is harmless.
struct SessionId {
  std::uint32_t loop = 0;
  net::ConnectionId connection = net::ConnectionId::None;
};

inline WriteToken to_token(const SessionId& session) {
  return {static_cast<std::uint64_t>(session.connection), session.loop};
}

/// Loop -> verifiers.
struct VerifyJob {
  UnverifiedEvent event;
  SessionId session;
};

/// Verifiers or writer -> loop: one event's answer.
struct PublishAnswer {
  net::ConnectionId connection;
  EventId id;
  bool accepted = false;
  std::string_view message;  ///< static text
};

/// Verifiers -> all loops: an event that is never stored. The last loop to look at it answers its
/// publisher, because only then is it known whether anybody listens.
struct EphemeralEvent {
  VerifiedEvent event;
  std::string json;
  SessionId session;
  mutable std::atomic<std::uint32_t> loops_left;
  mutable std::atomic<std::uint32_t> listeners{0};

  EphemeralEvent(VerifiedEvent event_in, const SessionId& session_in, std::uint32_t loops)
      : event(std::move(event_in)),
        json(to_json(event.event())),
        session(session_in),
        loops_left(loops) {}
};

/// Query worker -> loop: rows of one step, as complete messages but for the subscription's prefix.
struct QueryRow {
  std::uint64_t id_hash;  ///< last 8 bytes of the id
  std::string json;
};

/// The stored part of one REQ; travels loop -> worker -> loop until it is done.
struct QueryTask {
  SessionId session;
  std::string subscription;
  std::uint64_t generation = 0;  ///< which REQ of that name
  std::unique_ptr<Scan> scan;
  std::vector<QueryRow> rows;  ///< of the last step
  bool done = false;
  bool failed = false;
};

}  // namespace nostril::relay
