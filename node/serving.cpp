#include "node/serving.h"

#include "base/hex.h"
#include "base/log.h"
#include "client/channel_store.h"
#include "events/features.h"
#include "node/lightning_desk.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace nostril::node {

namespace {

/// How long a client that asked for pick-up has to acknowledge its whole answer.
constexpr std::int64_t kPickupWaitMs = 5'000;
/// With more frames on their way to the relays than this, engines wait: their bytes then leave in
/// fewer, larger frames, and all streams go on more slowly instead of some breaking.
constexpr std::size_t kFramesUnderWayMax = 512;
/// How long they wait before it is looked at again.
constexpr std::int64_t kCongestedMs = 100;
/// How long a finished session waits for a late receipt or a repair.
constexpr std::int64_t kLingerMs = 60'000;
/// The same when nothing is missing: the client may only want the last ack once more.
constexpr std::int64_t kSettledLingerMs = 3'000;

std::string random_salt(Rng& rng) {
  std::array<std::uint8_t, 16> bytes{};
  rng.fill(bytes);
  return encode_hex(ByteSpan(bytes));
}

}  // namespace

Serving::Serving(Services& services, EngineQueue& queue, NodeSession session, LiveOffer offer,
                 std::shared_ptr<ChannelBook> book)
    : services_(services),
      queue_(queue),
      session_(std::move(session)),
      offer_(std::move(offer)),
      book_(std::move(book)),
      cache_salt_(random_salt(services.rng)) {}

Serving::~Serving() {
  services_.loop.cancel(timer_);
  if (running_) services_.answers.end(*running_);
}

void Serving::on_event(const Event& event) {
  session_.on_event(event, services_.now());
  drive();
}

void Serving::on_open_again() {
  session_.on_open_again(services_.now());
  drive();
}

void Serving::stop() {
  if (answering_) answering_->end_early(RecordStatus::EngineDied);
  drive();
}

/// Everything that may have changed the machine ends here: events out, notes in, the engine's flow,
/// the next timer.
void Serving::drive() {
  while (auto note = session_.next_note()) handle(std::move(*note));
  for (const Event& event : session_.take_events()) {
    if (!services_.pool.publish(event) && !std::exchange(told_of_loss_, true)) {
      log(LogLevel::Warning, "no relay takes frames any more; they are repaired later");
    }
  }
  if (answering_) {
    answering_->pump();
    answering_->rest(session_.next_data_ms() > services_.clock.monotonic_ms());
  }
  see_to_pickup();
  arm_timer();
}

void Serving::stir() {
  if (std::exchange(stirred_, true)) return;
  services_.turn_end.add([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->stirred_ = false;
    self->session_.flush(self->services_.now());
    self->drive();
  });
}

bool Serving::is_congested() const {
  return services_.pool.unanswered() >= kFramesUnderWayMax;
}

