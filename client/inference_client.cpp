#include "client/inference_client.h"

#include "base/check.h"
#include "events/nip19.h"
#include "events/sampling.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <set>
#include <utility>

namespace nostril::client {

namespace {

/// First frames that found no listener before the query gives up: a node that reconnects needs one
/// repeat, a second later.
constexpr int kMutedTriesMax = 2;
/// How long a node may be away from the relays in the middle of an answer, and how often it is
/// looked for then. While a relay of ours is away, or was since the query began, the node may need
/// longer to find back: the session's limit of silence holds.
constexpr std::int64_t kAwayMsMax = 5'000;
constexpr std::int64_t kLookMs = 1'000;
/// How long a finished query stays to see its receipt acknowledged.
constexpr std::int64_t kReceiptWaitMs = 3'000;
/// How long a record waits for the one before it (of another answer over the same channel) and for
/// the disk.
constexpr std::int64_t kPaymentWaitMs = 10'000;
/// A node's clock may run faster than ours.
constexpr std::int64_t kClockSlackMs = 1'000;

}  // namespace

/// One query: the pure session, its subscription, its timer, and the money at its end.
class InferenceClient::Query : public std::enable_shared_from_this<Query> {
 public:
  Query(InferenceClient& owner, QueryId id, std::shared_ptr<const VerifiedOffer> offer,
        QueryRequest request, QueryCallbacks callbacks)
      : owner_(owner),
        id_(id),
        offer_(std::move(offer)),
        callbacks_(std::move(callbacks)),
        unpaid_(request.unpaid) {
    request_.method = std::move(request.method);
    request_.path = std::move(request.path);
    const ByteSpan body = as_bytes(request.body);
    request_.body.assign(body.begin(), body.end());
    request_.headers = {{"content-type", "application/json"}};
    if (!unpaid_) ticket_ = owner_.wallet_.open(offer_->offer());
    if (ticket_) request_.payment = ticket_->terms;
    request_.earlier_offers = std::move(request.earlier_offers);
    request_.durable = request.options.durable;
    limits_.features.quiet = request.options.quiet;
    limits_.features.again = request.options.again;
    if (request.request) {
      request_.request = *request.request;
    } else {
      owner_.rng_.fill(request_.request.bytes);
    }
    request_hash_ = sha256(body);
    first_sent_at_ms_ = request.first_sent_at_ms.value_or(owner_.clock_.monotonic_ms());
  }

  ~Query() {
    owner_.loop_.cancel(timer_);
    if (address_) owner_.inbox_.release(*address_);
    // Without its record nobody here knows what the node has booked.
    if (ticket_) owner_.wallet_.close(*ticket_, !accepted_ || settled_);
  }

  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  void begin() {
    if (!ticket_ && !unpaid_) {
      const std::string_view command = offer_->offer().lightning
                                           ? "`nostril wallet lightning deposit` pays in advance"
                                           : "`nostril wallet open` locks money for this node";
      const QueryResult none{
          .failure = QueryFailure::NoChannel,
          .detail = std::string(command) + ": " + nip19::encode(nip19::Npub{offer_->offer().node})};
      if (!ask_for_room(none)) end(none);
      return;
    }
    begin_session();
  }

  /// The answer goes on over another relay, if the node names one that is not ours.
  void on_relay_lost() { use_offer_relays(); }

  void cancel(std::string reason) {
    if (room_wanted_) {
      end({.failure = QueryFailure::NoAnswer, .detail = std::move(reason)});
      return;
    }
    if (!session_ || result_) return;
    session_->cancel(std::move(reason), now());
    drive();
  }

 private:
  void begin_session() {
    Keypair key = owner_.inbox_.take(address_callbacks());
    address_ = key.public_key();
    if (owner_.watch_ != nullptr) owner_.watch_->on_offer(offer_->event());
    auto session = ClientSession::start(offer_->offer(), request_, limits_, now(), owner_.verifier_,
                                        owner_.rng_, std::move(key));
    if (!session) {
      end({.failure = QueryFailure::Broken, .detail = std::string(to_string(session.error()))});
      return;
    }
    session_.emplace(std::move(*session));
    if (const auto kept = keep_pending(); !kept) {
      end({.failure = QueryFailure::JournalFailed, .detail = kept.error()});
      return;
    }
    for (std::string& relay : owner_.inbox_.ready_relays(*address_)) {
      ready_relays_.insert(std::move(relay));
    }
    subscribed_ = !ready_relays_.empty();
    drive();
  }

