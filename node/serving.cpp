#include "node/serving.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/log.h"
#include "client/channel_store.h"
#include "events/sampling.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::node {

namespace {

/// How long a client that asked for pick-up has to acknowledge its whole answer.
constexpr std::int64_t kPickupWaitMs = 5'000;
/// How long a finished session waits for a late receipt or a repair.
constexpr std::int64_t kLingerMs = 60'000;
/// The same when nothing is missing: the client may only want the last ack once more.
constexpr std::int64_t kSettledLingerMs = 3'000;

Usage at_least(const Usage& usage, const Usage& floor) {
  return {std::max(usage.input, floor.input), std::max(usage.cached, floor.cached),
          std::max(usage.output, floor.output)};
}

Usage at_most(const Usage& usage, const Usage& ceiling) {
  return {std::min(usage.input, ceiling.input), std::min(usage.cached, ceiling.cached),
          std::min(usage.output, ceiling.output)};
}

std::string random_salt(Rng& rng) {
  std::array<std::uint8_t, 16> bytes{};
  rng.fill(bytes);
  return encode_hex(ByteSpan(bytes));
}

}  // namespace

std::optional<Event> ChannelBook::state(ResponseRecord& record,
                                        const settlement::PriceTable& prices,
                                        const Keypair& identity, Rng& rng) {
  if (auto stated = channel_.statement(record, prices); !stated) {
    log(LogLevel::Warning, "no statement: {}", to_string(stated.error()));
    return std::nullopt;
  }
  const Digest previous_hash = channel_.running_hash();
  record_ = sign_event(build_record(record), identity, rng);
  record.id = record_->id;
  channel_.commit(record, prices);
  unpaid_.push_back({*record_, previous_hash, channel_.running_hash()});
  if (unpaid_.size() > settlement::NodeChannel::kUnpaidStatementsMax) unpaid_.pop_front();
  return record_;
}

settlement::ReceiptVerdict ChannelBook::accept(const VerifiedEvent& event,
                                               const BalanceReceipt& receipt) {
  const settlement::ReceiptVerdict verdict = channel_.accept(event);
  if (verdict != settlement::ReceiptVerdict::Accepted) return verdict;
  const auto found = std::ranges::find(unpaid_, receipt.running_hash, &Unpaid::hash);
  if (found == unpaid_.end()) return verdict;
  paid_ = ChannelResync{std::move(found->record), event.event(), found->previous_hash};
  unpaid_.erase(unpaid_.begin(), found + 1);
  return verdict;
}

client::JournalChange ChannelBook::row() const {
  return client::put_channel({channel_.terms(), channel_.snapshot(), record_, paid_});
}

Serving::Serving(Services& services, EngineQueue& queue, NodeSession session, LiveOffer offer,
                 std::shared_ptr<ChannelBook> book)
    : services_(services),
      queue_(queue),
      session_(std::move(session)),
      offer_(std::move(offer)),
      book_(std::move(book)),
      cache_salt_(random_salt(services.rng)),
      accepted_at_ms_(services.clock.unix_ms()) {}

Serving::~Serving() {
  services_.loop.cancel(timer_);
  if (call_ != Engine::Call::None) services_.engine.cancel(call_);
  leave_queue(false);
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
  end_early(RecordStatus::EngineDied);
  drive();
}

/// Everything that may have changed the machine ends here: events out, notes in, the engine's flow,
/// the next timer.
void Serving::drive() {
  while (auto note = session_.next_note()) handle(std::move(*note));
  for (const Event& event : session_.take_events()) {
    if (!services_.pool.publish(event)) log(LogLevel::Warning, "no relay takes frames any more");
  }
  if (engine_paused_ && held_.empty() && session_.wants_more()) {
    engine_paused_ = false;
    services_.engine.resume(call_);
  }
  see_to_pickup();
  arm_timer();
}

