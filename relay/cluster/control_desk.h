#pragma once

#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/result.h"
#include "relay/cluster/bus.h"
#include "relay/cluster/codec.h"
#include "relay/cluster/subjects.h"

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace nostril::relay {

/// What a relay does when it is asked; called on the desk's thread. The errors are one line.
struct ControlHandlers {
  std::function<RelayStatus()> status;
  /// Begins to leave: docs/cluster.md. To be asked again is no error.
  std::function<Result<void, std::string>()> drain;
  /// Begins to fetch a snapshot that replaces this relay's data.
  std::function<Result<void, std::string>()> resnapshot;
};

/// Answers `nostril-relay cluster …` on NAME.ctl.RELAY, and questions for the status on
/// NAME.ctl.all: what changes something is asked of one relay by its name. Whoever may publish
/// there may ask (the servers' permissions say who). Threads: one of its own; start() and stop()
/// from one, the counters from any.
class ControlDesk {
 public:
  static constexpr std::size_t kQueueMax = 64;  ///< questions; what comes beyond has no answer

  /// All that is borrowed outlives it.
  ControlDesk(Bus& bus, const ClusterSubjects& subjects, ControlHandlers handlers);
  ~ControlDesk();
  ControlDesk(const ControlDesk&) = delete;
  ControlDesk& operator=(const ControlDesk&) = delete;
  ControlDesk(ControlDesk&&) = delete;
  ControlDesk& operator=(ControlDesk&&) = delete;

  void start();
  void stop();

  [[nodiscard]] std::uint64_t requests() const { return requests_.read(); }

  /// Of them, those that could not be read.
  [[nodiscard]] std::uint64_t malformed() const { return malformed_.read(); }

 private:
  void run();
  void answer(const BusMessage& message);
  [[nodiscard]] ControlReply answer_to(ControlAction action, bool is_for_all);

  Bus& bus_;
  const ClusterSubjects& subjects_;
  const ControlHandlers handlers_;
  Counter requests_;
  Counter malformed_;
  std::vector<Bus::SubscriptionId> subscriptions_;
  Mailbox<BusMessage> queue_{kQueueMax};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
