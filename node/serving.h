#pragma once

#include "events/node_session.h"
#include "net/loop.h"
#include "node/answer_store.h"
#include "node/answering.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

class LightningDesk;

/// One session: its requests one after the other from first frame to receipt. Drives the pure
/// machine (events/node_session.h) and, for each request, an Answering.
/// Threads: the loop's only. Held by shared_ptr: callbacks that come late find it gone.
class Serving final : public AnswerPeer, public std::enable_shared_from_this<Serving> {
 public:
  Serving(Services& services, EngineQueue& queue, NodeSession session, LiveOffer offer,
          std::shared_ptr<ChannelBook> book);
  ~Serving() override;
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  /// Its requests are the desk's, and nothing is charged. Before begin().
  void ask_desk(LightningDesk& desk) { desk_ = &desk; }

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
  [[nodiscard]] bool answered() const { return done_; }

  /// Nothing is under way and the client has all, or did not come back for it in time.
  [[nodiscard]] bool removable() const;
  /// The client has all and has paid all.
  [[nodiscard]] bool settled() const;

 private:
  void drive();
  /// drive() when the loop's turn ends.
  void stir();
  /// Relays are behind with our frames.
  [[nodiscard]] bool is_congested() const;
  void handle(NodeNotes note);
  void arm_timer();

  void start_request(const NodeNote::Request& request);
  void start_at_desk(const NodeNote::Request& request);
  void end_at_desk(const ResponseRecord& draft, const std::string& answer);
  [[nodiscard]] bool known_already(const OpenFrame& open);
  void replay(const StoredAnswer& answer);
  void see_to_pickup();
  void on_receipt(const NodeNote::Receipt& note);
  void set_done();

  // AnswerPeer
  void on_queued(std::size_t ahead) override;
  void on_head(const ResponseHead& head) override;
  void on_bytes(std::string_view bytes) override;

  [[nodiscard]] bool wants_more() const override {
    return session_.wants_more() && !is_congested();
  }

  void drop_unsent() override;

  [[nodiscard]] Digest response_hash() const override { return session_.response_hash(); }

  [[nodiscard]] bool receipts_may_come() const override { return true; }

  void on_receipt_needed(const Event& record) override;
  void on_broken() override;
  void add_partial_changes(const ResponseRecord& record,
                           std::vector<client::JournalChange>& changes) override;
  void add_changes(const ResponseRecord& record, const Event& event,
                   std::vector<client::JournalChange>& changes) override;
  void on_end(const ResponseRecord& record, const Event& event) override;
  void on_refused(const AnswerRefusal& refusal) override;

  void on_changed() override { stir(); }

  Services& services_;
  EngineQueue& queue_;
  NodeSession session_;
  LiveOffer offer_;
  std::shared_ptr<ChannelBook> book_;
  LightningDesk* desk_ = nullptr;
  const std::string cache_salt_;
  net::TimerId timer_ = net::TimerId::None;
  std::int64_t timer_due_ms_ = 0;
  bool stirred_ = false;
  bool told_of_loss_ = false;

  // Of the request in hand.
  std::shared_ptr<Answering> answering_;  ///< none: not complete, or a stored answer
  bool done_ = false;
  std::optional<RequestId> running_;  ///< told to the answer store
  bool for_pickup_ = false;           ///< stored frames are on the disk
  ResponseHead head_;
  std::string body_;
  bool body_whole_ = true;
  std::int64_t done_at_ms_ = 0;  // monotonic
};

}  // namespace nostril::node