void Serving::arm_timer() {
  std::int64_t due_ms = session_.next_timer_ms();
  const std::int64_t now_ms = services_.clock.monotonic_ms();
  if (answering_ && session_.next_data_ms() > now_ms) {
    due_ms = std::min(due_ms, session_.next_data_ms());  // the engine's rest ends
  }
  if (answering_) due_ms = std::min(due_ms, answering_->next_timer_ms());
  if (answering_ && is_congested()) due_ms = std::min(due_ms, now_ms + kCongestedMs);
  if (for_pickup_ && done_) due_ms = std::min(due_ms, done_at_ms_ + kPickupWaitMs);
  // One that comes too early finds nothing to do and waits on: most are moved before they are due.
  if (timer_ != net::TimerId::None && timer_due_ms_ <= due_ms) return;
  services_.loop.cancel(timer_);
  const std::int64_t wait_ms = std::clamp<std::int64_t>(due_ms - now_ms, 1, 60'000);
  timer_due_ms_ = now_ms + wait_ms;
  timer_ = services_.loop.after(static_cast<std::uint64_t>(wait_ms), [this] {
    timer_ = net::TimerId::None;
    if (answering_) answering_->on_timer();
    session_.on_timer(services_.now());
    drive();
  });
}

void Serving::handle(NodeNotes note) {
  if (auto* request = std::get_if<NodeNote::Request>(&note)) {
    start_request(*request);
  } else if (std::holds_alternative<NodeNote::Cancelled>(note)) {
    if (answering_) {
      answering_->end_early(RecordStatus::Cancelled);
    } else if (!done_) {
      on_refused({ErrorCode::BadRequest, "cancelled before the request was complete"});
    }
  } else if (std::holds_alternative<NodeNote::ClientLost>(note)) {
    if (answering_ && !session_.open().durable) answering_->end_early(RecordStatus::ClientLost);
  } else if (const auto* receipt = std::get_if<NodeNote::Receipt>(&note)) {
    on_receipt(*receipt);
  } else if (const auto* failed = std::get_if<NodeNote::Failed>(&note)) {
    log(LogLevel::Info, "session ended: {}", failed->code);
    if (answering_) answering_->end_early(RecordStatus::ClientLost);
  }
}

// ---- The request --------------------------------------------------------------------------------

void Serving::start_request(const NodeNote::Request& request) {
  head_ = {};
  body_.clear();
  body_whole_ = true;
  done_ = false;
  answering_.reset();
  for_pickup_ = false;
  if (desk_ != nullptr) return start_at_desk(request);
  if (known_already(request.open)) return;
  AnswerRequest asked;
  asked.id = request.open.request;
  asked.path = request.open.path;
  asked.body = as_text(request.open.body);
  asked.hash = request.request_hash;
  asked.line = book_->channel().terms().signer;
  asked.cache_salt = cache_salt_;
  answering_ = std::make_shared<Answering>(services_, queue_, offer_, book_);
  answering_->start(weak_from_this(), asked);
}

/// The desk knows its wishes again, so nothing is kept of them here.
void Serving::start_at_desk(const NodeNote::Request& request) {
  if (request.open.path != settlement::lightning::kDeskPath) {
    return on_refused({ErrorCode::NotFound, "this session is the Lightning desk's"});
  }
  ResponseRecord draft;
  draft.request = request.open.request;
  draft.request_hash = request.request_hash;
  draft.accepted_at_ms = services_.clock.unix_ms();
  desk_->handle(as_text(request.open.body),
                [weak = weak_from_this(), draft](const Result<std::string, AnswerRefusal>& answer) {
                  const auto self = weak.lock();
                  if (!self || self->done_) return;
                  if (answer) {
                    self->end_at_desk(draft, *answer);
                  } else {
                    self->on_refused(answer.error());
                  }
                  self->stir();
                });
}

void Serving::end_at_desk(const ResponseRecord& draft, const std::string& answer) {
  session_.push_response_head(make_head(200, "application/json"));
  session_.push_response_bytes(as_bytes(answer), services_.now());
  ResponseRecord record = begin_record(services_, offer_.offer);
  record.request = draft.request;
  record.request_hash = draft.request_hash;
  record.accepted_at_ms = draft.accepted_at_ms;
  record.response_hash = session_.response_hash();
  record.status = RecordStatus::Ok;
  record.first_at_ms = services_.clock.unix_ms();
  record.ended_at_ms = record.first_at_ms;
  const auto event = book_->state(record, offer_.prices, services_.identity, services_.rng,
                                  services_.clock.monotonic_ms());
  if (!event) return on_refused({ErrorCode::Internal, "too many requests in one session"});
  set_done();
  session_.end(*event, services_.now());
}

/// The request id was seen before, and here is what came of that; or it is long ago that it was.
/// Else it is ours from now on.
bool Serving::known_already(const OpenFrame& open) {
  const FoundAnswer found = services_.answers.find(open.request, open.body);
  if (const auto* answer = std::get_if<StoredAnswer>(&found)) {
    replay(*answer);
    return true;
  }
  switch (std::get<AnswerKept::Why>(found)) {
    case AnswerKept::Why::OtherRequest:
      on_refused({ErrorCode::BadRequest, "this request id was used for another request"});
      return true;
    case AnswerKept::Why::NotKept:
      on_refused({ErrorCode::NotFound, "the answer to this request was charged and is not kept"});
      return true;
    case AnswerKept::Why::Unknown:
      break;
  }
  if (!services_.answers.begin(open.request)) {
    on_refused({ErrorCode::Busy, "this request is being answered"});
    return true;
  }
  running_ = open.request;
  if (!read_features(open.features).again) return false;
  on_refused({ErrorCode::NotFound, "this request is not known here, or not any more"});
  return true;
}

/// The same request id again: the stored answer, the same record, nothing charged.
void Serving::replay(const StoredAnswer& answer) {
  set_done();
  session_.push_response_head(answer.head);
  session_.push_response_bytes(as_bytes(answer.body), services_.now());
  session_.end(answer.record, services_.now());
}

/// A finished answer goes to relays when its client is away, and is forgotten when it has it. One
/// that grows beyond what can be picked up is for nobody.
void Serving::see_to_pickup() {
  const bool lost = session_.client_lost();
  if (!done_ && answering_ && lost && !session_.wants_more()) {
    answering_->end_early(RecordStatus::ClientLost);
  }
  if (!for_pickup_ || !done_) return;
  if (session_.finished()) {
    services_.pickup.drop(session_.open().request);
  } else if (lost || services_.clock.monotonic_ms() >= done_at_ms_ + kPickupWaitMs) {
    services_.pickup.publish(session_.open().request);
  } else {
    return;
  }
  for_pickup_ = false;
}

void Serving::on_receipt(const NodeNote::Receipt& note) {
  const settlement::ReceiptVerdict verdict = book_->accept(note.receipt);
  services_.metrics.count(verdict);
  if (verdict == settlement::ReceiptVerdict::Repeated) {
    if (answering_) answering_->on_paid_before();
    return;
  }
  if (verdict != settlement::ReceiptVerdict::Accepted) {
    log(LogLevel::Warning, "receipt refused: {}", verdict);
    return;
  }
  // Only what is on the disk lets the answer go on.
  const bool queued = services_.journal.commit(
      {client::put_receipt(*note.receipt, note.receipt.event()), book_->row()},
      // The book lives till its row is on the disk: the next session of its channel reads it there.
      [weak = weak_from_this(), book = book_](bool on_disk) {
        if (!on_disk) return;
        if (const auto self = weak.lock()) {
          if (self->answering_) self->answering_->on_paid();
          self->stir();
        }
        book->tell_paid();
      });
  if (!queued) log(LogLevel::Error, "the journal is full; a receipt was not stored");
}

void Serving::on_queued(std::size_t ahead) {
  session_.push_progress({ProgressStage::Queued, ahead}, services_.now());
}

void Serving::on_head(const ResponseHead& head) {
  head_ = head;
  session_.push_response_head(head);
}

void Serving::on_bytes(std::string_view bytes) {
  body_whole_ = body_whole_ && body_.size() + bytes.size() <= kStoredBodyBytesMax;
  if (body_whole_) {
    body_ += bytes;
  } else {
    std::string().swap(body_);  // its memory, too
  }
  session_.push_response_bytes(as_bytes(bytes), services_.now());
}

void Serving::drop_unsent() {
  session_.drop_buffered();
  body_whole_ = false;
}

void Serving::on_receipt_needed(const Event& record) {
  session_.need_receipt(record, services_.now());
}

void Serving::on_broken() {
  session_.error({.code = ErrorCode::EngineDied,
                  .retryable = true,
                  .message = "the engine broke off; only what was delivered is charged",
                  .final = false},
                 services_.now());
}

void Serving::add_changes(const ResponseRecord& record, const Event& event,
                          std::vector<client::JournalChange>& changes) {
  const OpenFrame& open = session_.open();
  const auto add = [&changes](std::vector<client::JournalChange> more) {
    std::ranges::move(more, std::back_inserter(changes));
  };
  if (!body_whole_ || record.status == RecordStatus::Unpaid) {
    return add(services_.answers.put_charged(open.request));
  }
  add(services_.answers.put(open.request, open.body, {head_, event, body_}));
  if (!open.durable) return;
  const std::int64_t now_s = services_.clock.unix_s();
  const std::int64_t expires_at = now_s + services_.config.limits.answers_kept_s;
  const ByteSpan body = as_bytes(body_);
  auto frames = services_.pickup.rows(
      open.request,
      session_.store({head_, Bytes(body.begin(), body.end()), event}, {now_s, expires_at}),
      expires_at);
  for_pickup_ = !frames.empty();
  add(std::move(frames));
}

/// Should the node end now, the same request again must not be charged anew.
void Serving::add_partial_changes(const ResponseRecord& record,
                                  std::vector<client::JournalChange>& changes) {
  for (auto& change : services_.answers.put_charged(record.request)) {
    changes.push_back(std::move(change));
  }
}

void Serving::on_end(const ResponseRecord& /*record*/, const Event& event) {
  if (for_pickup_) log(LogLevel::Debug, "an answer is kept for pick-up");
  std::string().swap(body_);  // the journal has it
  set_done();
  session_.end(event, services_.now());
}

void Serving::on_refused(const AnswerRefusal& refusal) {
  set_done();
  session_.error({.code = refusal.code,
                  .retryable = error_code_info(refusal.code).retryable,
                  .retry_after_ms = static_cast<std::uint64_t>(refusal.retry_after_ms),
                  .message = refusal.message},
                 services_.now());
}

void Serving::set_done() {
  done_ = true;
  done_at_ms_ = services_.clock.monotonic_ms();
  if (running_) services_.answers.end(*std::exchange(running_, std::nullopt));
}

bool Serving::settled() const {
  return done_ && session_.finished() && book_->channel().accepted() >= book_->channel().spent();
}

bool Serving::removable() const {
  if (!done_ && answering_) return false;
  const std::int64_t now_ms = services_.clock.monotonic_ms();
  if (!done_) return now_ms - session_.heard_at_ms() > kLingerMs;
  // A session may go on with a next request, so it stays as long as the client is heard.
  const std::int64_t quiet_ms = now_ms - std::max(done_at_ms_, session_.heard_at_ms());
  return quiet_ms > (settled() ? kSettledLingerMs : kLingerMs);
}

}  // namespace nostril::node
