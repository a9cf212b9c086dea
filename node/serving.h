#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/channel_store.h"
#include "client/journal.h"
#include "client/relay_pool.h"
#include "events/node_session.h"
#include "net/loop.h"
#include "node/answer_store.h"
#include "node/config.h"
#include "node/engine.h"
#include "node/engine_queue.h"
#include "node/pickup_outbox.h"
#include "node/publisher.h"
#include "schnorr/verify.h"
#include "settlement/channel.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::node {

/// What every session at one engine works with. Borrowed; outlives all sessions.
struct Services {
  const NodeConfig& config;
  const Keypair& identity;
  net::Loop& loop;
  Clock& clock;
  Rng& rng;
  Verifier& verifier;
  client::RelayPool& pool;
  client::Journal& journal;
  AnswerStore& answers;
  PickupOutbox& pickup;
  Engine& engine;
  const NodeConfig::EngineSettings& engine_settings;

  [[nodiscard]] Moment now() const { return {clock.monotonic_ms(), clock.unix_s()}; }
};

/// A channel's book with the documents that its row in the journal keeps. Shared by the sessions
/// that one payer has at a time.
class ChannelBook {
 public:
  ChannelBook(const settlement::ChannelTerms& terms, Amount credit) : channel_(terms, credit) {}

  ChannelBook(const client::StoredChannel& stored, Amount credit)
      : channel_(stored.terms, credit, stored.snapshot),
        record_(stored.record),
        paid_(stored.paid) {}

  [[nodiscard]] const settlement::NodeChannel& channel() const { return channel_; }

  /// Signs and books the next statement with what `record` says was used. Nothing when the channel
  /// can't state more.
  [[nodiscard]] std::optional<Event> state(ResponseRecord& record,
                                           const settlement::PriceTable& prices,
                                           const Keypair& identity, Rng& rng);
  settlement::ReceiptVerdict accept(const VerifiedEvent& event, const BalanceReceipt& receipt);

  [[nodiscard]] const std::optional<ChannelResync>& paid() const { return paid_; }

  [[nodiscard]] client::JournalChange row() const;

 private:
  struct Unpaid {
    Event record;
    Digest previous_hash;
    Digest hash;
  };

  settlement::NodeChannel channel_;
  std::optional<Event> record_;
  std::optional<ChannelResync> paid_;
  std::deque<Unpaid> unpaid_;
};

/// One session: its requests one after the other from first frame to receipt. Drives the pure
/// machine (events/node_session.h), the engine and the channel's book; the record is on the disk
/// before the end frame leaves. No byte leaves that the channel's credit does not cover.
/// Threads: the loop's only. Held by shared_ptr: callbacks that come late find it gone.
class Serving : public std::enable_shared_from_this<Serving> {
 public:
  Serving(Services& services, EngineQueue& queue, NodeSession session, LiveOffer offer,
          std::shared_ptr<ChannelBook> book);
  ~Serving();
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  /// Call once, after it is owned by a shared_ptr: sends the accept.
  void begin() { drive(); }

  void on_event(const Event& event);
  /// The first frame came again.
  void on_open_again();
  /// The node stops: the engine is cancelled and a record made.
  void stop();

  [[nodiscard]] const PublicKey& session_key() const { return session_.session_key(); }

  [[nodiscard]] const PublicKey& client_key() const { return session_.client_key(); }

  [[nodiscard]] const RequestId& request_id() const { return session_.open().request; }

  /// The request in hand has its record: its id is in the journal.
  [[nodiscard]] bool answered() const { return state_ == State::Done; }

  /// Nothing is under way and the client has all, or did not come back for it in time.
  [[nodiscard]] bool removable() const;
  /// The client has all and has paid all.
  [[nodiscard]] bool settled() const;

 private:
  enum class State : std::uint8_t {
    Receiving,   ///< the request is not complete
    Waiting,     ///< for a place in the engine
    Running,     ///< the engine answers
    Committing,  ///< the record is on its way to the disk
    Done,
  };

  void drive();
  void handle(NodeNotes note);
  void arm_timer();

  void start_request(const NodeNote::Request& request);
  [[nodiscard]] Result<EngineRequest, RequestError> prepare(const OpenFrame& open) const;
  [[nodiscard]] std::optional<std::int64_t> draw_seed() const;
  [[nodiscard]] bool known_already(const OpenFrame& open);
  void replay(const StoredAnswer& answer);
  [[nodiscard]] std::vector<client::JournalChange> answer_rows(const Event& record);
  void see_to_pickup();
  void enter_queue(const EngineRequest& request, std::string_view body);
  void ask_engine(const EngineRequest& request);
  void leave_queue(bool served);
  [[nodiscard]] bool on_engine_bytes(std::string_view piece);
  void pass_held();
  void on_engine_done(const EngineOutcome& outcome);
  /// Takes the request out of the gate or the engine; what the engine had counted by then.
  EngineOutcome stop_engine();
  void end_early(RecordStatus status);

  void ask_for_receipt(const Usage& usage);
  void on_receipt(const NodeNote::Receipt& note);
  [[nodiscard]] std::uint64_t elapsed_ms() const;
  [[nodiscard]] bool owes() const;
  [[nodiscard]] bool covers(const Usage& usage) const;
  [[nodiscard]] std::optional<Usage> instalment(const Usage& wanted) const;

  [[nodiscard]] Usage usage_of(const EngineOutcome& outcome) const;
  [[nodiscard]] ResponseRecord draft_record(RecordStatus status, const Usage& usage);
  void finish(RecordStatus status, const EngineOutcome& outcome);
  void done();
  void refuse(ErrorCode code, std::string message, std::int64_t retry_after_ms = 0);

  Services& services_;
  EngineQueue& queue_;
  NodeSession session_;
  LiveOffer offer_;
  std::shared_ptr<ChannelBook> book_;
  const std::string cache_salt_;
  net::TimerId timer_ = net::TimerId::None;

  // Of the request in hand.
  State state_ = State::Receiving;
  Digest request_hash_;
  std::optional<EngineQueue::Ticket> ticket_;
  Engine::Call call_ = Engine::Call::None;
  ResponseHead head_;
  std::string sampling_;
  std::string body_;
  bool body_whole_ = true;
  std::optional<RequestId> running_;  ///< told to the answer store
  bool for_pickup_ = false;           ///< stored frames are on the disk
  bool engine_paused_ = false;
  std::string held_;  ///< what the engine sent last, while the credit does not cover it
  Usage delivered_;   ///< what all bytes before held_ came to
  std::optional<std::int64_t> receipt_asked_at_ms_;
  Usage stated_;
  Usage usage_max_;  ///< most that the payer accepts for this request
  std::int64_t accepted_at_ms_ = 0;
  std::int64_t started_at_ms_ = 0;
  std::int64_t first_at_ms_ = 0;
  std::int64_t done_at_ms_ = 0;  // monotonic
};

}  // namespace nostril::node