void Serving::arm_timer() {
  services_.loop.cancel(timer_);
  std::int64_t due_ms = session_.next_timer_ms();
  if (for_pickup_ && state_ == State::Done) due_ms = std::min(due_ms, done_at_ms_ + kPickupWaitMs);
  if (receipt_asked_at_ms_) {
    due_ms =
        std::min(due_ms, *receipt_asked_at_ms_ + services_.config.limits.receipt_wait_s * 1000);
  }
  const std::int64_t wait_ms =
      std::clamp<std::int64_t>(due_ms - services_.clock.monotonic_ms(), 1, 60'000);
  timer_ = services_.loop.after(static_cast<std::uint64_t>(wait_ms), [this] {
    const std::int64_t now_ms = services_.clock.monotonic_ms();
    if (receipt_asked_at_ms_ &&
        now_ms >= *receipt_asked_at_ms_ + services_.config.limits.receipt_wait_s * 1000) {
      end_early(RecordStatus::Unpaid);
    }
    session_.on_timer(services_.now());
    drive();
  });
}

void Serving::handle(NodeNotes note) {
  if (auto* request = std::get_if<NodeNote::Request>(&note)) {
    start_request(*request);
  } else if (std::holds_alternative<NodeNote::Cancelled>(note)) {
    if (state_ == State::Receiving) {
      refuse(ErrorCode::BadRequest, "cancelled before the request was complete");
    } else {
      end_early(RecordStatus::Cancelled);
    }
  } else if (std::holds_alternative<NodeNote::ClientLost>(note)) {
    if (!session_.open().durable) end_early(RecordStatus::ClientLost);
  } else if (const auto* receipt = std::get_if<NodeNote::Receipt>(&note)) {
    on_receipt(*receipt);
  } else if (const auto* failed = std::get_if<NodeNote::Failed>(&note)) {
    log(LogLevel::Info, "session ended: {}", to_string(failed->code));
    end_early(RecordStatus::ClientLost);
  }
}

// ---- The request --------------------------------------------------------------------------------

void Serving::start_request(const NodeNote::Request& request) {
  request_hash_ = request.request_hash;
  head_ = {};
  sampling_.clear();
  body_.clear();
  body_whole_ = true;
  stated_ = delivered_ = {};
  held_.clear();
  receipt_asked_at_ms_.reset();
  accepted_at_ms_ = services_.clock.unix_ms();
  started_at_ms_ = first_at_ms_ = 0;
  state_ = State::Receiving;

  if (known_already(request.open)) return;
  if (queue_.closed()) {
    refuse(ErrorCode::Busy, "this node ends; ask another");
    return;
  }
  auto prepared = prepare(request.open);
  if (!prepared) {
    const bool unknown = prepared.error() == RequestError::PathNotAllowed ||
                         prepared.error() == RequestError::UnknownModel;
    refuse(unknown ? ErrorCode::NotFound : ErrorCode::BadRequest,
           std::string(to_string(prepared.error())));
    return;
  }
  sampling_ = prepared->sampling;
  usage_max_ = settlement::usage_max(offer_.offer, as_text(request.open.body));
  const settlement::NodeChannel& channel = book_->channel();
  const Usage one_token{.output = 1};
  if (channel.spent() > channel.accepted() &&
      !channel.may_serve(request.open.request, one_token, 0, offer_.prices)) {
    refuse(ErrorCode::PaymentRequired, "earlier answers of this channel are not paid");
    return;
  }
  enter_queue(*prepared, as_text(request.open.body));
}

void Serving::enter_queue(const EngineRequest& request, std::string_view body) {
  constexpr std::uint64_t kBytesPerToken = 4;
  AdmissionRequest wanted;
  wanted.payer = book_->channel().terms().signer;
  wanted.tokens = body.size() / kBytesPerToken;
  if (request.form != AnswerForm::Whole) wanted.tokens += usage_max_.output;
  wanted.price =
      static_cast<std::uint64_t>(services_.config.terms_of(services_.engine_settings).output_price);
  QueueCallbacks callbacks;
  callbacks.start = [weak = weak_from_this(), request] {
    if (const auto self = weak.lock()) self->ask_engine(request);
  };
  callbacks.pushed_out = [weak = weak_from_this()](std::int64_t retry_after_ms) {
    const auto self = weak.lock();
    if (!self) return;
    self->ticket_.reset();
    self->refuse(ErrorCode::Busy, "the queue is full", retry_after_ms);
    self->drive();
  };
  state_ = State::Waiting;
  const auto ticket = queue_.enter(wanted, std::move(callbacks));
  if (!ticket) {
    refuse(ErrorCode::Busy, "too many requests wait", ticket.error());
    return;
  }
  ticket_ = *ticket;
  if (state_ == State::Waiting) {
    session_.push_progress({ProgressStage::Queued, queue_.admission().ahead_of(*ticket)},
                           services_.now());
  }
}

void Serving::leave_queue(bool served) {
  if (ticket_) queue_.leave(*std::exchange(ticket_, std::nullopt), served);
}

Result<EngineRequest, RequestError> Serving::prepare(const OpenFrame& open) const {
  const NodeConfig::EngineSettings& settings = services_.engine_settings;
  const std::string call_id = random_salt(services_.rng);
  RequestRules rules;
  rules.model = offer_.offer.model;
  rules.engine = offer_.offer.engine;
  rules.output_tokens_max = offer_.offer.output_tokens_max;
  rules.cache_salt = cache_salt_;
  rules.call_id = call_id;
  rules.paths = settings.paths;
  rules.media_hosts = settings.media_hosts;
  rules.seed = draw_seed();
  rules.prompt_cache_shared = settings.prompt_cache_shared;
  return prepare_request(open.path, as_text(open.body), rules);
}

/// For a request that names none; nothing when the offer promises no record of it.
std::optional<std::int64_t> Serving::draw_seed() const {
  if (!records_sampling(offer_.offer)) return std::nullopt;
  std::array<std::uint8_t, 4> drawn{};
  services_.rng.fill(drawn);
  // 31 bits: every engine takes them.
  std::int64_t seed = drawn[0] & 0x7F;
  for (std::size_t i = 1; i < drawn.size(); ++i) seed = (seed << 8) | drawn.at(i);
  return seed;
}

/// The request id was seen before, and here is what came of that. Else it is ours from now on.
bool Serving::known_already(const OpenFrame& open) {
  const FoundAnswer found = services_.answers.find(open.request, open.body);
  if (const auto* answer = std::get_if<StoredAnswer>(&found)) {
    replay(*answer);
    return true;
  }
  switch (std::get<AnswerKept::Why>(found)) {
    case AnswerKept::Why::OtherRequest:
      refuse(ErrorCode::BadRequest, "this request id was used for another request");
      return true;
    case AnswerKept::Why::NotKept:
      refuse(ErrorCode::NotFound, "the answer to this request was charged and is not kept");
      return true;
    case AnswerKept::Why::Unknown:
      break;
  }
  if (!services_.answers.begin(open.request)) {
    refuse(ErrorCode::Busy, "this request is being answered");
    return true;
  }
  running_ = open.request;
  return false;
}

/// The same request id again: the stored answer, the same record, nothing charged.
void Serving::replay(const StoredAnswer& answer) {
  done();
  session_.push_response_head(answer.head);
  session_.push_response_bytes(as_bytes(answer.body), services_.now());
  session_.end(answer.record, services_.now());
}

/// What the disk keeps of an answer besides its record: for the same request again, and for a
/// client that asked for pick-up.
std::vector<client::JournalChange> Serving::answer_rows(const Event& record) {
  const OpenFrame& open = session_.open();
  if (!body_whole_) return services_.answers.put_charged(open.request);
  auto changes = services_.answers.put(open.request, open.body, {head_, record, body_});
  if (!open.durable) return changes;
  const std::int64_t now_s = services_.clock.unix_s();
  const std::int64_t expires_at = now_s + services_.config.limits.answers_kept_s;
  const ByteSpan body = as_bytes(body_);
  auto frames = services_.pickup.rows(
      open.request,
      session_.store({head_, Bytes(body.begin(), body.end()), record}, {now_s, expires_at}),
      expires_at);
  for_pickup_ = !frames.empty();
  std::ranges::move(frames, std::back_inserter(changes));
  return changes;
}

/// A finished answer goes to relays when its client is away, and is forgotten when it has it. One
/// that grows beyond what can be picked up is for nobody.
void Serving::see_to_pickup() {
  const bool lost = session_.client_lost();
  if (state_ == State::Running && engine_paused_ && held_.empty() && lost) {
    end_early(RecordStatus::ClientLost);
  }
  if (!for_pickup_ || state_ != State::Done) return;
  if (session_.finished()) {
    services_.pickup.drop(session_.open().request);
  } else if (lost || services_.clock.monotonic_ms() >= done_at_ms_ + kPickupWaitMs) {
    services_.pickup.publish(session_.open().request);
  } else {
    return;
  }
  for_pickup_ = false;
}

void Serving::ask_engine(const EngineRequest& request) {
  state_ = State::Running;
  started_at_ms_ = services_.clock.monotonic_ms();
  EngineCallbacks callbacks;
  callbacks.on_head = [this](int status, const std::string& content_type) {
    head_ = make_head(static_cast<std::uint16_t>(std::clamp(status, 0, 999)), content_type);
    session_.push_response_head(head_);
  };
  callbacks.on_bytes = [this](std::string_view bytes) { return on_engine_bytes(bytes); };
  callbacks.on_done = [this](const EngineOutcome& outcome) { on_engine_done(outcome); };
  call_ = services_.engine.ask(request, std::move(callbacks));
}

bool Serving::on_engine_bytes(std::string_view piece) {
  held_ = piece;
  pass_held();
  engine_paused_ = !held_.empty() || !session_.wants_more();
  drive();  // may find room again
  return !engine_paused_;
}

/// Lets the held piece go when the credit covers it. Else what was delivered has to be paid first,
/// and then, should the piece alone be worth more than the credit, a part of it at a time.
void Serving::pass_held() {
  if (held_.empty() || receipt_asked_at_ms_) return;
  const Usage wanted = usage_of(services_.engine.peek(call_));
  if (covers(wanted)) {
    if (first_at_ms_ == 0) first_at_ms_ = services_.clock.unix_ms();
    body_whole_ = body_whole_ && body_.size() + held_.size() <= kStoredBodyBytesMax;
    if (body_whole_) body_ += held_;
    session_.push_response_bytes(as_bytes(held_), services_.now());
    delivered_ = wanted;
    held_.clear();
    return;
  }
  if (owes()) {
    ask_for_receipt(at_least(delivered_, stated_));
  } else if (const auto part = instalment(wanted)) {
    ask_for_receipt(*part);
  } else {
    end_early(RecordStatus::Unpaid);
  }
}

void Serving::on_engine_done(const EngineOutcome& outcome) {
  call_ = Engine::Call::None;
  engine_paused_ = false;
  receipt_asked_at_ms_.reset();
  leave_queue(outcome.failure == EngineFailure::None);
  switch (outcome.failure) {
    case EngineFailure::None:
      finish(RecordStatus::Ok, outcome);
      break;
    case EngineFailure::Refused:
      finish(RecordStatus::Error, outcome);  // the engine's own words went to the client
      break;
    case EngineFailure::Unreachable:
      refuse(ErrorCode::EngineRefused, "the engine can't be reached; try again or elsewhere");
      break;
    case EngineFailure::Broken:
    case EngineFailure::TooLarge:
      log(LogLevel::Warning, "{}: {}", to_string(outcome.failure), outcome.detail);
      session_.error({.code = ErrorCode::EngineDied,
                      .retryable = true,
                      .message = "the engine broke off; only what was delivered is charged",
                      .final = false},
                     services_.now());
      finish(RecordStatus::EngineDied, outcome);
      break;
  }
  drive();
}

EngineOutcome Serving::stop_engine() {
  EngineOutcome outcome;
  if (call_ != Engine::Call::None) {
    outcome = services_.engine.cancel(std::exchange(call_, Engine::Call::None));
  }
  engine_paused_ = false;
  held_.clear();
  receipt_asked_at_ms_.reset();
  leave_queue(false);
  return outcome;
}

void Serving::end_early(RecordStatus status) {
  if (state_ != State::Waiting && state_ != State::Running) return;
  const EngineOutcome outcome = stop_engine();
  // What is charged as unpaid was covered and leaves whole.
  if (status != RecordStatus::Unpaid) session_.drop_buffered();
  body_whole_ = false;
  finish(status, outcome);
}

// ---- Money --------------------------------------------------------------------------------------

/// Tokens that the engine counted, or, as long as it has not said so, the pieces it sent: a piece
/// is a token at least. Never less than what an earlier statement named, never more than the payer
/// could accept: what an engine does beyond its limits is not sold.
Usage Serving::usage_of(const EngineOutcome& outcome) const {
  Usage usage;
  if (outcome.usage) {
    usage.input = static_cast<std::uint64_t>(outcome.usage->input);
    usage.cached = static_cast<std::uint64_t>(outcome.usage->cached);
    usage.output = static_cast<std::uint64_t>(outcome.usage->output);
  } else {
    usage.output = static_cast<std::uint64_t>(outcome.output_chunks);
  }
  return at_least(at_most(usage, usage_max_), stated_);
}

std::uint64_t Serving::elapsed_ms() const {
  if (started_at_ms_ == 0) return 0;
  return static_cast<std::uint64_t>(services_.clock.monotonic_ms() - started_at_ms_);
}

/// A receipt can be asked for.
bool Serving::owes() const {
  const auto owed = book_->channel().exposure(
      session_.open().request, at_least(delivered_, stated_), elapsed_ms(), offer_.prices);
  return owed && !owed->is_zero();
}

bool Serving::covers(const Usage& usage) const {
  return book_->channel().may_serve(session_.open().request, usage, elapsed_ms(), offer_.prices);
}

/// The largest part of the way from what was stated to `wanted` that the credit covers; nothing
/// when it does not cover a token.
std::optional<Usage> Serving::instalment(const Usage& wanted) const {
  const std::uint64_t steps =
      std::max({wanted.input - stated_.input, wanted.cached - stated_.cached,
                wanted.output - stated_.output});
  const auto after = [&](std::uint64_t step) {
    const auto part = [&](std::uint64_t from, std::uint64_t to) {
      return from + static_cast<std::uint64_t>(Uint128{to - from} * step / steps);
    };
    return Usage{part(stated_.input, wanted.input), part(stated_.cached, wanted.cached),
                 part(stated_.output, wanted.output)};
  };
  std::uint64_t covered = 0;
  for (std::uint64_t above = steps; covered < above;) {
    const std::uint64_t middle = above - (above - covered) / 2;
    if (covers(after(middle))) {
      covered = middle;
    } else {
      above = middle - 1;
    }
  }
  if (covered == 0) return std::nullopt;
  return after(covered);
}

ResponseRecord Serving::draft_record(RecordStatus status, const Usage& usage) {
  ResponseRecord record;
  record.node = services_.identity.public_key();
  record.created_at = services_.clock.unix_s();
  record.request = session_.open().request;
  record.request_hash = request_hash_;
  record.response_hash = session_.response_hash();
  record.offer = offer_.offer.id;
  record.attestation = offer_.offer.attestation;
  record.model = offer_.offer.model;
  record.weights = offer_.offer.weights;
  record.engine = offer_.offer.engine;
  record.engine_version = offer_.offer.engine_version;
  record.sampling = sampling_;
  record.usage = usage;
  record.milliseconds = elapsed_ms();
  record.status = status;
  record.accepted_at_ms = accepted_at_ms_;
  record.first_at_ms = first_at_ms_;
  record.ended_at_ms = services_.clock.unix_ms();
  return record;
}

void Serving::ask_for_receipt(const Usage& usage) {
  ResponseRecord record = draft_record(RecordStatus::Partial, usage);
  receipt_asked_at_ms_ = services_.clock.monotonic_ms();  // the engine waits in any case
  const auto event = book_->state(record, offer_.prices, services_.identity, services_.rng);
  if (!event) return;
  stated_ = record.usage;
  // Should the node end now, the same request again must not be charged anew.
  auto changes = services_.answers.put_charged(record.request);
  changes.push_back(client::put_record(record, *event));
  changes.push_back(book_->row());
  const bool queued = services_.journal.commit(
      std::move(changes), [weak = weak_from_this(), book = book_, event = *event](bool on_disk) {
        const auto self = weak.lock();
        if (!self || !on_disk) return;
        self->session_.need_receipt(event, self->services_.now());
        self->drive();
      });
  if (!queued) log(LogLevel::Error, "the journal is full; a receipt can't be asked for");
}

void Serving::on_receipt(const NodeNote::Receipt& note) {
  const settlement::ReceiptVerdict verdict = book_->accept(note.event, note.receipt);
  if (verdict == settlement::ReceiptVerdict::Repeated) {
    // Another session of the channel may have brought a newer one, which pays this one's too.
    if (!receipt_asked_at_ms_) return;
    if (!owes() || covers(usage_of(services_.engine.peek(call_)))) {
      receipt_asked_at_ms_.reset();
      pass_held();
    }
    return;
  }
  if (verdict != settlement::ReceiptVerdict::Accepted) {
    log(LogLevel::Warning, "receipt refused: {}", to_string(verdict));
    return;
  }
  // Only what is on the disk lets the answer go on.
  const bool queued = services_.journal.commit(
      {client::put_receipt(note.receipt, note.event.event()), book_->row()},
      // The book lives till its row is on the disk: the next session of its channel reads it there.
      [weak = weak_from_this(), book = book_](bool on_disk) {
        const auto self = weak.lock();
        if (!self || !on_disk) return;
        self->receipt_asked_at_ms_.reset();
        self->pass_held();
        self->drive();
      });
  if (!queued) log(LogLevel::Error, "the journal is full; a receipt was not stored");
}

void Serving::finish(RecordStatus status, const EngineOutcome& outcome) {
  ResponseRecord record = draft_record(status, at_least(delivered_, stated_));
  record.finish = outcome.finish_reason;
  const auto event = book_->state(record, offer_.prices, services_.identity, services_.rng);
  if (!event) {
    refuse(ErrorCode::PaymentRequired, "too many unpaid statements");
    return;
  }
  state_ = State::Committing;
  auto changes = answer_rows(*event);
  changes.push_back(client::put_record(record, *event));
  changes.push_back(book_->row());
  const bool queued = services_.journal.commit(
      std::move(changes), [weak = weak_from_this(), book = book_, event = *event](bool on_disk) {
        const auto self = weak.lock();
        if (!self) return;
        if (on_disk) {
          self->done();
          self->session_.end(event, self->services_.now());
        } else {
          self->refuse(ErrorCode::Internal, "the record could not be stored");
        }
        self->drive();
      });
  if (!queued) refuse(ErrorCode::Internal, "the journal is full");
}

void Serving::done() {
  state_ = State::Done;
  done_at_ms_ = services_.clock.monotonic_ms();
  if (running_) services_.answers.end(*std::exchange(running_, std::nullopt));
}

/// Ends the request without a record: nothing was served, nothing is charged.
void Serving::refuse(ErrorCode code, std::string message, std::int64_t retry_after_ms) {
  done();
  const ErrorCodeInfo info = error_code_info(code);
  session_.error({.code = code,
                  .retryable = info.retryable,
                  .retry_after_ms = static_cast<std::uint64_t>(retry_after_ms),
                  .message = std::move(message)},
                 services_.now());
}

bool Serving::settled() const {
  return state_ == State::Done && session_.finished() &&
         book_->channel().accepted() >= book_->channel().spent();
}

bool Serving::removable() const {
  if (state_ == State::Waiting || state_ == State::Running || state_ == State::Committing) {
    return false;
  }
  const std::int64_t now_ms = services_.clock.monotonic_ms();
  if (state_ == State::Receiving) return now_ms - session_.heard_at_ms() > kLingerMs;
  // A session may go on with a next request, so it stays as long as the client is heard.
  const std::int64_t quiet_ms = now_ms - std::max(done_at_ms_, session_.heard_at_ms());
  return quiet_ms > (settled() ? kSettledLingerMs : kLingerMs);
}

}  // namespace nostril::node
