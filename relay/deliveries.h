#pragma once

#include "events/event.h"
#include "relay/credits.h"
#include "relay/event_text.h"
#include "relay/query.h"
#include "relay/session_id.h"
#include "relay/store/writer.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace nostril::relay {

/// What one commit means for the loops: the same object for all that it concerns.
struct Committed {
  CommittedBatch batch;
  std::uint64_t number = 0;  ///< 1 for the first commit of this run
  Credit credit;             ///< of the events in it
  Credit stream_credit;      ///< of those among them that came from the cluster
};

/// A verified ephemeral event for the loops: those where somebody is subscribed to it, and its
/// publisher's, which answers it.
struct Ephemeral {
  Ephemeral(VerifiedEvent verified, SessionId publisher, bool has_subscriber, Credit its_credit)
      : event(std::move(verified)),
        origin(publisher),
        is_heard(has_subscriber),
        credit(std::move(its_credit)) {}

  /// On its own: a slow reader keeps the text, not the credit.
  [[nodiscard]] const std::shared_ptr<const std::string>& json() const {
    return text.of(event.event());
  }

  const VerifiedEvent event;
  const EventText text;
  const SessionId origin;
  const bool is_heard;  ///< somebody is subscribed
  const Credit credit;
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
using LoopMail = std::variant<std::shared_ptr<const Committed>, std::shared_ptr<const Ephemeral>,
                              Answer, QueryStep>;

/// Where the verifiers' and the writer's results go. Threads: any.
class Deliveries {
 public:
  virtual ~Deliveries() = default;
  Deliveries(const Deliveries&) = delete;
  Deliveries& operator=(const Deliveries&) = delete;
  Deliveries(Deliveries&&) = delete;
  Deliveries& operator=(Deliveries&&) = delete;

  /// Once to every loop with a publisher of it, or a subscription that matches.
  virtual void committed(std::shared_ptr<const Committed> committed) = 0;
  /// The loops with a subscription that matches now.
  [[nodiscard]] virtual std::vector<std::uint32_t> loops_that_want(const Event& event) = 0;
  /// Once to each of these.
  virtual void ephemeral(std::shared_ptr<const Ephemeral> ephemeral,
                         std::span<const std::uint32_t> loops) = 0;
  /// To the origin's loop.
  virtual void answer(Answer&& answer) = 0;

 protected:
  Deliveries() = default;
};

}  // namespace nostril::relay