  /// The channel is at its bound: who pays for us is asked once, and the query goes on then, or
  /// ends as `otherwise`. False: nobody pays for us.
  bool ask_for_room(QueryResult otherwise) {
    const auto& lightning = offer_->offer().lightning;
    if (unpaid_ || room_asked_ || owner_.payer_ == nullptr || !lightning ||
        lightning->step.is_zero()) {
      return false;
    }
    room_asked_ = room_wanted_ = true;
    owner_.payer_->make_room(offer_, [weak = weak_from_this(), otherwise = std::move(otherwise)](
                                         const Result<void, std::string>& room) mutable {
      if (const auto self = weak.lock()) self->on_room(room, std::move(otherwise));
    });
    return true;
  }

  void on_room(const Result<void, std::string>& room, QueryResult otherwise) {
    if (ended_) return;
    room_wanted_ = false;
    if (!room) {
      otherwise.detail +=
          (otherwise.detail.empty() ? "" : "; ") + ("paying by itself: " + room.error());
    } else if (otherwise.error) {
      otherwise.error->retryable = true;  // it was refused for what is paid now
    } else {
      ticket_ = owner_.wallet_.open(offer_->offer());
      if (ticket_) {
        request_.payment = ticket_->terms;
        begin_session();
        return;
      }
    }
    end(otherwise);
  }

  [[nodiscard]] AddressCallbacks address_callbacks() {
    AddressCallbacks callbacks;
    const auto weak = weak_from_this();
    callbacks.on_frame = [weak](const Event& event) {
      if (const auto self = weak.lock()) self->on_event(event);
    };
    callbacks.on_ready = [weak](const std::string& relay) {
      if (const auto self = weak.lock()) self->on_subscribed(relay);
    };
    callbacks.on_closed = [weak](const std::string& relay, const std::string& reason) {
      if (const auto self = weak.lock()) self->problems_.push_back(relay + ": " + reason);
    };
    return callbacks;
  }

  [[nodiscard]] Moment now() const {
    return {owner_.clock_.monotonic_ms(), owner_.clock_.unix_s()};
  }

  /// Before the first frame leaves: what it takes to come back for the answer.
  [[nodiscard]] Result<void, std::string> keep_pending() {
    if (!request_.durable || owner_.pending_ == nullptr) return {};
    return owner_.pending_->put({session_->duplicate_key(), offer_->offer(), request_.request,
                                 request_.method, request_.path,
                                 std::string(as_text(request_.body)), owner_.clock_.unix_s()});
  }

  /// The node's own relays, when ours don't lead to it. False when there are none but ours.
  bool use_offer_relays() { return owner_.pool_.add_hinted_relays(offer_->offer().relays) > 0; }

  /// The first time: nothing may leave before, because an ephemeral answer would find nobody. Later
  /// times: a relay came back, and what was missed is asked for.
  void on_subscribed(const std::string& relay) {
    relay_came_back_ = relay_came_back_ || !ready_relays_.insert(relay).second;
    if (std::exchange(subscribed_, true)) session_->resume(now());
    drive();
  }

  void on_event(const Event& event) {
    away_since_ms_.reset();
    session_->on_event(event, now());
    drive();
  }

  void drive() {
    if (driving_) return;                  // called back by what is driven below, which goes on
    const auto self = shared_from_this();  // a callback may end us
    driving_ = true;
    while (session_ && !ended_) {
      auto note = session_->next_note();
      if (!note) break;
      handle(std::move(*note));
    }
    driving_ = false;
    if (ended_ || !session_) return;
    if (!delivered_ && session_->request_delivered()) {
      delivered_ = true;
      if (callbacks_.on_delivered) callbacks_.on_delivered();
    }
    if (subscribed_) {
      for (const Event& event : session_->take_events()) publish(event);
    }
    if (result_ && (session_->drained() || owner_.clock_.monotonic_ms() >= linger_until_ms_)) {
      end(*result_);
      return;
    }
    if (pay_until_ms_ && owner_.clock_.monotonic_ms() >= *pay_until_ms_) {
      end({.failure = QueryFailure::NotPayable,
           .detail = std::string(to_string(settlement::PayerRefusal::Early)),
           .error = error_});
      return;
    }
    arm_timer();
  }

