#pragma once

#include "base/clock.h"
#include "base/log_seldom.h"
#include "base/result.h"
#include "relay/cluster/applied_ids.h"
#include "relay/cluster/bus.h"
#include "relay/cluster/cluster_options.h"
#include "relay/cluster/cluster_port.h"
#include "relay/cluster/interest.h"
#include "relay/cluster/outbox.h"
#include "relay/cluster/stream_verifier.h"
#include "relay/cluster/subjects.h"
#include "relay/ingest.h"
#include "relay/service_gate.h"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace nostril::relay {

/// What a cluster needs of the relay around it. On the cluster's thread.
class ClusterHost {
 public:
  enum class Applied : std::uint8_t {
    Done,
    Senseless,  ///< on every relay: it is passed over
    NotNow,     ///< the disk: it is not passed over, but tried again
  };

  struct Decided {
    bool is_own = false;   ///< by this relay's own moderator
    bool is_late = false;  ///< what stands behind it in the stream may have been applied already
  };

  /// A message of the subject "moderation": on disk and in force when it returns Done. All that was
  /// applied before it is on disk; what comes behind it waits. `why`: one line, else.
  [[nodiscard]] virtual Applied apply_moderation(std::string_view body, Decided decided,
                                                 std::string& why) = 0;
  /// What this relay lacks is not in the stream any more. Once; until it starts anew nothing is
  /// applied. False: nobody can fetch it.
  [[nodiscard]] virtual bool fetch_snapshot(const std::string& why) = 0;
  /// Another relay has events and would give a snapshot of them. May wait for some seconds.
  [[nodiscard]] virtual bool is_snapshot_offered() = 0;
  /// The stream had these, events and decisions (AppliedIds), and has them no more: those that are
  /// stored here are published into it again.
  virtual void publish_again(const std::vector<EventId>& ids) = 0;
  /// The relay serves from now on, after a start.
  virtual void caught_up() = 0;

 protected:
  ClusterHost() = default;
  ~ClusterHost() = default;
};

/// Where a relay is on its way into the cluster.
enum class ClusterPhase : std::uint8_t {
  Waiting,     ///< for the stream: since the start it has not been heard of
  CatchingUp,  ///< applies what the stream had when it was first heard of
  Serving,
  Joining,  ///< a snapshot is being fetched
  Stuck     ///< see note
};
[[nodiscard]] std::string_view to_string(ClusterPhase phase);

struct ClusterFigures {
  ClusterPhase phase = ClusterPhase::Waiting;
  std::string note;  ///< one line for people, why it is not Serving, or why the bus is away
  BusState bus = BusState::Away;
  bool is_connected = false;
  bool is_away = false;  ///< for so long that nothing is published
  StreamIdentity stream;
  std::uint64_t position = 0;  ///< every message up to here is applied
  std::uint64_t stream_first = 0;
  std::uint64_t stream_last = 0;  ///< a second old at most, while it can be asked
  std::uint64_t stream_bytes = 0;
  std::uint64_t pending = 0;  ///< published and not applied or answered
  std::uint64_t published = 0;
  std::uint64_t acks = 0;
  std::uint64_t duplicates = 0;  ///< acks of what the stream had
  std::uint64_t ack_failures = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t refused_away = 0;
  std::uint64_t applied = 0;       ///< messages of the stream
  std::uint64_t applied_own = 0;   ///< of them, published here
  std::uint64_t applied_late = 0;  ///< besides; see Cluster
  std::uint64_t malformed = 0;
  std::uint64_t ephemeral_in = 0;
  std::uint64_t ephemeral_out = 0;
  std::uint64_t ephemeral_dropped = 0;
  std::uint64_t interests = 0;
  std::uint64_t connections = 0;  ///< made to NATS
  std::uint64_t consumers = 0;    ///< made in the stream

  [[nodiscard]] std::uint64_t lag() const {
    return stream_last > position ? stream_last - position : 0;
  }
};

