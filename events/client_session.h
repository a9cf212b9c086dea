#pragma once

#include "events/session_link.h"
#include "schnorr/hash.h"
#include "schnorr/verify.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace nostril {

struct ClientRequest {
  RequestId request;  ///< random; the same again makes a retry: same answer, charged once
  std::string method;
  std::string path;
  std::vector<Header> headers;
  Bytes body;
  /// Sends no body byte before the accept: one round trip for a prompt that is forward secret at
  /// once, not only when N is wiped.
  bool hold_body = false;
  bool durable = false;
  std::optional<PaymentTerms> payment;
  /// Offers of the same node under which the same request was sent before: a repeated answer comes
  /// with the record that was made then.
  std::vector<Offer> earlier_offers;
};

struct ClientSessionLimits {
  LinkLimits link;
  std::int64_t accept_ms_max =
      10'000;  ///< no accept: AcceptTimeout. First frames repeat by resend_ms
  std::int64_t silence_ms_max = 30'000;          ///< nothing from the node: NodeSilent
  std::uint64_t response_bytes_max = 64U << 20;  ///< more: ResponseTooLarge, and a cancel
  SessionFeatures features = {.zstd = true};     ///< asked for; the node says which of them it has
};

enum class SessionFailure : std::uint8_t {
  AcceptTimeout,
  NodeSilent,
  BadHandshake,       ///< accept for another request or from another key
  ProtocolViolation,  ///< a frame that may not stand here
  ResponseTooLarge,
  BadRecord,  ///< signature, author, hashes or ids of the record are wrong
};
std::string_view to_string(SessionFailure failure);

/// What the session tells its owner, in order.
struct ClientNote {
  struct Accepted {
    AcceptFrame accept;
  };

  struct Head {
    ResponseHead head;
  };

  struct Data {
    Bytes bytes;  ///< call consumed() when they are passed on
  };

  struct Progress {
    ProgressFrame progress;
  };

  struct Checkpoint {
    CheckpointFrame checkpoint;  ///< its hash was compared with the bytes delivered
  };

  struct NeedReceipt {
    ResponseRecord record;  ///< status Partial, checked as for Ended
    VerifiedEvent event;
  };

  /// The record's signature, author, offer, attestation, request, model and both hashes are right.
  /// Its usage and price are judged by settlement/channel.h.
  struct Ended {
    ResponseRecord record;
    VerifiedEvent event;
  };

  /// The node's error. When !final an Ended follows.
  struct Error {
    ErrorFrame error;
  };

  /// No more notes follow; nothing that came after the last valid frame may be trusted.
  struct Failed {
    SessionFailure failure;
  };
};

using ClientNotes =
    std::variant<ClientNote::Accepted, ClientNote::Head, ClientNote::Data, ClientNote::Progress,
                 ClientNote::Checkpoint, ClientNote::NeedReceipt, ClientNote::Ended,
                 ClientNote::Error, ClientNote::Failed>;

/// The client's end of a session, pure: events and time in, events and notes out. After each call
/// the owner publishes take_events(), drains next_note() and sets a timer for next_timer_ms().
/// The owner has verified the offer's attestation before it makes one: start() seals the prompt.
/// Subscribe to {kinds:[21472], #p:[client_key()]} and wait for EOSE before publishing.
/// Threads: one; `verifier` and `rng` are borrowed for the session's life.
class ClientSession {
 public:
  /// Nothing leaves before take_events(). `offer` is verified and current.
  [[nodiscard]] static Result<ClientSession, SessionError> start(const Offer& offer,
                                                                 ClientRequest request,
                                                                 const ClientSessionLimits& limits,
                                                                 Moment now, Verifier& verifier,
                                                                 Rng& rng);
  /// The same with a given c, which nobody has used before.
  [[nodiscard]] static Result<ClientSession, SessionError> start(const Offer& offer,
                                                                 ClientRequest request,
                                                                 const ClientSessionLimits& limits,
                                                                 Moment now, Verifier& verifier,
                                                                 Rng& rng, Keypair client);

  ClientSession(ClientSession&&) noexcept = default;
  ClientSession& operator=(ClientSession&&) = delete;
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;
  ~ClientSession() = default;

  /// The session's address c.
  [[nodiscard]] const PublicKey& client_key() const { return handshake_.client().public_key(); }

  /// Its secret: what a request that may be picked up later is kept with.
  [[nodiscard]] Keypair duplicate_key() const { return handshake_.client().duplicate(); }

  /// Any event of kind 21472 that names client_key(). Foreign and forged ones are counted
  /// and ignored: whoever knows the address may send to it.
  void on_event(const Event& event, Moment now);
  void on_timer(Moment now);
  [[nodiscard]] std::optional<std::int64_t> next_timer_ms() const;

  /// Data of this many bytes was passed on: more may come.
  void consumed(std::uint64_t bytes, Moment now);
  /// Stops the engine; the end frame still comes, with the usage so far.
  void cancel(std::string reason, Moment now);
  /// Answers NeedReceipt or Ended. The event is a signed 1472.
  void send_receipt(const Event& receipt, Moment now);
  /// A relay was lost and another one is subscribed: everything missing is asked for at once.
  void resume(Moment now);
  /// The next request of an ended session: same offer, same keys. False when it may not start yet.
  /// Data of the request before counts as consumed.
  [[nodiscard]] bool open_next(ClientRequest request, Moment now);

  [[nodiscard]] std::vector<Event> take_events();
  [[nodiscard]] std::optional<ClientNotes> next_note();

  enum class State : std::uint8_t { Opening, Open, Ended, Failed };

  [[nodiscard]] State state() const { return state_; }

  /// The node has the whole request.
  [[nodiscard]] bool request_delivered() const {
    return accepted_ && body_sent_ == request_.body.size() && drained();
  }

  /// All that was sent (the receipt above all) has been acknowledged.
  [[nodiscard]] bool drained() const { return link_.has_value() && link_->drained(); }

  [[nodiscard]] const SessionLink::Counters* counters() const {
    return link_ ? &link_->counters() : nullptr;
  }

 private:
  ClientSession(Offer offer, ClientRequest request, const ClientSessionLimits& limits,
                ClientHandshake handshake, Moment now, Verifier& verifier, Rng& rng);

  void on_accept(ClientHandshake::Accepted accepted, Moment now);
  void on_frame(Frame frame, Moment now);
  void on_data(DataFrame data, Moment now);
  void on_record(const Event& event, bool partial);
  void send_body(Moment now);
  void pump(Moment now);
  void fail(SessionFailure failure);
  void begin_request(ClientRequest request);

  Offer offer_;
  ClientSessionLimits limits_;
  Verifier* verifier_;
  Rng* rng_;
  ClientHandshake handshake_;
  State state_ = State::Opening;

  // Of the current request.
  ClientRequest request_;
  Digest request_hash_;
  std::size_t body_sent_ = 0;
  bool accepted_ = false;
  bool head_seen_ = false;
  bool cancelled_ = false;
  Sha256 response_hash_;
  std::uint64_t response_bytes_ = 0;
  std::uint64_t unconsumed_ = 0;

  std::optional<SessionLink> link_;
  std::vector<Event> events_;
  std::deque<ClientNotes> notes_;
  std::int64_t opened_at_ms_;
  std::int64_t resend_at_ms_;
};

}  // namespace nostril
