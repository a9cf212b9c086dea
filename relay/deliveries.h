#pragma once

#include "events/event.h"
#include "relay/credits.h"
#include "relay/query.h"
#include "relay/session_id.h"
#include "relay/store/writer.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace nostril::relay {

/// What one commit means for the loops: the same object for all of them.
struct Committed {
  CommittedBatch batch;
  std::uint64_t number = 0;  ///< 1 for the first commit of this run
  Credit credit;             ///< of the events in it
};

/// A verified ephemeral event on its way through all loops. The last of them knows whether anybody
/// was subscribed.
struct Ephemeral {
  Ephemeral(VerifiedEvent the_event, std::shared_ptr<const std::string> text, SessionId from,
            Credit unit, std::uint32_t loop_count)
      : event(std::move(the_event)),
        json(std::move(text)),
        origin(from),
        credit(std::move(unit)),
        loops_left(loop_count) {}

  VerifiedEvent event;
  /// On its own: a slow reader keeps the text, not the credit.
  std::shared_ptr<const std::string> json;
  SessionId origin;
  Credit credit;
  std::atomic<std::uint32_t> loops_left;
  std::atomic<std::uint32_t> matched{0};  ///< subscriptions
};

/// An answer that is ready: OK for an event of this session.
struct Answer {
  SessionId origin;
  EventId id;
  bool accepted = false;
  std::string message;
  Credit credit;
};

/// What other threads send to a loop.
using LoopMail =
    std::variant<std::shared_ptr<const Committed>, std::shared_ptr<Ephemeral>, Answer, QueryStep>;

/// Where the verifiers' and the writer's results go. Threads: any.
class Deliveries {
 public:
  virtual ~Deliveries() = default;
  Deliveries(const Deliveries&) = delete;
  Deliveries& operator=(const Deliveries&) = delete;
  Deliveries(Deliveries&&) = delete;
  Deliveries& operator=(Deliveries&&) = delete;

  /// Once to every loop.
  virtual void committed(std::shared_ptr<const Committed> committed) = 0;
  virtual void ephemeral(std::shared_ptr<Ephemeral> ephemeral) = 0;
  /// To the origin's loop.
  virtual void answer(Answer&& answer) = 0;
  [[nodiscard]] virtual std::uint32_t loop_count() const = 0;

 protected:
  Deliveries() = default;
};

}  // namespace nostril::relay