/// This relay's part of the cluster: what it has verified goes into the stream, and what the stream
/// has, in the stream's order, to the writer. So all relays write the same events in the same order
/// and end with the same store, whatever they disagree about at a moment.
///
/// An event published here is answered when the stream has acknowledged it, so that a quorum of its
/// replicas has it, and when it has come back and is on this relay's disk. Without an ack in
/// ClusterOptions::ack_wait_ms it is refused; it may be in the stream all the same, and come later
/// as anybody's.
///
/// How far the store is, is written with the events themselves: after a crash reading goes on
/// behind the last one that had an effect.
///
/// A message with a number of before (bus.h) is left aside when it is the one that had that number
/// (AppliedIds), as far as this process has seen it; else it is applied late, without a move of the
/// position. Applied twice it changes nothing.
///
/// Threads: its own one, which alone submits to the writer what is of the stream; constructor,
/// start() and stop() from one; the rest from any. Bounds: publications hold credits of Ingest,
/// stream messages BusOptions::unread_bytes_max, ephemeral ones kEphemeralMax.
class Cluster final : public ClusterPort, private BusHandler {
 public:
  static constexpr std::size_t kEphemeralMax = 8'192;  ///< that wait, in and out

  /// Throws std::runtime_error. All outlive it. `ingest` must use() it before start(). `data`: the
  /// relay's directory, for what waits there while the cluster is away.
  Cluster(const ClusterOptions& options, Store& store, Ingest& ingest, const Clock& clock,
          ServiceGate& gate, ClusterHost& host, const std::filesystem::path& data);
  ~Cluster() override;
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;
  Cluster(Cluster&&) = delete;
  Cluster& operator=(Cluster&&) = delete;

  void start();
  /// What is pending is not answered any more: before it, wait for Ingest::idle().
  void stop();

  // ClusterPort
  void publish(VerifiedEvent event, const WriteToken& token) override;
  [[nodiscard]] bool publish_ephemeral(const VerifiedEvent& event) override;
  void on_committed(const CommittedBatch& batch) override;

  /// Publishes a moderation message and waits until this relay has applied it. Not from the
  /// cluster's thread. The error is one line; then it may be applied later all the same.
  [[nodiscard]] Result<void, std::string> moderate(const std::string& message_id,
                                                   const std::string& body);

  /// Every message of the stream up to here is in the store's tables or log, if it did not come
  /// late.
  [[nodiscard]] std::uint64_t position() const;
  [[nodiscard]] ClusterFigures figures() const;

  /// The store has failed a while ago: opened anew it may go on, from its position in the stream.
  [[nodiscard]] bool wants_new_start() const;

  /// Nothing published here waits for the stream.
  [[nodiscard]] bool is_quiet() const { return pending_count_.load() == 0; }

  /// Acknowledged here, and not in the stream yet.
  [[nodiscard]] std::size_t outbox_events() const { return outbox_ ? outbox_->size() : 0; }

  [[nodiscard]] Bus& bus() { return bus_; }

  /// What the stream has had at each place.
  [[nodiscard]] AppliedIds& applied_ids() { return *applied_ids_; }

  [[nodiscard]] Interest& interest() { return interest_; }

  [[nodiscard]] const ClusterSubjects& subjects() const { return subjects_; }

  [[nodiscard]] const ClusterOptions& options() const { return options_; }

 private:
  struct Publication {
    VerifiedEvent event;
    WriteToken token;
  };

  /// Of a moderator's desk that waits.
  struct Decision {
    std::string message_id;
    std::string body;
    std::promise<Result<void, std::string>> done;
    std::uint64_t number = 0;
    std::int64_t deadline_ms = 0;
    std::int64_t resend_ms = 0;
    bool is_acked = false;
  };

  struct Arrived {
    std::uint64_t reading = 0;
    StreamMessage message;
    std::uint64_t number = 0;  ///< of all that has arrived
  };