  void publish(const Event& event) {
    const auto weak = weak_from_this();
    const bool queued = owner_.pool_.publish(event, [weak](const PublishResult& result) {
      if (const auto query = weak.lock()) query->on_published(result);
    });
    if (!queued) problems_.emplace_back("no relay can take more events");
  }

  void on_published(const PublishResult& result) {
    if (result.accepted) return;
    problems_ = result.refusals;
    if (!result.refused || result_ || ended_ || room_wanted_) return;
    if (accepted_) {
      if (result.nobody_listens) on_node_away();
    } else if (!result.nobody_listens) {
      end({.failure = QueryFailure::NotTaken, .detail = explain("")});
    } else if (++muted_ >= kMutedTriesMax) {
      if (use_offer_relays()) {
        muted_ = 0;
        return;
      }
      end({.failure = QueryFailure::NobodyListens, .detail = explain("")});
    }
  }

  /// It answered before, and nobody listens to the session's key now.
  void on_node_away() {
    if (relay_came_back_ || owner_.pool_.connected_count() < ready_relays_.size()) return;
    const std::int64_t now_ms = owner_.clock_.monotonic_ms();
    if (!away_since_ms_) away_since_ms_ = now_ms;
    if (now_ms - *away_since_ms_ >= kAwayMsMax) {
      end({.failure = QueryFailure::NobodyListens,
           .detail = explain("the node left in the middle of its answer"),
           .error = error_});
      return;
    }
    look_at_ms_ = now_ms + kLookMs;
    arm_timer();
  }

