#include "events/node_session.h"

#include "base/check.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace nostril {

namespace {

/// Streamed answers shrink to about a tenth: a frame may hold more before it is due.
constexpr std::size_t kZstdFlushFactor = 7;

Coalescer::Limits flush_limits(Coalescer::Limits limits, const std::vector<std::string>& features) {
  if (read_features(features).zstd) limits.bytes_max *= kZstdFlushFactor;
  return limits;
}

/// An accept is repeated once in this time: replays of the first frame must not multiply traffic.
constexpr std::int64_t kAcceptGapMs = 200;

}  // namespace

Result<NodeSession, SessionError> NodeSession::accept(NodeHandshake handshake, AcceptFrame accept,
                                                      const NodeSessionLimits& limits, Moment now,
                                                      Verifier& verifier, Rng& rng) {
  return NodeSession::accept(std::move(handshake), std::move(accept), limits, now, verifier, rng,
                             Keypair::generate(rng));
}

Result<NodeSession, SessionError> NodeSession::accept(NodeHandshake handshake, AcceptFrame accept,
                                                      const NodeSessionLimits& limits, Moment now,
                                                      Verifier& verifier, Rng& rng,
                                                      Keypair session) {
  if (handshake.open().body_bytes > limits.request_bytes_max) {
    return failure(SessionError::BadFrame);
  }
  auto keys = handshake.derive(session);
  if (!keys) return failure(keys.error());
  accept.request = handshake.open().request;
  accept.session_key = session.public_key();
  accept.credit = limits.link.window_bytes;
  accept.features =
      feature_names(common_features(read_features(handshake.open().features), limits.features));
  return NodeSession(std::move(handshake), std::move(accept), limits, std::move(session),
                     *std::move(keys), now, verifier, rng);
}

NodeSession::NodeSession(NodeHandshake handshake, AcceptFrame accept,
                         const NodeSessionLimits& limits, Keypair session, SessionKeys keys,
                         Moment now, Verifier& verifier, Rng& rng)
    : handshake_(std::move(handshake)),
      accept_(std::move(accept)),
      limits_(limits),
      verifier_(&verifier),
      rng_(&rng),
      session_(std::move(session)),
      session_key_(session_.public_key()),
      stored_(std::move(keys.stored)),
      link_(std::move(keys.node_to_client), std::move(keys.client_to_node), session_.duplicate(),
            handshake_.client(), limits.link, now),
      open_(handshake_.open()),
      accepted_at_ms_(now.monotonic_ms),
      coalescer_(flush_limits(limits.flush, accept_.features)) {
  link_.use(read_features(accept_.features), now);
  link_.set_send_credit(open_.credit);
  link_.set_receive_credit(accept_.credit);
  events_.push_back(handshake_.accept_event(accept_, session_, now.unix_s, *rng_));
  finish_request_if_whole();
}

void NodeSession::on_open_again(Moment now) {
  if (now.monotonic_ms - accepted_at_ms_ < kAcceptGapMs) return;
  accepted_at_ms_ = now.monotonic_ms;
  events_.push_back(handshake_.accept_event(accept_, session_, now.unix_s, *rng_));
}

void NodeSession::fail(ErrorCode code, Moment now) {
  if (state_ == State::Failed) return;
  state_ = State::Failed;
  link_.send(make_error(code, to_string(code)), now, *rng_);
  notes_.emplace_back(NodeNote::Failed{code});
}

void NodeSession::on_event(const Event& event, Moment now) {
  if (state_ == State::Failed) return;
  const auto done = link_.on_event(event, now, *rng_);
  if (lost_ && now.monotonic_ms - link_.heard_at_ms() < limits_.client_lost_ms) {
    lost_ = false;
    notes_.emplace_back(NodeNote::ClientBack{});
  }
  while (auto frame = link_.next_frame()) on_frame(*std::move(frame), now);
  if (!done &&
      (done.error() == SessionError::BadFrame || done.error() == SessionError::WrongNumber)) {
    fail(ErrorCode::Protocol, now);
  }
  flush(now);
}

