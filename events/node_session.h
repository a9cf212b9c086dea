#pragma once

#include "events/coalescer.h"
#include "events/session_link.h"
#include "events/signed_receipt.h"
#include "events/stored_answer.h"
#include "schnorr/hash.h"
#include "schnorr/verify.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace nostril {

struct NodeSessionLimits {
  LinkLimits link;
  Coalescer::Limits flush;
  std::int64_t client_lost_ms = 15'000;        ///< nothing from the client: ClientLost
  std::uint64_t request_bytes_max = 8U << 20;  ///< body; more: refused with TooLarge
  std::size_t buffer_bytes_max = 64U << 10;    ///< response bytes taken but not sent: wants_more()
  SessionFeatures features = {.zstd = true, .quiet = true};  ///< used when the client names them
};

/// What the session tells its owner, in order.
struct NodeNote {
  /// The whole request is here. Its body's hash is request_hash of the record.
  struct Request {
    OpenFrame open;  ///< body complete
    Digest request_hash;
  };

  struct Cancelled {
    std::string reason;
  };

  /// Nothing heard for client_lost_ms: stop the engine, unless the request is durable.
  struct ClientLost {};

  struct ClientBack {};

  /// Signature and form are right; channel and amount are judged by settlement/channel.h.
  struct Receipt {
    SignedReceipt receipt;
  };

  /// The client broke the protocol; the session is over.
  struct Failed {
    ErrorCode code;
  };
};

using NodeNotes = std::variant<NodeNote::Request, NodeNote::Cancelled, NodeNote::ClientLost,
                               NodeNote::ClientBack, NodeNote::Receipt, NodeNote::Failed>;

/// The node's end of a session, pure: events and time in, events and notes out. After each call the
/// owner publishes take_events(), drains next_note() and sets a timer for next_timer_ms().
/// Made after the owner has checked the open frame: offer known and current, request id new.
/// Threads: one; `verifier` and `rng` are borrowed for the session's life.
class NodeSession {
 public:
  /// `accept`: queue and resync are the owner's; the rest is filled in. `session`: s, which nobody
  /// has used before.
  /// The accept event is the first of take_events(). BadKey when c is no point of the curve,
  /// BadFrame when the body is larger than the limit (then refuse it).
  [[nodiscard]] static Result<NodeSession, SessionError> accept(NodeHandshake handshake,
                                                                AcceptFrame accept,
                                                                const NodeSessionLimits& limits,
                                                                Moment now, Verifier& verifier,
                                                                Rng& rng, Keypair session);
  /// The same with an s of its own making.
  [[nodiscard]] static Result<NodeSession, SessionError> accept(NodeHandshake handshake,
                                                                AcceptFrame accept,
                                                                const NodeSessionLimits& limits,
                                                                Moment now, Verifier& verifier,
                                                                Rng& rng);

  NodeSession(NodeSession&&) noexcept = default;
  NodeSession& operator=(NodeSession&&) = delete;
  NodeSession(const NodeSession&) = delete;
  NodeSession& operator=(const NodeSession&) = delete;
  ~NodeSession() = default;

  /// s: subscribe to {kinds:[21472], #p:[session_key()]}.
  [[nodiscard]] const PublicKey& session_key() const { return session_key_; }

  [[nodiscard]] const PublicKey& client_key() const { return handshake_.client(); }

  /// Any frame event that names session_key().
  void on_event(const Event& event, Moment now);
  /// The first frame came again (same request id): the accept is sent once more.
  void on_open_again(Moment now);
  void on_timer(Moment now);
  [[nodiscard]] std::int64_t next_timer_ms() const;

