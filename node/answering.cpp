#include "node/answering.h"

#include "base/check.h"
#include "base/hex.h"
#include "base/log.h"
#include "client/channel_store.h"
#include "events/sampling.h"
#include "schnorr/hash.h"
#include "settlement/usage_limit.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace nostril::node {

namespace {

/// How long an answer waits for a deposit; a client hears nothing meanwhile, and bears 30 s of
/// that.
constexpr std::int64_t kDepositWaitMs = 20'000;
constexpr std::int64_t kLookMs = 250;

Usage at_least(const Usage& usage, const Usage& floor) {
  return {std::max(usage.input, floor.input), std::max(usage.cached, floor.cached),
          std::max(usage.output, floor.output)};
}

Usage at_most(const Usage& usage, const Usage& ceiling) {
  return {std::min(usage.input, ceiling.input), std::min(usage.cached, ceiling.cached),
          std::min(usage.output, ceiling.output)};
}

std::string random_call_id(Rng& rng) {
  std::array<std::uint8_t, 16> bytes{};
  rng.fill(bytes);
  return encode_hex(ByteSpan(bytes));
}

}  // namespace

Answering::Answering(Services& services, EngineQueue& queue, LiveOffer offer,
                     std::shared_ptr<ChannelBook> book)
    : services_(services), queue_(queue), offer_(std::move(offer)), book_(std::move(book)) {}

Answering::~Answering() {
  if (call_ != Engine::Call::None) services_.engine.cancel(call_);
  leave_queue(false);
}

std::optional<Answering::Held> Answering::hold(const std::weak_ptr<Answering>& weak) {
  auto self = weak.lock();
  auto peer = self ? self->weak_peer_.lock() : nullptr;
  if (!peer) return std::nullopt;
  return Held{std::move(self), std::move(peer)};
}

// ---- The request --------------------------------------------------------------------------------

void Answering::start(const std::weak_ptr<AnswerPeer>& peer, const AnswerRequest& request) {
  weak_peer_ = peer;
  peer_ = peer.lock().get();
  CHECK(peer_ != nullptr);
  id_ = request.id;
  request_hash_ = request.hash;
  accepted_at_ms_ = services_.clock.unix_ms();
  if (queue_.closed()) return refuse(ErrorCode::Busy, "this node ends; ask another");
  auto prepared = prepare(request);
  if (!prepared) {
    const bool unknown = prepared.error() == RequestError::PathNotAllowed ||
                         prepared.error() == RequestError::UnknownModel;
    return refuse(unknown ? ErrorCode::NotFound : ErrorCode::BadRequest,
                  std::string(to_string(prepared.error())));
  }
  sampling_ = prepared->sampling;
  forwarded_hash_ = sha256(prepared->body);
  usage_max_ = settlement::usage_max(offer_.offer, request.body);
  const AdmissionRequest wanted = admission_of(*prepared, request);
  come_in({*std::move(prepared), wanted});
}

AdmissionRequest Answering::admission_of(const EngineRequest& request,
                                         const AnswerRequest& asked) const {
  constexpr std::uint64_t kBytesPerToken = 4;
  AdmissionRequest wanted;
  wanted.payer = asked.line;
  wanted.tokens = asked.body.size() / kBytesPerToken;
  const bool writes = request.form != AnswerForm::Whole && request.form != AnswerForm::Transcript;
  if (writes) wanted.tokens += usage_max_.output;
  wanted.price =
      static_cast<std::uint64_t>(services_.config.terms_of(services_.engine_settings).output_price);
  return wanted;
}

void Answering::come_in(Entry entry) {
  const settlement::NodeChannel& channel = book_->channel();
  const Usage one_token{.output = 1};
  if (channel.spent() > channel.accepted() &&
      !channel.may_serve(id_, one_token, 0, offer_.prices)) {
    return wait_for_receipts(std::move(entry));
  }
  const auto& backing = channel.backing();
  if (backing && channel.spent() >= *backing) {
    return refuse(
        ErrorCode::PaymentRequired,
        "nothing is left of what backs the channel, or it is closing, or was paid for too "
        "short a time ago");
  }
  enter_queue(std::move(entry));
}

