#pragma once

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "relay/cluster/applied_ids.h"
#include "relay/cluster/bus.h"
#include "relay/cluster/decision_log.h"
#include "relay/cluster/repair_codec.h"
#include "relay/cluster/subjects.h"
#include "relay/store/commit_gate.h"
#include "relay/store/store.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril::relay {

/// What it borrows of the relay; all of it outlives it. The function is called on its thread.
struct RepairParts {
  Bus& bus;
  const ClusterSubjects& subjects;
  Store& store;
  CommitGate& in_tables;
  AppliedIds& applied;
  DecisionLog& decisions;
  const Clock& clock;
  /// Up to where this relay is in step with the stream; nothing while it does not serve.
  std::function<std::optional<StreamPosition>()> position;
};

/// Finds out that relays were told different things of one stream, and mends it. A server that led
/// the stream, was cut off, and came back has been seen (nats-server 2.9) to go on delivering a
/// copy of its own: the relay beside it then lacks what others have acknowledged, and nothing says
/// so.
///
/// Each relay reports digests of what it was told (AppliedIds): of the last windows, and of what
/// came late, at short intervals, of the older ones by turns. Who hears of another digest than its
/// own asks for the ids, and the reporter to publish again what this relay's store lacks. So it
/// comes to all, by the stream, as anything does; who has it takes it for a duplicate. Each relay
/// asks for what it lacks itself, so both directions are mended.
///
/// Moderators' decisions depend on their order. One that is told again comes to all relays at the
/// same place of the stream, and without what was decided otherwise since (decision_log.h): so all
/// end with the same lists, whatever each was told before.
///
/// What is further back than AppliedIds reaches is not compared. Threads: one of its own; start()
/// and stop() from one, the counters from any.
class Repair {
 public:
  static constexpr std::int64_t kReportEveryMs = 2'000;
  static constexpr std::uint64_t kRecentWindows = 16;  ///< in every report; the rest by turns
  static constexpr std::size_t kQueueMax = 256;        ///< messages that wait
  static constexpr std::size_t kDifferencesMax = 256;  ///< that wait for their turn
  static constexpr unsigned kTriesMax = 30;            ///< looks for what does not come

  explicit Repair(RepairParts parts);
  ~Repair();
  Repair(const Repair&) = delete;
  Repair& operator=(const Repair&) = delete;
  Repair(Repair&&) = delete;
  Repair& operator=(Repair&&) = delete;

  void start();
  void stop();

  /// Into the stream, as far as they are here. From any thread; waits for the store's tables.
  [[nodiscard]] AgainAnswer publish_again(const std::vector<EventId>& ids);

  /// Ranges of which another relay was told something else.
  [[nodiscard]] std::uint64_t differences() const { return differences_.read(); }

  /// Events that this relay lacked and another has published again.
  [[nodiscard]] std::uint64_t events_asked() const { return events_asked_.read(); }

  /// Events that were published again for others.
  [[nodiscard]] std::uint64_t events_given() const { return events_given_.read(); }

  [[nodiscard]] std::uint64_t malformed() const { return malformed_.read(); }

 private:
  /// What `relay` has reported, and is not what this one was told.
  struct Difference {
    std::string relay;
    RangeReport report;
  };

  /// One question at a time.
  struct Asked {
    Difference difference;
    std::vector<EventId> missing;  ///< to be published again; the first ones are asked for now
    std::size_t published = 0;
    bool is_all = false;  ///< `missing` was all that lacks; else some is under way already
    bool is_for_ids = true;
    std::int64_t deadline_ms = 0;
  };

  struct AskedFor {
    std::int64_t at_ms = 0;
    std::uint64_t stream_last = 0;  ///< of the stream then
  };

  void run();
  void take(const BusMessage& message);
  void take_report(const DigestReport& report);
  void take_request(const BusMessage& message);
  void take_answer(const RepairAnswer& answer);
  void take_ids(const std::vector<EventId>& theirs);
  void take_again(const AgainAnswer& answer);
  [[nodiscard]] std::vector<EventId> missing_of(const std::vector<EventId>& ids);
  [[nodiscard]] std::vector<EventId> not_asked_for(const std::vector<EventId>& ids);
  [[nodiscard]] bool is_under_way(const AskedFor& asked) const;
  [[nodiscard]] bool publish_event_again(const EventId& id);
  [[nodiscard]] bool publish_decision_again(const EventId& id);
  [[nodiscard]] bool is_other(const RangeReport& report, const StreamPosition& position);
  [[nodiscard]] bool is_new(const std::string& relay, const RangeReport& report);
  void ask(const RepairRequest& request);
  void ask_for_missing();
  [[nodiscard]] unsigned& looks_at(const Difference& difference);
  void settle();
  void each_tick();
  void send_report(const StreamPosition& position);

  const RepairParts parts_;
  SystemRng rng_;
  Counter differences_;
  Counter events_asked_;
  Counter events_given_;
  Counter malformed_;
  std::string inbox_;
  std::vector<Bus::SubscriptionId> subscriptions_;
  // The thread's.
  std::int64_t report_due_ms_ = 0;
  std::uint64_t stood_at_ = 0;
  std::int64_t stood_since_ms_ = 0;
  std::uint64_t older_ = 0;  // windows behind the recent ones, of which the next report tells
  std::deque<Difference> waiting_;
  std::int64_t next_ms_ = 0;     // when the next of them has its turn
  std::uint64_t questions_ = 0;  // asked so far; the last one's number is in its answer's subject
  std::optional<Asked> asked_;
  std::map<std::pair<std::string, RangeReport>, unsigned> looks_;  // kTriesMax: it is settled
  std::map<std::pair<std::string, std::uint64_t>, std::int64_t> looked_ms_;  // by window
  std::unordered_map<EventId, AskedFor, FixedBytesHash> asked_for_;

  Mailbox<BusMessage> queue_{kQueueMax};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