  /// False: stop reading the engine until it is true again (no credit, or buffers are full). A
  /// client that is lost and asked for pick-up gives no credit; its answer goes on all the same, to
  /// kStoredBodyBytesMax.
  [[nodiscard]] bool wants_more() const;
  void push_response_head(const ResponseHead& head);
  /// Bytes as the engine sent them. More than wants_more() asked for is kept, not lost. They leave
  /// with flush(), so that what came together leaves together.
  void push_response_bytes(ByteSpan bytes, Moment now);
  /// Sends what is due.
  void flush(Moment now);
  /// Until then (monotonic milliseconds) nothing that an engine may say would leave: it need not be
  /// listened to. In the past where it would, or where so much comes that it must be read on.
  [[nodiscard]] std::int64_t next_data_ms() const;
  void push_progress(const ProgressFrame& progress, Moment now);
  /// Sends what is buffered first, as everything below does.
  void push_checkpoint(const Usage& usage, Moment now);
  void need_receipt(const Event& record, Moment now);
  /// With final == false an end() follows.
  void error(const ErrorFrame& error, Moment now);
  void end(const Event& record, Moment now);
  /// After a cancel: bytes not sent yet are dropped, and response_hash() covers what was sent. No
  /// more bytes may be pushed for this request.
  void drop_buffered();

  /// SHA-256 and count of all response bytes pushed and not dropped: what the record states.
  [[nodiscard]] Digest response_hash() const {
    return dropped_ ? sent_hash_.peek() : pushed_hash_.peek();
  }

  [[nodiscard]] std::uint64_t response_bytes() const {
    return dropped_ ? sent_bytes_ : pushed_bytes_;
  }

  /// The answer as the client can pick it up from relays later; to be published by the owner.
  [[nodiscard]] std::vector<Event> store(const FinishedAnswer& answer,
                                         const StoredTimes& times) const;

  [[nodiscard]] std::vector<Event> take_events();
  [[nodiscard]] std::optional<NodeNotes> next_note();

  /// Everything sent, the end frame too, is acknowledged, or the session failed: it may go once a
  /// late receipt is no longer of interest.
  [[nodiscard]] bool finished() const;

  /// When the client was last heard, monotonic milliseconds.
  [[nodiscard]] std::int64_t heard_at_ms() const { return link_.heard_at_ms(); }

  [[nodiscard]] bool client_lost() const { return lost_; }

  [[nodiscard]] const SessionLink::Counters& counters() const { return link_.counters(); }

  /// The request in hand: the first, or a later one of the same session.
  [[nodiscard]] const OpenFrame& open() const { return open_; }

 private:
  NodeSession(NodeHandshake handshake, AcceptFrame accept, const NodeSessionLimits& limits,
              Keypair session, SessionKeys keys, Moment now, Verifier& verifier, Rng& rng);

  void on_frame(Frame frame, Moment now);
  void on_body(ByteSpan bytes, Moment now);
  void on_receipt(Event event, Moment now);
  void on_next_open(OpenFrame open, Moment now);
  void finish_request_if_whole();
  void send_data(std::size_t bytes_max, Moment now);
  void queue(Frame frame, Moment now);
  void fail(ErrorCode code, Moment now);

  NodeHandshake handshake_;
  AcceptFrame accept_;
  NodeSessionLimits limits_;
  Verifier* verifier_;
  Rng* rng_;
  Keypair session_;
  PublicKey session_key_;
  ConversationKey stored_;
  SessionLink link_;

  enum class State : std::uint8_t { Receiving, Answering, Ending, Ended, Failed };
  State state_ = State::Receiving;
  OpenFrame open_;
  bool lost_ = false;
  std::int64_t accepted_at_ms_;
  std::optional<ResponseHead> head_;
  bool head_sent_ = false;
  Coalescer coalescer_;
  /// Frames that wait until so many response bytes have been sent.
  std::deque<std::pair<std::uint64_t, Frame>> after_bytes_;
  bool dropped_ = false;
  Sha256 pushed_hash_;
  Sha256 sent_hash_;
  std::uint64_t pushed_bytes_ = 0;
  std::uint64_t sent_bytes_ = 0;

  std::vector<Event> events_;
  std::deque<NodeNotes> notes_;
};

}  // namespace nostril