/// Many answers of one payer owe a whole credit between them for moments, while their receipts are
/// on their way: who comes then waits for these, as long as any answer would.
void Answering::wait_for_receipts(Entry entry) {
  const auto since_ms = book_->owing_since_ms();
  const std::int64_t until_ms =
      since_ms.value_or(0) + services_.config.limits.receipt_wait_s * 1000;
  if (!since_ms || !peer_->receipts_may_come() || services_.clock.monotonic_ms() >= until_ms) {
    return refuse(ErrorCode::PaymentRequired, "earlier answers of this channel are not paid");
  }
  entry_ = std::move(entry);
  entry_until_ms_ = until_ms;
  book_->when_paid([weak = weak_from_this()] {
    const auto held = hold(weak);
    if (!held) return;
    held->self->on_channel_paid();
    held->peer->on_changed();
  });
}

void Answering::on_channel_paid() {
  if (!entry_) return;
  Entry entry = *std::move(entry_);
  entry_.reset();
  come_in(std::move(entry));
}

void Answering::enter_queue(Entry entry) {
  QueueCallbacks callbacks;
  callbacks.start = [weak = weak_from_this(), request = std::move(entry.request)] {
    if (const auto held = hold(weak)) held->self->ask_engine(request);
  };
  callbacks.pushed_out = [weak = weak_from_this()](std::int64_t retry_after_ms) {
    const auto held = hold(weak);
    if (!held) return;
    held->self->ticket_.reset();
    held->self->refuse(ErrorCode::Busy, "the queue is full", retry_after_ms);
    held->peer->on_changed();
  };
  const auto ticket = queue_.enter(entry.wanted, std::move(callbacks));
  if (!ticket) return refuse(ErrorCode::Busy, "too many requests wait", ticket.error());
  ticket_ = *ticket;
  if (state_ == State::Waiting) peer_->on_queued(queue_.admission().ahead_of(*ticket));
}

void Answering::leave_queue(bool served, std::uint64_t tokens) {
  if (ticket_) queue_.leave(*std::exchange(ticket_, std::nullopt), served, tokens);
}

Result<EngineRequest, RequestError> Answering::prepare(const AnswerRequest& request) const {
  const NodeConfig::EngineSettings& settings = services_.engine_settings;
  const std::string call_id = random_call_id(services_.rng);
  RequestRules rules;
  rules.model = offer_.offer.model;
  rules.engine = offer_.offer.engine;
  rules.output_tokens_max = offer_.offer.output_tokens_max;
  rules.cache_salt = request.cache_salt;
  rules.call_id = call_id;
  rules.paths = settings.paths;
  rules.media_hosts = settings.media_hosts;
  rules.seed = draw_seed();
  rules.prompt_cache_shared = settings.prompt_cache_shared;
  return prepare_request(request.path, request.body, rules);
}

/// For a request that names none; nothing when the offer promises no record of it.
std::optional<std::int64_t> Answering::draw_seed() const {
  if (!records_sampling(offer_.offer)) return std::nullopt;
  std::array<std::uint8_t, 4> drawn{};
  services_.rng.fill(drawn);
  // 31 bits: every engine takes them.
  std::int64_t seed = drawn[0] & 0x7F;
  for (std::size_t i = 1; i < drawn.size(); ++i) seed = (seed << 8) | drawn.at(i);
  return seed;
}

void Answering::ask_engine(const EngineRequest& request) {
  state_ = State::Running;
  started_at_ms_ = services_.clock.monotonic_ms();
  EngineCallbacks callbacks;
  callbacks.on_head = [weak = weak_from_this()](int status, const std::string& content_type) {
    if (const auto held = hold(weak)) {
      held->peer->on_head(
          make_head(static_cast<std::uint16_t>(std::clamp(status, 0, 999)), content_type));
    }
  };
  callbacks.on_bytes = [weak = weak_from_this()](std::string_view bytes) {
    const auto held = hold(weak);
    return held && held->self->on_engine_bytes(bytes);
  };
  callbacks.on_done = [weak = weak_from_this()](const EngineOutcome& outcome) {
    const auto held = hold(weak);
    if (!held) return;
    held->self->on_engine_done(outcome);
    held->peer->on_changed();
  };
  call_ = services_.engine.ask(request, std::move(callbacks));
}

bool Answering::on_engine_bytes(std::string_view piece) {
  held_ = piece;
  pass_held();
  engine_paused_ = !held_.empty() || !peer_->wants_more();
  peer_->on_changed();  // may find room again
  return !engine_paused_;
}

void Answering::pump() {
  if (!engine_paused_ || !held_.empty() || !peer_->wants_more()) return;
  engine_paused_ = false;
  services_.engine.resume(call_);
}

void Answering::rest(bool resting) {
  if (call_ == Engine::Call::None || resting == resting_) return;
  resting_ = resting;
  services_.engine.rest(call_, resting);
}