  struct Acked {
    std::uint64_t number = 0;
    PublishAck ack;
  };

  /// What other threads have left for this one.
  struct Inbox {
    std::vector<Publication> publications;
    std::vector<Decision> decisions;
    std::vector<Arrived> arrived;
    std::vector<Acked> acks;
    std::vector<OutboxOutcome> kept;
    std::vector<VerifiedEvent> ephemeral_out;
    std::vector<std::string> ephemeral_in;
    bool look = false;
  };

  struct Pending {
    VerifiedEvent event;
    std::string json = {};
    std::vector<WriteToken> tokens = {};
    std::uint64_t number = 0;
    std::int64_t deadline_ms = 0;
    std::int64_t resend_ms = 0;
    bool is_acked = false;
    std::string problem = {};
  };

  /// The stream had it before: answered from the store once that has it, too.
  struct Known {
    EventId id;
    std::vector<WriteToken> tokens;
  };

  // BusHandler
  void on_stream(std::uint64_t reading, StreamMessage&& message) override;
  void on_ack(std::uint64_t token, PublishAck&& ack) override;
  void on_state() override;

  template <typename Put>
  void put_in(Put put);
  void run();
  void take(Publication&& publication);
  void take(Decision&& decision);
  void take(Acked&& acked);
  void take_decision_ack(const std::string& message_id, const PublishAck& ack);
  [[nodiscard]] bool has_come(std::uint64_t sequence, const EventId& id);
  void send(Pending& pending);
  void send(Decision& decision);
  void send_ephemeral(const VerifiedEvent& event);
  void take_ephemeral(const std::string& body);
  void refuse(const EventId& id, const std::vector<WriteToken>& tokens, const std::string& why);
  void drop(std::unordered_map<EventId, Pending, FixedBytesHash>::iterator at);
  void answer_known();
  void open_outbox(const std::filesystem::path& folder);
  void refuse_away(const VerifiedEvent& event, const std::vector<WriteToken>& tokens,
                   std::string_view why);
  void take(const OutboxOutcome& outcome);
  [[nodiscard]] bool take_outbox_ack(const Acked& acked);
  void send_outbox(std::int64_t now_ms);
  void apply_arrived();
  void forget_arrived();
  [[nodiscard]] bool is_late(const StreamMessage& message) const;
  [[nodiscard]] bool is_known(const StreamMessage& message);
  [[nodiscard]] std::uint64_t place_of(const StreamMessage& message) const;
  [[nodiscard]] bool apply(const Arrived& arrived);
  [[nodiscard]] bool apply_event(const Arrived& arrived);
  [[nodiscard]] bool apply_moderation(const StreamMessage& message);
  void look_ahead();
  [[nodiscard]] std::optional<VerifiedEvent> event_of(const Arrived& arrived);
  [[nodiscard]] std::optional<VerifiedEvent> read_event(std::string_view body);
  void note_applied(const StreamMessage& message, const EventId& id);
  [[nodiscard]] bool is_all_written() const;
  [[nodiscard]] bool is_at_an_end();
  void write_position(std::uint64_t sequence);
  void look_at_bus();
  void begin(const StreamInfo& info);
  void wait_for_stream(const StreamInfo& info, std::uint64_t applied);
  void read_from(const StreamIdentity& of, std::uint64_t applied, std::uint64_t target);
  void read_anew(const StreamInfo& info, std::uint64_t applied);
  void publish_what_is_gone();
  void lack(const std::string& why);
  void stick(const std::string& why);
  void set_stream(const StreamIdentity& stream);
  void set_phase(ClusterPhase phase, const std::string& note);
  void each_tick();
  void resend_and_expire(std::int64_t now_ms);
  void flush_interest(std::int64_t now_ms);

