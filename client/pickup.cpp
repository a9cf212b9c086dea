#include "client/pickup.h"

#include "base/hex.h"
#include "events/kinds.h"
#include "events/record_check.h"
#include "events/sampling.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::uint64_t kLookMs = 100;
/// How long nodes keep answers at least (spec/05-session.md).
constexpr std::int64_t kAnswersKeptSMin = 3'600;

OpenFrame open_frame(const PendingAnswer& pending) {
  OpenFrame open;
  open.request = pending.request;
  open.offer = pending.offer.id;
  open.attestation = pending.offer.attestation;
  open.method = pending.method;
  open.path = pending.path;
  return open;
}

}  // namespace

Pickup::Pickup(RelayPool& pool, Wallet& wallet, OfferBook& offers, InferenceClient& inference,
               net::Loop& loop, Clock& clock, PendingAnswer pending,
               std::function<void(const PickedUp&)> done, const PickupTimes& times)
    : pool_(pool),
      wallet_(wallet),
      offers_(offers),
      inference_(inference),
      loop_(loop),
      clock_(clock),
      pending_(std::move(pending)),
      done_(std::move(done)),
      times_(times) {}

Pickup::~Pickup() {
  loop_.cancel(timer_);
  pool_.unsubscribe(subscription_);
}

void Pickup::start() {
  auto handshake = ClientHandshake::start_with_key(pending_.offer.encryption_key,
                                                   open_frame(pending_), pending_.key.duplicate());
  if (!handshake) {
    out_.result.failure = QueryFailure::Broken;
    out_.result.detail = to_string(handshake.error());
    return end();
  }
  reader_.emplace(*std::move(handshake));
  pool_.add_hinted_relays(pending_.offer.relays);
  Filter filter;
  filter.kinds = {kinds::kStoredFrame};
  filter.tags.push_back({'p', {encode_hex(pending_.key.public_key())}});
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [weak = weak_from_this()](const VerifiedEvent& event) {
    if (const auto self = weak.lock()) self->on_frame(event.event());
  };
  callbacks.on_stored_end = [weak = weak_from_this()](const std::string&) {
    if (const auto self = weak.lock()) self->on_stored_end();
  };
  subscription_ = pool_.subscribe({std::move(filter)}, std::move(callbacks));
  timer_ = loop_.after(times_.stored_ms_max, [this] { ask_node(); });
}

void Pickup::on_stored_end() {
  if (++relays_heard_ >= pool_.relay_count()) ask_node();
}

void Pickup::on_frame(const Event& event) {
  if (out_.stored || asking_ || !reader_->on_event(event)) return;
  on_answer(*reader_->answer());
}

void Pickup::on_answer(const FinishedAnswer& answer) {
  auto checked = check_record(answer.record,
                              {.offer = pending_.offer,
                               .earlier = {},
                               .request = pending_.request,
                               .request_hash = sha256(as_bytes(pending_.body)),
                               .response_hash = sha256(answer.body)},
                              verifier_);
  const bool sampled = checked && (!records_sampling(pending_.offer) ||
                                   sampling_suits(checked->record.sampling, pending_.body));
  if (!sampled) {
    out_.result.failure = QueryFailure::Broken;
    out_.result.detail = "the stored answer's record is wrong";
    return end();
  }
  loop_.cancel(std::exchange(timer_, net::TimerId::None));
  out_.stored = true;
  out_.head = answer.head;
  out_.body = as_text(answer.body);
  out_.result.record = checked->record;
  out_.result.record_event = answer.record;
  const std::int64_t age_s = std::max<std::int64_t>(0, clock_.unix_s() - pending_.sent_at_s);
  const settlement::ExpectedAnswer expected{checked->record.request,
                                            checked->record.request_hash,
                                            checked->record.response_hash,
                                            pending_.offer.id,
                                            {settlement::usage_max(pending_.offer, pending_.body),
                                             static_cast<std::uint64_t>(age_s + 1) * 1000}};
  wallet_.pay(pending_.offer, checked->record, answer.record, expected,
              [weak = weak_from_this()](const Wallet::Payment& payment) {
                const auto self = weak.lock();
                if (!self) return;
                QueryResult& result = self->out_.result;
                if (payment.refusal) {
                  result.failure = QueryFailure::NotPayable;
                  result.detail = to_string(*payment.refusal);
                } else if (!payment.stored) {
                  result.failure = QueryFailure::JournalFailed;
                }
                result.receipt = payment.receipt;
                if (result.failure != QueryFailure::None || !payment.receipt) return self->end();
                self->out_.receipt_delivered = false;
                self->ask_node();
              });
}

/// For the answer, or to hand over the receipt.
void Pickup::ask_node() {
  if (std::exchange(asking_, true) || ended_) return;
  look_for_offer(clock_.monotonic_ms() + static_cast<std::int64_t>(times_.offer_ms_max));
}

void Pickup::look_for_offer(std::int64_t until_ms) {
  loop_.cancel(std::exchange(timer_, net::TimerId::None));
  const auto usable = offers_.usable();
  const auto same = std::ranges::find_if(usable, [this](const auto& candidate) {
    return candidate->offer().node == pending_.offer.node &&
           candidate->offer().model == pending_.offer.model;
  });
  if (same != usable.end()) return send_again(*same);
  if (clock_.monotonic_ms() < until_ms) {
    timer_ = loop_.after(kLookMs, [this, until_ms] { look_for_offer(until_ms); });
    return;
  }
  if (!out_.stored) {
    out_.result.failure = QueryFailure::NoAnswer;
    out_.result.detail = "no relay stores the answer (yet), and the node is not there to be asked";
  }
  end();
}

void Pickup::send_again(std::shared_ptr<const VerifiedOffer> offer) {
  QueryRequest request;
  request.method = pending_.method;
  request.path = pending_.path;
  request.body = pending_.body;
  request.request = pending_.request;
  request.earlier_offers = {pending_.offer};
  request.options.again = clock_.unix_s() - pending_.sent_at_s >= kAnswersKeptSMin;
  request.first_sent_at_ms = clock_.monotonic_ms() -
                             std::max<std::int64_t>(0, clock_.unix_s() - pending_.sent_at_s) * 1000;
  QueryCallbacks callbacks;
  const auto weak = weak_from_this();
  callbacks.on_head = [weak](const ResponseHead& head) {
    const auto self = weak.lock();
    if (self && !self->out_.stored) self->out_.head = head;
  };
  callbacks.on_data = [weak](ByteSpan bytes) {
    const auto self = weak.lock();
    if (self && !self->out_.stored) self->out_.body += as_text(bytes);
  };
  callbacks.on_end = [weak](const QueryResult& result) {
    if (const auto self = weak.lock()) self->on_node_answered(result);
  };
  query_ = inference_.start(std::move(offer), std::move(request), std::move(callbacks));
}

void Pickup::on_node_answered(const QueryResult& result) {
  const bool paid = result.failure == QueryFailure::None && result.record.has_value();
  if (out_.stored) {
    out_.receipt_delivered = paid;
  } else {
    out_.result = result;
  }
  end();
}

void Pickup::end() {
  if (std::exchange(ended_, true)) return;
  loop_.cancel(std::exchange(timer_, net::TimerId::None));
  const auto self = shared_from_this();  // the call may let us go
  std::exchange(done_, nullptr)(out_);
}

}  // namespace nostril::client