  void arm_timer() {
    std::optional<std::int64_t> due_ms = session_->next_timer_ms();
    if (result_) due_ms = std::min(due_ms.value_or(linger_until_ms_), linger_until_ms_);
    if (pay_until_ms_) due_ms = std::min(due_ms.value_or(*pay_until_ms_), *pay_until_ms_);
    if (look_at_ms_) due_ms = std::min(due_ms.value_or(*look_at_ms_), *look_at_ms_);
    if (!due_ms) return;
    // One that comes too early finds nothing to do and waits on: most are moved before they are
    // due.
    if (timer_ != net::TimerId::None && timer_due_ms_ <= *due_ms) return;
    owner_.loop_.cancel(timer_);
    const std::int64_t now_ms = owner_.clock_.monotonic_ms();
    const std::int64_t wait_ms = std::clamp<std::int64_t>(*due_ms - now_ms, 1, 60'000);
    timer_due_ms_ = now_ms + wait_ms;
    timer_ = owner_.loop_.after(static_cast<std::uint64_t>(wait_ms), [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->timer_ = net::TimerId::None;
      self->look_for_node();
      self->session_->on_timer(self->now());
      self->drive();
    });
  }

  void look_for_node() {
    if (!look_at_ms_ || owner_.clock_.monotonic_ms() < *look_at_ms_) return;
    look_at_ms_.reset();
    if (away_since_ms_) session_->resume(now());  // its refusal comes to on_published()
  }

  void handle(ClientNotes note) {
    if (const auto* accepted = std::get_if<ClientNote::Accepted>(&note)) {
      accepted_ = true;
      if (accepted->accept.resync) {
        owner_.wallet_.resync(offer_->offer(), *accepted->accept.resync, owner_.verifier_);
      }
    } else if (const auto* head = std::get_if<ClientNote::Head>(&note)) {
      if (callbacks_.on_head) callbacks_.on_head(head->head);
    } else if (const auto* data = std::get_if<ClientNote::Data>(&note)) {
      response_hash_.update(data->bytes);
      if (callbacks_.on_data) callbacks_.on_data(data->bytes);
      session_->consumed(data->bytes.size(), now());
    } else if (const auto* progress = std::get_if<ClientNote::Progress>(&note)) {
      if (callbacks_.on_progress) callbacks_.on_progress(progress->progress);
    } else if (const auto* wanted = std::get_if<ClientNote::NeedReceipt>(&note)) {
      pay(wanted->record, wanted->event.event(), false);
    } else if (const auto* ended = std::get_if<ClientNote::Ended>(&note)) {
      pay(ended->record, ended->event.event(), true);
    } else if (const auto* error = std::get_if<ClientNote::Error>(&note)) {
      error_ = error->error;
      if (!error->error.final) return;
      const QueryResult refused{
          .failure = QueryFailure::Refused, .detail = error->error.message, .error = error_};
      const bool wants_money = error_->code == ErrorCode::PaymentRequired;
      if (!wants_money || !ask_for_room(refused)) end(refused);
    } else if (const auto* failed = std::get_if<ClientNote::Failed>(&note)) {
      fail(failed->failure);
    }
  }

  void fail(SessionFailure failure) {
    // The answer is whole, and only the receipt's way is closed; or it was refused already.
    if (record_came_ || room_wanted_) return;
    const bool silent =
        failure == SessionFailure::AcceptTimeout || failure == SessionFailure::NodeSilent;
    end({.failure = silent ? QueryFailure::NoAnswer : QueryFailure::Broken,
         .detail = explain(to_string(failure)),
         .error = error_});
  }

  /// Everything known that may explain a failure: what relays said, and which are not connected.
  [[nodiscard]] std::string explain(std::string_view what) const {
    std::string out(what);
    std::vector<std::string> reasons = problems_;
    for (std::string& problem : owner_.pool_.problems()) reasons.push_back(std::move(problem));
    for (const std::string& reason : reasons) out += (out.empty() ? "" : "; ") + reason;
    return out;
  }

  /// The offer that a record of this request may name; the session has checked that it is one.
  [[nodiscard]] const Offer& named_offer(const EventId& id) const {
    const auto found = std::ranges::find(request_.earlier_offers, id, &Offer::id);
    return found == request_.earlier_offers.end() ? offer_->offer() : *found;
  }

  /// A node that promised it must say how it sampled, and as it was asked to: nobody could repeat
  /// the answer else. Of an offer that was taken as auditable always.
  [[nodiscard]] bool lacks_sampling(const ResponseRecord& record) const {
    const bool promised = offer_->verdict().level == attestation::Level::Auditable ||
                          records_sampling(named_offer(record.offer));
    return promised && !sampling_suits(record.sampling, as_text(request_.body));
  }

  /// The record proves fraud, by itself or with others: the query is over.
  bool is_fraud(const ResponseRecord& record, const Event& event) {
    if (owner_.watch_ == nullptr) return false;
    const auto fraud = owner_.watch_->on_record(event);
    if (!fraud) return false;
    if (owner_.found_fraud_) owner_.found_fraud_(*fraud);
    end({.failure = QueryFailure::NotPayable,
         .detail = "proven fraud: " + fraud->reason,
         .record = record,
         .record_event = event});
    return true;
  }

  void pay(const ResponseRecord& record, const Event& event, bool last) {
    if (is_fraud(record, event)) return;
    if (unpaid_) {
      if (last) record_came_ = true;
      on_paid(record, event, last, {});
      return;
    }
    if (lacks_sampling(record)) {
      end({.failure = QueryFailure::NotPayable,
           .detail = "the record lacks the sampling that was asked for, which the offer promises",
           .record = record,
           .record_event = event});
      return;
    }
    record_came_ = record_came_ || last;
    pay_until_ms_ = owner_.clock_.monotonic_ms() + kPaymentWaitMs;
    const Offer& offer = named_offer(record.offer);
    const std::int64_t elapsed_ms = owner_.clock_.monotonic_ms() - first_sent_at_ms_;
    const settlement::ExpectedAnswer expected{
        request_.request,
        request_hash_,
        response_hash_.peek(),
        offer.id,
        {settlement::usage_max(offer, as_text(request_.body)),
         static_cast<std::uint64_t>(elapsed_ms + kClockSlackMs)}};
    owner_.wallet_.pay(
        offer, record, event, expected,
        [weak = weak_from_this(), record, event, last](const Wallet::Payment& payment) {
          if (const auto self = weak.lock()) {
            self->on_paid(record, event, last, payment);
          }
        });
  }

  void on_paid(const ResponseRecord& record, const Event& event, bool last,
               const Wallet::Payment& payment) {
    if (ended_) return;
    pay_until_ms_.reset();
    QueryResult result{.error = error_, .record = record, .record_event = event};
    if (payment.refusal) {
      result.failure = QueryFailure::NotPayable;
      result.detail = to_string(*payment.refusal);
    } else if (!payment.stored) {
      result.failure = QueryFailure::JournalFailed;
    }
    if (result.failure != QueryFailure::None) {
      if (!last) session_->cancel("not payable", now());
      // Not drained for: there is nothing that the node has to get.
      end(result);
      return;
    }
    if (payment.receipt) {
      session_->send_receipt(*payment.receipt, now());
      if (owner_.payer_ != nullptr) {
        owner_.payer_->on_receipt(offer_, record.channel, record.spent);
      }
    }
    if (last) {
      settled_ = true;
      result.receipt = payment.receipt;
      result_ = std::move(result);
      linger_until_ms_ = owner_.clock_.monotonic_ms() + kReceiptWaitMs;
    }
    drive();
  }

  void end(const QueryResult& result) {
    if (std::exchange(ended_, true)) return;
    if (session_ && subscribed_) {
      for (const Event& event : session_->take_events()) owner_.pool_.publish(event);
    }
    const auto self = shared_from_this();
    const bool over = settled_ || result.failure == QueryFailure::Refused;
    if (request_.durable && over && owner_.pending_ != nullptr) {
      owner_.pending_->remove(request_.request);
    }
    owner_.remove(id_);
    if (callbacks_.on_end) callbacks_.on_end(result);
  }

  InferenceClient& owner_;
  const QueryId id_;
  const std::shared_ptr<const VerifiedOffer> offer_;
  QueryCallbacks callbacks_;
  ClientRequest request_;
  ClientSessionLimits limits_;
  const bool unpaid_;
  std::optional<Wallet::Ticket> ticket_;
  Digest request_hash_;
  std::int64_t first_sent_at_ms_ = 0;
  Sha256 response_hash_;
  std::optional<ClientSession> session_;
  std::optional<PublicKey> address_;  ///< of the session, in the inbox
  net::TimerId timer_ = net::TimerId::None;
  std::int64_t timer_due_ms_ = 0;
  bool subscribed_ = false;
  bool accepted_ = false;
  bool delivered_ = false;
  bool ended_ = false;
  bool driving_ = false;
  bool record_came_ = false;
  bool settled_ = false;
  bool room_asked_ = false;             ///< once a query
  bool room_wanted_ = false;            ///< nothing else is done until the answer
  std::set<std::string> ready_relays_;  ///< that have sent EOSE to us
  bool relay_came_back_ = false;
  int muted_ = 0;
  std::optional<std::int64_t> away_since_ms_;  ///< the node is: nothing came since
  std::optional<std::int64_t> look_at_ms_;     ///< when to see whether it is back
  std::vector<std::string> problems_;
  std::optional<ErrorFrame> error_;
  std::optional<QueryResult> result_;  ///< waits for the receipt to arrive
  std::int64_t linger_until_ms_ = 0;
  std::optional<std::int64_t> pay_until_ms_;  ///< a record is being paid
};

InferenceClient::InferenceClient(RelayPool& pool, Wallet& wallet, net::Loop& loop, Clock& clock,
                                 Rng& rng)
    : pool_(pool), wallet_(wallet), loop_(loop), clock_(clock), rng_(rng), inbox_(pool, loop, rng) {
  pool_.on_connection_change(
      [this](const std::string& relay, bool connected) { on_connection_change(relay, connected); });
}

InferenceClient::~InferenceClient() {
  pool_.on_connection_change({});
}

void InferenceClient::on_connection_change(const std::string& relay, bool connected) {
  inbox_.on_connection_change(relay, connected);
  if (connected) return;
  for (const auto& [id, query] : queries_) query->on_relay_lost();
}

QueryId InferenceClient::start(std::shared_ptr<const VerifiedOffer> offer, QueryRequest request,
                               QueryCallbacks callbacks) {
  CHECK(offer != nullptr);
  const QueryId id{next_++};
  const auto query = std::make_shared<Query>(*this, id, std::move(offer), std::move(request),
                                             std::move(callbacks));
  queries_.emplace(id, query);
  query->begin();
  return id;
}

void InferenceClient::cancel(QueryId id, std::string reason) {
  const auto found = queries_.find(id);
  if (found == queries_.end()) return;
  const auto query = found->second;
  query->cancel(std::move(reason));
}

void InferenceClient::remove(QueryId id) {
  queries_.erase(id);
}

}  // namespace nostril::client