  // Constant after construction.
  const ClusterOptions options_;
  const ClusterSubjects subjects_;
  const std::string event_subject_;
  const std::string moderation_subject_;
  Store& store_;
  Ingest& ingest_;
  const Clock& clock_;
  ServiceGate& gate_;
  ClusterHost& host_;
  Interest interest_;
  std::unique_ptr<AppliedIds> applied_ids_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  Inbox inbox_;
  bool has_mail_ = false;
  bool is_stopping_ = false;
  std::unique_ptr<Outbox> outbox_;  // where events are queued

  mutable std::mutex state_mutex_;
  // Guarded by state_mutex_.
  ClusterPhase phase_ = ClusterPhase::Waiting;
  std::string note_;
  StreamIdentity stream_;

  // The thread's own.
  std::unordered_map<EventId, Pending, FixedBytesHash> pending_;
  std::unordered_map<std::uint64_t, EventId> events_by_number_;
  std::map<std::string, Decision> decisions_;  // by message id
  std::unordered_map<std::uint64_t, std::string> decisions_by_number_;
  std::uint64_t last_number_ = 0;
  std::multimap<std::uint64_t, Known> known_;  // by where the stream has it
  std::deque<Arrived> arrived_;
  std::uint64_t last_arrived_ = 0;
  std::optional<VerifiedEvent> first_arrived_;  // parsed, where there was no room for it
  std::unique_ptr<StreamVerifier> ahead_;       // where signatures are checked again
  std::size_t looked_ahead_ = 0;                // of arrived_, from its front
  std::uint64_t reading_ = 0;
  std::uint64_t began_behind_ = 0;  // of this reading
  std::uint64_t target_ = 0;
  std::uint64_t stood_at_ = 0;  // while it catches up
  std::int64_t stood_since_ms_ = 0;
  // Since a read_anew(): what the stream had and was not met in it again. Published when all is
  // read.
  std::unordered_set<EventId, FixedBytesHash> not_met_;
  bool is_blocked_ = false;  // what has arrived waits for the writer
  std::int64_t away_since_ms_ = -1;
  std::int64_t behind_since_ms_ = -1;  // the stream's end, and this relay's position
  std::int64_t next_tick_ms_ = 0;
  std::int64_t position_due_ms_ = 0;
  std::uint64_t position_written_ = 0;
  std::uint64_t handled_before_ = 0;
  Hearing hearing_;
  std::map<std::string, Bus::SubscriptionId> heard_;
  std::map<std::uint64_t, OutboxEntry> outbox_sent_;  // by publication's number; without an ack
  std::uint64_t outbox_at_ = 0;                       // the last entry that was sent
  std::int64_t outbox_due_ms_ = 0;                    // acks, or all of it is sent again
  Verifier verifier_{64};
  SeldomLog errors_;

  // Sequences of the stream; written by the thread, written_ and its count by the writer's.
  std::atomic<std::uint64_t> handled_{0};
  std::atomic<std::uint64_t> written_{0};
  // Events, of whatever number.
  std::atomic<std::uint64_t> submitted_count_{0};
  std::atomic<std::uint64_t> written_count_{0};
  std::atomic<bool> store_failed_{false};
  std::atomic<std::int64_t> new_start_ms_{0};  // when the store is to be tried again; 0: it is well
  std::atomic<bool> is_away_{false};
  std::atomic<bool> wants_commits_{false};
  std::atomic<std::uint64_t> pending_count_{0};

  struct Counters {
    using Count = std::atomic<std::uint64_t>;
    Count published{0};
    Count acks{0};
    Count duplicates{0};
    Count ack_failures{0};
    Count timeouts{0};
    Count refused_away{0};
    Count applied{0};
    Count applied_own{0};
    Count applied_late{0};
    Count malformed{0};
    Count ephemeral_in{0};
    Count ephemeral_out{0};
    Count ephemeral_dropped{0};
    Count interests{0};
  };

  Counters counters_;
  Bus bus_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