void NodeSession::on_frame(Frame frame, Moment now) {
  if (state_ == State::Failed) return;
  if (auto* data = std::get_if<DataFrame>(&frame)) {
    on_body(data->bytes, now);
  } else if (auto* cancel = std::get_if<CancelFrame>(&frame)) {
    if (state_ == State::Receiving || state_ == State::Answering) {
      notes_.emplace_back(NodeNote::Cancelled{std::move(cancel->reason)});
      state_ = State::Answering;
    }
  } else if (auto* receipt = std::get_if<ReceiptFrame>(&frame)) {
    on_receipt(std::move(receipt->receipt), now);
  } else if (auto* open = std::get_if<OpenFrame>(&frame)) {
    on_next_open(std::move(*open), now);
  } else {
    fail(ErrorCode::Protocol, now);
  }
}

void NodeSession::on_body(ByteSpan bytes, Moment now) {
  link_.consumed(bytes.size(), now, *rng_);
  if (state_ != State::Receiving) return;  // on its way when the request was cancelled or refused
  if (open_.body.size() + bytes.size() > open_.body_bytes) return fail(ErrorCode::Protocol, now);
  open_.body.insert(open_.body.end(), bytes.begin(), bytes.end());
  finish_request_if_whole();
}

void NodeSession::finish_request_if_whole() {
  if (open_.body.size() < open_.body_bytes) return;
  state_ = State::Answering;
  notes_.emplace_back(NodeNote::Request{open_, sha256(open_.body)});
}

void NodeSession::on_receipt(Event event, Moment now) {
  // The client holds the end of its stream until it knows that its last receipt came.
  if (state_ == State::Ended) link_.acknowledge(now, *rng_);
  auto checked = check_id(std::move(event));
  if (!checked) return fail(ErrorCode::BadReceipt, now);
  auto verified = VerifiedEvent::verify(*std::move(checked), *verifier_);
  if (!verified) return fail(ErrorCode::BadReceipt, now);
  auto receipt = SignedReceipt::parse(*std::move(verified));
  if (!receipt) return fail(ErrorCode::BadReceipt, now);
  notes_.emplace_back(NodeNote::Receipt{*std::move(receipt)});
}

void NodeSession::on_next_open(OpenFrame open, Moment now) {
  // Offer and attestation are part of the keys: another price needs another session.
  if (state_ != State::Ended || open.offer != handshake_.open().offer ||
      open.attestation != handshake_.open().attestation) {
    return fail(ErrorCode::Protocol, now);
  }
  if (open.body_bytes > limits_.request_bytes_max) return fail(ErrorCode::TooLarge, now);
  open_ = std::move(open);
  head_.reset();
  head_sent_ = false;
  coalescer_ = Coalescer(flush_limits(limits_.flush, accept_.features));
  dropped_ = false;
  pushed_hash_ = Sha256();
  sent_hash_ = Sha256();
  pushed_bytes_ = 0;
  sent_bytes_ = 0;
  state_ = State::Receiving;
  link_.set_send_credit(open_.credit);
  AcceptFrame accept;
  accept.request = open_.request;
  accept.session_key = session_key_;
  accept.features = accept_.features;
  accept.credit = link_.receive_credit();
  link_.send(accept, now, *rng_);
  finish_request_if_whole();
}

bool NodeSession::wants_more() const {
  const std::size_t buffer_max =
      lost_ && open_.durable ? kStoredBodyBytesMax : limits_.buffer_bytes_max;
  return state_ == State::Answering && !dropped_ && coalescer_.size() < buffer_max;
}

std::vector<Event> NodeSession::store(const FinishedAnswer& answer,
                                      const StoredTimes& times) const {
  return seal_answer(answer, stored_answer_key(stored_, open_.request), session_,
                     handshake_.client(), read_features(accept_.features).zstd, times, *rng_);
}

void NodeSession::push_response_head(const ResponseHead& head) {
  head_ = make_head(head.status, head.content_type);
}

void NodeSession::push_response_bytes(ByteSpan bytes, Moment now) {
  if (state_ != State::Answering || dropped_) return;
  pushed_hash_.update(bytes);
  pushed_bytes_ += bytes.size();
  coalescer_.add(bytes, now.monotonic_ms);
}

std::int64_t NodeSession::next_data_ms() const {
  constexpr std::int64_t kAtOnce = std::numeric_limits<std::int64_t>::min();
  const bool idle = state_ == State::Answering && after_bytes_.empty() && coalescer_.size() == 0;
  return idle && !coalescer_.overflows() ? coalescer_.next_frame_ms() : kAtOnce;
}

void NodeSession::push_progress(const ProgressFrame& progress, Moment now) {
  if (state_ == State::Answering) link_.send(progress, now, *rng_);
}

