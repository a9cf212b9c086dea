#pragma once

#include "client/journal.h"
#include "events/frames.h"
#include "node/channel_book.h"
#include "node/config.h"
#include "node/engine.h"
#include "node/engine_queue.h"
#include "node/node_parts.h"
#include "node/publisher.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// What every answer of one engine is made with. Borrowed; outlives them all.
struct Services : NodeParts {
  Engine& engine;
  const NodeConfig::EngineSettings& engine_settings;
};

/// Why nothing was served, and nothing is charged.
struct AnswerRefusal {
  ErrorCode code;
  std::string message;
  std::int64_t retry_after_ms = 0;
};

/// Who asked, over whatever transport. The calls come from an Answering, on the loop's thread.
class AnswerPeer {
 public:
  virtual ~AnswerPeer() = default;

  /// It waits for a place in the engine, behind so many.
  virtual void on_queued(std::size_t ahead) = 0;
  virtual void on_head(const ResponseHead& head) = 0;
  /// Bytes that the payer's credit covers.
  virtual void on_bytes(std::string_view bytes) = 0;
  /// False: the engine stops until Answering::pump() finds it true.
  [[nodiscard]] virtual bool wants_more() const = 0;
  /// No more bytes come; those that have not left may be dropped.
  virtual void drop_unsent() = 0;
  /// Of all bytes that left or will: what the record states.
  [[nodiscard]] virtual Digest response_hash() const = 0;

  /// While this answer waits, receipts of its channel may come by other ways.
  [[nodiscard]] virtual bool receipts_may_come() const { return false; }

  /// The credit is used up; this statement is on the disk and wants a receipt.
  virtual void on_receipt_needed(const Event& record) = 0;
  /// The engine broke off. on_ending() follows.
  virtual void on_broken() = 0;

  /// The record is about to be written: response_hash() is asked for the last time. Nothing comes
  /// after the bytes that were given, but what the peer itself adds.
  virtual void on_ending(RecordStatus /*status*/, const EngineOutcome& /*outcome*/) {}

  /// What shall be on the disk together with a statement that is not the last.
  virtual void add_partial_changes(const ResponseRecord& /*record*/,
                                   std::vector<client::JournalChange>& /*changes*/) {}

  /// What shall be on the disk together with the record.
  virtual void add_changes(const ResponseRecord& record, const Event& event,
                           std::vector<client::JournalChange>& changes) = 0;
  /// Last: the record is on the disk.
  virtual void on_end(const ResponseRecord& record, const Event& event) = 0;
  /// Last: there is no record.
  virtual void on_refused(const AnswerRefusal& refusal) = 0;
  /// After calls that did not come from the peer: time to send and to look at timers.
  virtual void on_changed() = 0;
};

struct AnswerRequest {
  RequestId id;
  std::string_view path;
  std::string_view body;  ///< for the engine, in the clear
  Digest hash;            ///< for the record: of the body as it came
  PublicKey line;         ///< whose line it waits in (Admission)
  std::string_view cache_salt;
};

/// A record of now that says whose it is and under which offer; the rest is the caller's.
[[nodiscard]] ResponseRecord begin_record(const Services& services, const Offer& offer);

/// One request from admission to record: engine, meter and book. The record is on the disk before
/// the peer is told the end; no byte reaches the peer that the channel's credit does not cover.
/// Threads: the loop's only. Held by shared_ptr, as is its peer: callbacks that come late find them
/// gone. Destroying it takes the request from the engine without a record.
class Answering : public std::enable_shared_from_this<Answering> {
 public:
  enum class State : std::uint8_t {
    Waiting,     ///< for receipts of other answers, or for a place in the engine
    Running,     ///< the engine answers
    Committing,  ///< the record is on its way to the disk
    Done,
  };

  Answering(Services& services, EngineQueue& queue, LiveOffer offer,
            std::shared_ptr<ChannelBook> book);
  ~Answering();
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

  /// Once. Refuses, or waits for the engine. `request` is borrowed for the call.
  void start(const std::weak_ptr<AnswerPeer>& peer, const AnswerRequest& request);