/// Lets the held piece go when the credit covers it. Else what was delivered has to be paid first,
/// and then, should the piece alone be worth more than the credit, a part of it at a time.
void Answering::pass_held() {
  if (held_.empty() || receipt_asked_at_ms_) return;
  const Usage wanted = usage_of(services_.engine.peek(call_));
  if (covers(wanted)) {
    deposit_wanted_at_ms_.reset();
    if (first_at_ms_ == 0) first_at_ms_ = services_.clock.unix_ms();
    peer_->on_bytes(std::exchange(held_, {}));
    delivered_ = wanted;
    return;
  }
  if (owes()) {
    ask_for_receipt(at_least(delivered_, stated_));
  } else if (const auto part = instalment(wanted)) {
    ask_for_receipt(*part);
  } else if (may_get_a_deposit()) {
    deposit_wanted_at_ms_ = deposit_wanted_at_ms_.value_or(services_.clock.monotonic_ms());
    look_at_ms_ = services_.clock.monotonic_ms() + kLookMs;
  } else {
    end_early(RecordStatus::Unpaid);
  }
}

/// All is receipted, and the channel is at its bound, where one that is paid after the fact is to
/// be paid: its payer has been told by his own receipts, and may be about to.
bool Answering::may_get_a_deposit() const {
  const std::int64_t now = services_.clock.monotonic_ms();
  return services_.config.lightning.step > 0 && book_->channel().terms().lightning &&
         now - deposit_wanted_at_ms_.value_or(now) < kDepositWaitMs;
}

void Answering::on_engine_done(const EngineOutcome& outcome) {
  call_ = Engine::Call::None;
  engine_paused_ = false;
  receipt_asked_at_ms_.reset();
  deposit_wanted_at_ms_.reset();
  const Usage used = usage_of(outcome);
  leave_queue(outcome.failure == EngineFailure::None, used.input + used.output);
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
      log(LogLevel::Warning, "{}: {}", outcome.failure, public_text(outcome.detail));
      peer_->on_broken();
      finish(RecordStatus::EngineDied, outcome);
      break;
  }
}

EngineOutcome Answering::stop_engine() {
  EngineOutcome outcome;
  if (call_ != Engine::Call::None) {
    outcome = services_.engine.cancel(std::exchange(call_, Engine::Call::None));
  }
  engine_paused_ = false;
  held_.clear();
  entry_.reset();
  receipt_asked_at_ms_.reset();
  deposit_wanted_at_ms_.reset();
  leave_queue(false);
  return outcome;
}

void Answering::end_early(RecordStatus status) {
  if (state_ != State::Waiting && state_ != State::Running) return;
  const EngineOutcome outcome = stop_engine();
  // What is charged as unpaid was covered and leaves whole.
  if (status != RecordStatus::Unpaid) peer_->drop_unsent();
  finish(status, outcome);
}

std::int64_t Answering::next_timer_ms() const {
  if (entry_) return entry_until_ms_;
  if (deposit_wanted_at_ms_ && !receipt_asked_at_ms_) return look_at_ms_;
  if (!receipt_asked_at_ms_) return std::numeric_limits<std::int64_t>::max();
  return *receipt_asked_at_ms_ + services_.config.limits.receipt_wait_s * 1000;
}

void Answering::on_timer() {
  if (services_.clock.monotonic_ms() < next_timer_ms()) return;
  if (entry_) {
    on_channel_paid();  // or not: it is refused then
  } else if (receipt_asked_at_ms_) {
    end_early(RecordStatus::Unpaid);
  } else {
    pass_held();
  }
}

// ---- Money --------------------------------------------------------------------------------------

/// Tokens that the engine counted, or, as long as it has not said so, the pieces it sent: a piece
/// is a token at least. Never less than what an earlier statement named, never more than the payer
/// could accept: what an engine does beyond its limits is not sold.
Usage Answering::usage_of(const EngineCount& count) const {
  Usage usage;
  if (count.usage) {
    usage.input = static_cast<std::uint64_t>(count.usage->input);
    usage.cached = static_cast<std::uint64_t>(count.usage->cached);
    usage.output = static_cast<std::uint64_t>(count.usage->output);
  } else {
    usage.output = static_cast<std::uint64_t>(count.output_chunks);
  }
  return at_least(at_most(usage, usage_max_), stated_);
}

std::uint64_t Answering::elapsed_ms() const {
  if (started_at_ms_ == 0) return 0;
  return static_cast<std::uint64_t>(services_.clock.monotonic_ms() - started_at_ms_);
}