void NodeSession::push_checkpoint(const Usage& usage, Moment now) {
  if (state_ != State::Answering) return;
  queue(
      CheckpointFrame{.bytes = response_bytes(), .response_hash = response_hash(), .usage = usage},
      now);
}

void NodeSession::need_receipt(const Event& record, Moment now) {
  if (state_ == State::Answering) queue(NeedReceiptFrame{record}, now);
}

void NodeSession::error(const ErrorFrame& error, Moment now) {
  if (state_ != State::Receiving && state_ != State::Answering) return;
  if (error.final) {
    state_ = State::Ending;
  } else {
    state_ = State::Answering;
  }
  queue(error, now);
}

void NodeSession::end(const Event& record, Moment now) {
  if (state_ != State::Receiving && state_ != State::Answering) return;
  state_ = State::Ending;
  queue(EndFrame{record}, now);
}

void NodeSession::drop_buffered() {
  if (dropped_) return;
  dropped_ = true;
  coalescer_ = Coalescer(flush_limits(limits_.flush, accept_.features));
  // What was to follow those bytes would now name bytes that never come.
  after_bytes_.clear();
}

void NodeSession::queue(Frame frame, Moment now) {
  after_bytes_.emplace_back(response_bytes(), std::move(frame));
  flush(now);
}

void NodeSession::send_data(std::size_t bytes_max, Moment now) {
  DataFrame data;
  if (!head_sent_) data.head = head_.value_or(ResponseHead{});
  head_sent_ = true;
  data.bytes = coalescer_.take(bytes_max, now.monotonic_ms);
  sent_hash_.update(data.bytes);
  sent_bytes_ += data.bytes.size();
  link_.send(data, now, *rng_);
}

void NodeSession::flush(Moment now) {
  while (state_ != State::Failed && link_.can_send()) {
    const bool frame_waits = !after_bytes_.empty();
    const std::uint64_t before_frame =
        frame_waits ? after_bytes_.front().first - sent_bytes_ : coalescer_.size();
    if (frame_waits && before_frame == 0) {
      const Frame& frame = after_bytes_.front().second;
      const bool ends = std::holds_alternative<EndFrame>(frame);
      if (ends && head_ && !head_sent_) {
        send_data(0, now);  // a response without a body still has its status
        continue;
      }
      link_.send(frame, now, *rng_);
      after_bytes_.pop_front();
      if (state_ == State::Ending && after_bytes_.empty()) state_ = State::Ended;
      continue;
    }
    if (!frame_waits && !coalescer_.due(now.monotonic_ms)) return;
    const std::uint64_t room =
        std::min<std::uint64_t>({link_.credit_left(), link_.data_bytes_max(), before_frame});
    if (room == 0) return;
    send_data(static_cast<std::size_t>(room), now);
  }
}

void NodeSession::on_timer(Moment now) {
  if (state_ == State::Failed) {
    link_.on_timer(now, *rng_);
    return;
  }
  if (!lost_ && state_ != State::Ended &&
      now.monotonic_ms - link_.heard_at_ms() >= limits_.client_lost_ms) {
    lost_ = true;
    notes_.emplace_back(NodeNote::ClientLost{});
  }
  flush(now);
  link_.on_timer(now, *rng_);
}

std::int64_t NodeSession::next_timer_ms() const {
  std::int64_t next = link_.next_timer_ms();
  if (!lost_ && state_ != State::Ended) {
    next = std::min(next, link_.heard_at_ms() + limits_.client_lost_ms);
  }
  // Bytes that wait for credit or room go out when an ack comes, not by time.
  if (const auto due = coalescer_.deadline_ms();
      due && link_.can_send() && link_.credit_left() > 0) {
    next = std::min(next, *due);
  }
  return next;
}

bool NodeSession::finished() const {
  return state_ == State::Failed || (state_ == State::Ended && link_.drained());
}

std::vector<Event> NodeSession::take_events() {
  std::vector<Event> out = std::exchange(events_, {});
  for (Event& event : link_.take_events()) out.push_back(std::move(event));
  return out;
}

std::optional<NodeNotes> NodeSession::next_note() {
  if (notes_.empty()) return std::nullopt;
  NodeNotes note = std::move(notes_.front());
  notes_.pop_front();
  return note;
}

}  // namespace nostril
