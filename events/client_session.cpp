#include "events/client_session.h"

#include "events/record_check.h"

#include <algorithm>
#include <utility>

namespace nostril {

std::string_view to_string(SessionFailure failure) {
  switch (failure) {
    case SessionFailure::AcceptTimeout:
      return "the node did not accept in time";
    case SessionFailure::NodeSilent:
      return "the node fell silent";
    case SessionFailure::BadHandshake:
      return "bad handshake";
    case SessionFailure::ProtocolViolation:
      return "the node broke the protocol";
    case SessionFailure::ResponseTooLarge:
      return "the response is too large";
    case SessionFailure::BadRecord:
      return "the response record does not match the answer";
  }
  return "unknown";
}

namespace {

/// Body bytes that ride in the open frame.
std::size_t first_body_bytes(const ClientRequest& request) {
  return request.hold_body ? 0 : std::min(request.body.size(), kOpenBodyBytesMax);
}

OpenFrame open_frame(const Offer& offer, const ClientRequest& request,
                     const SessionFeatures& features, std::uint64_t credit) {
  OpenFrame open;
  open.features = feature_names(features);
  open.request = request.request;
  open.offer = offer.id;
  open.attestation = offer.attestation;
  open.method = request.method;
  open.path = request.path;
  open.headers = request.headers;
  open.body_bytes = request.body.size();
  const std::size_t first = first_body_bytes(request);
  open.body.assign(request.body.begin(), request.body.begin() + static_cast<std::ptrdiff_t>(first));
  open.durable = request.durable;
  open.payment = request.payment;
  open.credit = credit;
  return open;
}

}  // namespace

Result<ClientSession, SessionError> ClientSession::start(const Offer& offer, ClientRequest request,
                                                         const ClientSessionLimits& limits,
                                                         Moment now, Verifier& verifier, Rng& rng) {
  return start(offer, std::move(request), limits, now, verifier, rng, Keypair::generate(rng));
}

Result<ClientSession, SessionError> ClientSession::start(const Offer& offer, ClientRequest request,
                                                         const ClientSessionLimits& limits,
                                                         Moment now, Verifier& verifier, Rng& rng,
                                                         Keypair client) {
  auto handshake = ClientHandshake::start_with_key(
      offer.encryption_key, open_frame(offer, request, limits.features, limits.link.window_bytes),
      std::move(client));
  if (!handshake) return failure(handshake.error());
  return ClientSession(offer, std::move(request), limits, *std::move(handshake), now, verifier,
                       rng);
}

ClientSession::ClientSession(Offer offer, ClientRequest request, const ClientSessionLimits& limits,
                             ClientHandshake handshake, Moment now, Verifier& verifier, Rng& rng)
    : offer_(std::move(offer)),
      limits_(limits),
      verifier_(&verifier),
      rng_(&rng),
      handshake_(std::move(handshake)),
      opened_at_ms_(now.monotonic_ms),
      resend_at_ms_(now.monotonic_ms + limits.link.resend_ms) {
  begin_request(std::move(request));
  events_.push_back(handshake_.first_event(now.unix_s, *rng_));
}

void ClientSession::begin_request(ClientRequest request) {
  request_ = std::move(request);
  request_hash_ = sha256(request_.body);
  body_sent_ = first_body_bytes(request_);
  accepted_ = false;
  head_seen_ = false;
  cancelled_ = false;
  response_hash_ = Sha256();
  response_bytes_ = 0;
}

void ClientSession::fail(SessionFailure failure) {
  if (state_ == State::Failed) return;
  state_ = State::Failed;
  notes_.emplace_back(ClientNote::Failed{failure});
}

void ClientSession::on_event(const Event& event, Moment now) {
  if (state_ == State::Failed) return;
  if (!link_) {
    if (state_ != State::Opening) return;
    auto reply = handshake_.on_event(event);
    if (!reply) {
      // Only the holder of N can make what opens; if that is wrong, the node is.
      const bool genuine =
          reply.error() == SessionError::BadFrame || reply.error() == SessionError::WrongBinding;
      if (genuine) fail(SessionFailure::BadHandshake);
      return;
    }
    if (auto* error = std::get_if<ErrorFrame>(&*reply)) {
      state_ = State::Ended;
      notes_.emplace_back(ClientNote::Error{std::move(*error)});
      return;
    }
    on_accept(std::get<ClientHandshake::Accepted>(*std::move(reply)), now);
    return;
  }
  const auto done = link_->on_event(event, now, *rng_);
  while (auto frame = link_->next_frame()) on_frame(*std::move(frame), now);
  if (!done &&
      (done.error() == SessionError::BadFrame || done.error() == SessionError::WrongNumber)) {
    fail(SessionFailure::ProtocolViolation);
  }
  pump(now);
}

void ClientSession::on_accept(ClientHandshake::Accepted accepted, Moment now) {
  const SessionFeatures features = read_features(accepted.accept.features);
  if (common_features(features, limits_.features) != features) {
    return fail(SessionFailure::BadHandshake);
  }
  link_.emplace(std::move(accepted.keys.client_to_node), std::move(accepted.keys.node_to_client),
                handshake_.client().duplicate(), accepted.session_key, limits_.link, now);
  link_->use(features, now);
  link_->set_send_credit(accepted.accept.credit);
  link_->set_receive_credit(limits_.link.window_bytes);
  state_ = State::Open;
  accepted_ = true;
  notes_.emplace_back(ClientNote::Accepted{std::move(accepted.accept)});
  if (cancelled_) link_->send(CancelFrame{"cancelled before the accept"}, now, *rng_);
  pump(now);
}

void ClientSession::pump(Moment now) {
  if (state_ == State::Open && accepted_) send_body(now);
}

void ClientSession::send_body(Moment now) {
  while (!cancelled_ && body_sent_ < request_.body.size() && link_->can_send() &&
         link_->credit_left() > 0) {
    const std::uint64_t room =
        std::min<std::uint64_t>(link_->credit_left(), link_->data_bytes_max());
    const std::size_t count = std::min<std::size_t>(request_.body.size() - body_sent_, room);
    const ByteSpan part = ByteSpan(request_.body).subspan(body_sent_, count);
    body_sent_ += count;
    link_->send(DataFrame{.head = {}, .bytes = Bytes(part.begin(), part.end())}, now, *rng_);
  }
}

void ClientSession::on_frame(Frame frame, Moment now) {
  if (state_ != State::Open) return;  // after the end only acks matter, and the link eats those
  if (auto* accept = std::get_if<AcceptFrame>(&frame)) {
    if (accepted_ || accept->request != request_.request) {
      return fail(SessionFailure::ProtocolViolation);
    }
    accepted_ = true;
    notes_.emplace_back(ClientNote::Accepted{std::move(*accept)});
  } else if (auto* data = std::get_if<DataFrame>(&frame)) {
    on_data(std::move(*data), now);
  } else if (auto* progress = std::get_if<ProgressFrame>(&frame)) {
    notes_.emplace_back(ClientNote::Progress{*progress});
  } else if (auto* checkpoint = std::get_if<CheckpointFrame>(&frame)) {
    if (checkpoint->bytes != response_bytes_ ||
        checkpoint->response_hash != response_hash_.peek()) {
      return fail(SessionFailure::BadRecord);
    }
    notes_.emplace_back(ClientNote::Checkpoint{*checkpoint});
  } else if (auto* need = std::get_if<NeedReceiptFrame>(&frame)) {
    on_record(need->record, true);
  } else if (auto* end = std::get_if<EndFrame>(&frame)) {
    on_record(end->record, false);
    if (state_ == State::Ended) link_->acknowledge(now, *rng_);  // and may be gone soon
  } else if (auto* error = std::get_if<ErrorFrame>(&frame)) {
    if (error->final) state_ = State::Ended;
    notes_.emplace_back(ClientNote::Error{std::move(*error)});
  } else {
    fail(SessionFailure::ProtocolViolation);
  }
}

void ClientSession::on_data(DataFrame data, Moment now) {
  if (!accepted_ || head_seen_ == data.head.has_value()) {
    return fail(SessionFailure::ProtocolViolation);
  }
  if (data.head) {
    head_seen_ = true;
    notes_.emplace_back(ClientNote::Head{*std::move(data.head)});
  }
  if (data.bytes.empty()) return;
  response_bytes_ += data.bytes.size();
  if (response_bytes_ > limits_.response_bytes_max) {
    link_->send(CancelFrame{"too large"}, now, *rng_);
    return fail(SessionFailure::ResponseTooLarge);
  }
  response_hash_.update(data.bytes);
  unconsumed_ += data.bytes.size();
  notes_.emplace_back(ClientNote::Data{std::move(data.bytes)});
}

void ClientSession::on_record(const Event& event, bool partial) {
  auto checked = check_record(event,
                              {.offer = offer_,
                               .earlier = request_.earlier_offers,
                               .request = request_.request,
                               .request_hash = request_hash_,
                               .response_hash = response_hash_.peek(),
                               .partial = partial},
                              *verifier_);
  if (!checked) return fail(SessionFailure::BadRecord);
  if (partial) {
    notes_.emplace_back(
        ClientNote::NeedReceipt{std::move(checked->record), std::move(checked->event)});
    return;
  }
  state_ = State::Ended;
  notes_.emplace_back(ClientNote::Ended{std::move(checked->record), std::move(checked->event)});
}

void ClientSession::on_timer(Moment now) {
  if (state_ == State::Failed) return;
  if (state_ == State::Opening) {
    if (now.monotonic_ms - opened_at_ms_ >= limits_.accept_ms_max) {
      return fail(SessionFailure::AcceptTimeout);
    }
    if (now.monotonic_ms >= resend_at_ms_) {
      resend_at_ms_ = now.monotonic_ms + limits_.link.resend_ms;
      if (!cancelled_) events_.push_back(handshake_.first_event(now.unix_s, *rng_));
    }
    return;
  }
  if (!link_) return;
  if (state_ == State::Open && now.monotonic_ms - link_->heard_at_ms() >= limits_.silence_ms_max) {
    return fail(SessionFailure::NodeSilent);
  }
  link_->on_timer(now, *rng_);
  pump(now);
}

std::optional<std::int64_t> ClientSession::next_timer_ms() const {
  if (state_ == State::Failed) return std::nullopt;
  if (state_ == State::Opening) {
    return std::min(resend_at_ms_, opened_at_ms_ + limits_.accept_ms_max);
  }
  if (!link_) return std::nullopt;
  if (state_ == State::Ended) return link_->next_timer_ms();
  return std::min(link_->next_timer_ms(), link_->heard_at_ms() + limits_.silence_ms_max);
}

void ClientSession::consumed(std::uint64_t bytes, Moment now) {
  bytes = std::min(bytes, unconsumed_);  // open_next() may have counted them
  unconsumed_ -= bytes;
  if (link_ && state_ != State::Failed) link_->consumed(bytes, now, *rng_);
}

void ClientSession::cancel(std::string reason, Moment now) {
  if (cancelled_ || (state_ != State::Opening && state_ != State::Open)) return;
  cancelled_ = true;
  reason.resize(std::min<std::size_t>(reason.size(), 64));
  if (link_) link_->send(CancelFrame{make_error(ErrorCode::Internal, reason).message}, now, *rng_);
}

void ClientSession::send_receipt(const Event& receipt, Moment now) {
  if (!link_ || state_ == State::Failed) return;
  // A node that asks for receipt after receipt and acknowledges none.
  if (!link_->can_send()) return fail(SessionFailure::ProtocolViolation);
  link_->send(ReceiptFrame{receipt}, now, *rng_);
}

void ClientSession::resume(Moment now) {
  if (state_ == State::Opening) {
    resend_at_ms_ = now.monotonic_ms;
    on_timer(now);
  } else if (link_ && state_ != State::Failed) {
    link_->resume(now, *rng_);
  }
}

bool ClientSession::open_next(ClientRequest request, Moment now) {
  if (state_ != State::Ended || !link_ || !link_->can_send()) return false;
  const OpenFrame probe = open_frame(offer_, request, limits_.features, 0);
  if (!is_sendable(probe)) return false;
  // What the last answer's reader left lying does not narrow the window for ever.
  link_->consumed(std::exchange(unconsumed_, 0), now, *rng_);
  OpenFrame open = probe;
  open.credit = link_->receive_credit();
  begin_request(std::move(request));
  state_ = State::Open;
  link_->send(open, now, *rng_);
  return true;
}

std::vector<Event> ClientSession::take_events() {
  std::vector<Event> out = std::exchange(events_, {});
  if (link_) {
    for (Event& event : link_->take_events()) out.push_back(std::move(event));
  }
  return out;
}

std::optional<ClientNotes> ClientSession::next_note() {
  if (notes_.empty()) return std::nullopt;
  ClientNotes note = std::move(notes_.front());
  notes_.pop_front();
  return note;
}

}  // namespace nostril