/// A receipt can be asked for.
bool Answering::owes() const {
  const auto owed =
      book_->channel().exposure(id_, at_least(delivered_, stated_), elapsed_ms(), offer_.prices);
  return owed && !owed->is_zero();
}

bool Answering::covers(const Usage& usage) const {
  return book_->channel().may_serve(id_, usage, elapsed_ms(), offer_.prices);
}

/// The largest part of the way from what was stated to `wanted` that the credit covers; nothing
/// when it does not cover a token.
std::optional<Usage> Answering::instalment(const Usage& wanted) const {
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

ResponseRecord begin_record(const Services& services, const Offer& offer) {
  ResponseRecord record;
  record.node = services.identity.public_key();
  record.created_at = services.clock.unix_s();
  record.offer = offer.id;
  record.attestation = offer.attestation;
  record.model = offer.model;
  record.weights = offer.weights;
  record.engine = offer.engine;
  record.engine_version = offer.engine_version;
  return record;
}

ResponseRecord Answering::draft_record(RecordStatus status, const Usage& usage) const {
  ResponseRecord record = begin_record(services_, offer_.offer);
  record.request = id_;
  record.request_hash = request_hash_;
  record.response_hash = peer_->response_hash();
  record.sampling = sampling_;
  record.usage = usage;
  record.milliseconds = elapsed_ms();
  record.status = status;
  record.accepted_at_ms = accepted_at_ms_;
  record.first_at_ms = first_at_ms_;
  record.ended_at_ms = services_.clock.unix_ms();
  return record;
}

void Answering::ask_for_receipt(const Usage& usage) {
  ResponseRecord record = draft_record(RecordStatus::Partial, usage);
  receipt_asked_at_ms_ = services_.clock.monotonic_ms();  // the engine waits in any case
  const auto event = book_->state(record, offer_.prices, services_.identity, services_.rng,
                                  services_.clock.monotonic_ms());
  if (!event) return;
  services_.metrics.count(record);
  stated_ = record.usage;
  asked_spent_ = record.spent;
  std::vector<client::JournalChange> changes = {client::put_record(record, *event), book_->row()};
  peer_->add_partial_changes(record, changes);
  const bool queued = services_.journal.commit(
      std::move(changes), [weak = weak_from_this(), book = book_, event = *event](bool on_disk) {
        const auto held = hold(weak);
        if (!held || !on_disk) return;
        held->peer->on_receipt_needed(event);
        held->peer->on_changed();
      });
  if (!queued) log(LogLevel::Error, "the journal is full; a receipt can't be asked for");
}

void Answering::on_paid() {
  receipt_asked_at_ms_.reset();
  pass_held();
}

void Answering::on_paid_before() {
  if (!receipt_asked_at_ms_) return;
  // Else others have used the credit up by now, and this one would be told of no receipt any more.
  const bool paid = book_->channel().accepted() >= asked_spent_;
  if (paid || covers(usage_of(services_.engine.peek(call_)))) on_paid();
}

void Answering::finish(RecordStatus status, const EngineOutcome& outcome) {
  peer_->on_ending(status, outcome);
  ResponseRecord record = draft_record(status, at_least(delivered_, stated_));
  record.finish = outcome.finish_reason;
  const auto event = book_->state(record, offer_.prices, services_.identity, services_.rng,
                                  services_.clock.monotonic_ms());
  if (!event) return refuse(ErrorCode::PaymentRequired, "too many unpaid statements");
  services_.metrics.count(record);
  state_ = State::Committing;
  std::vector<client::JournalChange> changes = {client::put_record(record, *event), book_->row()};
  peer_->add_changes(record, *event, changes);
  const bool queued = services_.journal.commit(
      std::move(changes),
      [weak = weak_from_this(), book = book_, record, event = *event](bool on_disk) {
        const auto held = hold(weak);
        if (!held) return;
        if (on_disk) {
          held->self->state_ = State::Done;
          held->peer->on_end(record, event);
        } else {
          held->self->refuse(ErrorCode::Internal, "the record could not be stored");
        }
        held->peer->on_changed();
      });
  if (!queued) refuse(ErrorCode::Internal, "the journal is full");
}

/// Ends the request without a record: nothing was served, nothing is charged.
void Answering::refuse(ErrorCode code, std::string message, std::int64_t retry_after_ms) {
  state_ = State::Done;
  services_.metrics.count(code);
  peer_->on_refused({code, std::move(message), retry_after_ms});
}

}  // namespace nostril::node