  /// The peer may want more than before.
  void pump();
  /// While `resting` what the engine says is not read: it could not leave yet.
  void rest(bool resting);
  /// Stops the engine; a record of what was delivered. Nothing when it is over already.
  void end_early(RecordStatus status);
  /// A receipt that the book accepted is on the disk.
  void on_paid();
  /// A receipt came that pays no more than an earlier one. Another answer of the channel may have
  /// brought a newer one, which pays this one's, too.
  void on_paid_before();

  /// Monotonic milliseconds; INT64_MAX: none.
  [[nodiscard]] std::int64_t next_timer_ms() const;
  void on_timer();

  [[nodiscard]] State state() const { return state_; }

  [[nodiscard]] const LiveOffer& offer() const { return offer_; }

  /// What the engine got, once started.
  [[nodiscard]] const Digest& forwarded_hash() const { return forwarded_hash_; }

 private:
  /// Both alive for as long as a late callback runs.
  struct Held {
    std::shared_ptr<Answering> self;
    std::shared_ptr<AnswerPeer> peer;
  };

  [[nodiscard]] static std::optional<Held> hold(const std::weak_ptr<Answering>& weak);

  [[nodiscard]] Result<EngineRequest, RequestError> prepare(const AnswerRequest& request) const;
  [[nodiscard]] std::optional<std::int64_t> draw_seed() const;

  /// A request that was found right, and what admission is to know of it.
  struct Entry {
    EngineRequest request;
    AdmissionRequest wanted;
  };

  [[nodiscard]] AdmissionRequest admission_of(const EngineRequest& request,
                                              const AnswerRequest& asked) const;
  void come_in(Entry entry);
  void wait_for_receipts(Entry entry);
  void on_channel_paid();
  void enter_queue(Entry entry);
  void leave_queue(bool served, std::uint64_t tokens = 0);
  void ask_engine(const EngineRequest& request);
  [[nodiscard]] bool on_engine_bytes(std::string_view piece);
  void pass_held();
  [[nodiscard]] bool may_get_a_deposit() const;
  void on_engine_done(const EngineOutcome& outcome);
  /// Takes the request out of the gate or the engine; what the engine had counted by then.
  EngineOutcome stop_engine();

  void ask_for_receipt(const Usage& usage);
  [[nodiscard]] std::uint64_t elapsed_ms() const;
  [[nodiscard]] bool owes() const;
  [[nodiscard]] bool covers(const Usage& usage) const;
  [[nodiscard]] std::optional<Usage> instalment(const Usage& wanted) const;

  [[nodiscard]] Usage usage_of(const EngineCount& count) const;
  [[nodiscard]] ResponseRecord draft_record(RecordStatus status, const Usage& usage) const;
  void finish(RecordStatus status, const EngineOutcome& outcome);
  void refuse(ErrorCode code, std::string message, std::int64_t retry_after_ms = 0);

  Services& services_;
  EngineQueue& queue_;
  const LiveOffer offer_;
  const std::shared_ptr<ChannelBook> book_;
  std::weak_ptr<AnswerPeer> weak_peer_;
  AnswerPeer* peer_ = nullptr;  ///< the same, while a call runs: whoever called holds it

  State state_ = State::Waiting;
  RequestId id_;
  Digest request_hash_;
  Digest forwarded_hash_;
  std::optional<Entry> entry_;  ///< waits until the channel's earlier answers are paid
  std::int64_t entry_until_ms_ = 0;
  std::optional<EngineQueue::Ticket> ticket_;
  Engine::Call call_ = Engine::Call::None;
  std::string sampling_;
  bool engine_paused_ = false;
  bool resting_ = false;
  std::string held_;  ///< what the engine sent last, while the credit does not cover it
  Usage delivered_;   ///< what all bytes before held_ came to
  std::optional<std::int64_t> receipt_asked_at_ms_;
  Amount asked_spent_;  ///< what that receipt is to pay in all
  std::optional<std::int64_t> deposit_wanted_at_ms_;
  std::int64_t look_at_ms_ = 0;  ///< whether the deposit has come
  Usage stated_;
  Usage usage_max_;  ///< most that the payer accepts for this request
  std::int64_t accepted_at_ms_ = 0;
  std::int64_t started_at_ms_ = 0;
  std::int64_t first_at_ms_ = 0;
};

}  // namespace nostril::node
