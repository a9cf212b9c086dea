#include "relay/sync/mirror_stream.h"

#include "base/log.h"
#include "events/kinds.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace nostril::relay {

namespace {

constexpr std::string_view kLive = "live";
constexpr std::int64_t kReconnectMsFirst = 1'000;
constexpr std::int64_t kReconnectMsMax = 60'000;
constexpr std::int64_t kSyncPauseMsMin = 60'000;  // after a connection was lost
constexpr std::int64_t kOverlapS = 60;            // asked for again: clocks differ
constexpr std::size_t kQueuedBytes = 1 << 20;     // output, before more of a reconciliation
constexpr std::size_t kLiveQueuedBytes = 8 << 20;
constexpr std::uint64_t kTickMs = 100;
constexpr std::size_t kRecentIds = 20'000;

}  // namespace

void RecentIds::add(const EventId& id) {
  if (!ids_.insert(id).second) return;
  order_.push_back(id);
  if (order_.size() <= kRecentIds) return;
  ids_.erase(order_.front());
  order_.pop_front();
}

MirrorStream::MirrorStream(std::uint64_t index, const MirrorOptions& options,
                           const MirrorContext& context, net::Loop& loop)
    : index_(index),
      options_(options),
      context_(context),
      name_(options.url.to_string()),
      source_(std::make_shared<const EventSource>(
          EventSource{EventSourceType::Stream, name_, std::nullopt})),
      may_send_(context.auth, options.filter),
      loop_(loop),
      socket_(loop),
      login_(options.key, name_),
      reconnect_ms_(kReconnectMsFirst),
      alive_s_(context.clock.unix_s()) {}

MirrorStream::~MirrorStream() {
  loop_.cancel(ticks_);
  loop_.cancel(reconnect_);
  loop_.cancel(scan_timer_);
}

void MirrorStream::start() {
  ticks_ = loop_.every(kTickMs, [this] { tick(); });
  connect();
}

// --- The connection.

void MirrorStream::connect() {
  reconnect_ = net::TimerId::None;
  net::WsClientCallbacks callbacks;
  callbacks.on_open = [this] { on_open(); };
  callbacks.on_text = [this](std::string_view text) { on_text(text); };
  callbacks.on_close = [this](const net::WsCloseInfo& info) { on_close(info); };
  net::WsClientOptions options;
  options.ca_path = options_.ca_path;
  socket_.connect(options_.url, std::move(callbacks), options);
}

void MirrorStream::on_open() {
  metrics_.connected = 1;
  ++metrics_.connections;
  log(LogLevel::Info, "mirror {}: connected", public_text(name_));
  login_.begin();
  has_begun_ = false;
  begin_by_ms_ =
      context_.clock.monotonic_ms() + (login_.has_key() ? RelayLogin::kChallengeWaitMs : 0);
  if (!login_.has_key()) begin();
}

void MirrorStream::begin() {
  has_begun_ = true;
  if (options_.direction != SyncDirection::Up) subscribe();
}

void MirrorStream::on_challenge(std::string_view challenge) {
  if (const auto answer = login_.answer(challenge, context_.clock.unix_s())) send(*answer);
}

// What it has refused to a stranger is asked for again.
void MirrorStream::on_login(const relay_message::Ok& ok, RelayLogin::Outcome outcome) {
  if (outcome == RelayLogin::Outcome::Refused) {
    log(LogLevel::Warning, "mirror {}: the other relay refuses our key: {}", public_text(name_),
        public_text(ok.message));
  } else {
    log(LogLevel::Info, "mirror {}: authenticated", public_text(name_));
    if (!run_ && !scan_ && has_begun_) sync_due_ms_ = context_.clock.monotonic_ms();
    if (has_begun_) begin();
  }
  if (!has_begun_) begin();
}

// From a little before the other side was last heard of. What is older, a reconciliation finds.
void MirrorStream::subscribe() {
  Filter filter = options_.filter;
  filter.limit.reset();
  filter.since =
      std::max(filter.since.value_or(0), std::max<std::int64_t>(0, alive_s_ - kOverlapS));
  send(request_text(kLive, {filter}));
}

void MirrorStream::on_close(const net::WsCloseInfo& info) {
  metrics_.connected = 0;
  has_begun_ = false;
  if (scan_ || run_) finish_sync(false, "the connection was lost");
  sync_due_ms_ = std::min(sync_due_ms_, sync_began_ms_ + kSyncPauseMsMin);
  is_paused_ = false;
  log(LogLevel::Info, "mirror {}: {}, again in {} ms", public_text(name_),
      public_text(info.reason.empty() ? "closed" : info.reason), reconnect_ms_);
  reconnect_ = loop_.after(static_cast<std::uint64_t>(reconnect_ms_), [this] { connect(); });
  reconnect_ms_ = std::min(2 * reconnect_ms_, kReconnectMsMax);
}

void MirrorStream::on_text(std::string_view text) {
  auto message = parse_relay_message(text, context_.limits);
  if (!message) {
    log(LogLevel::Debug, "mirror {}: a message is {}", public_text(name_), message.error());
    return;
  }
  alive_s_ = context_.clock.unix_s();
  if (const auto* asks = std::get_if<relay_message::AuthChallenge>(&*message)) {
    on_challenge(asks->challenge);
    return;
  }
  if (const auto* ok = std::get_if<relay_message::Ok>(&*message)) {
    const auto outcome = login_.on_ok(*ok);
    if (outcome != RelayLogin::Outcome::NotOurs) {
      on_login(*ok, outcome);
      return;
    }
  }
  if (run_ && run_->on_message(*message)) {
    look_for_end();
  } else if (auto* found = std::get_if<relay_message::EventFound>(&*message)) {
    reconnect_ms_ = kReconnectMsFirst;  // it is of use
    if (found->subscription == kLive) take(std::move(found->event));
  } else if (const auto* closed = std::get_if<relay_message::Closed>(&*message)) {
    if (closed->subscription != kLive) return;
    const bool may_follow = login_.has_key() && !login_.is_accepted();
    if (may_follow && is_auth_required(closed->message)) return;  // it asks next
    log(LogLevel::Warning, "mirror {}: the other relay ends the subscription: {}",
        public_text(name_), public_text(closed->message));
    socket_.close();
  } else if (const auto* ok = std::get_if<relay_message::Ok>(&*message)) {
    const bool is_there = ok->accepted || ok->message.starts_with("duplicate:");
    ++(is_there ? metrics_.taken : metrics_.not_taken);
  } else if (const auto* end = std::get_if<relay_message::EndOfStored>(&*message)) {
    if (end->subscription == kLive) reconnect_ms_ = kReconnectMsFirst;
  }
}

// --- Events from there.

void MirrorStream::take(UnverifiedEvent&& unverified) {
  const Event& event = unverified.event();
  ++metrics_.received;
  const bool is_wanted =
      options_.filter.matches(event) && kind_class(event.kind) != KindClass::Ephemeral;
  if (!is_wanted || context_.admission().refuse(event, context_.clock.unix_s(), false) ||
      context_.guard.content.refuse(event) || context_.guard.reports.is_refused(event)) {
    ++metrics_.refused;
    return;
  }
  from_there_.add(event.id);
  pending_.push_back(std::move(unverified));
  offer_pending();
}

void MirrorStream::offer_pending() {
  const SessionId origin{kMirrorLoop, net::ConnectionId{index_}};
  bool is_full = false;
  while (!pending_.empty() && !is_full) {
    const Offer offer = context_.ingest.offer(pending_.front(), origin, nullptr, source_);
    is_full = std::holds_alternative<QueueFull>(offer);
    if (std::holds_alternative<Settled>(offer)) ++metrics_.known;
    if (!is_full) pending_.pop_front();
  }
  if (is_full == is_paused_ || !socket_.is_open()) return;
  is_paused_ = is_full;
  if (is_full) {
    socket_.pause_reading();
  } else {
    socket_.resume_reading();
  }
}

void MirrorStream::count(PutResult result) {
  if (result == PutResult::Stored) {
    ++metrics_.stored;
  } else if (result == PutResult::OutOfRange || result == PutResult::Failed ||
             result == PutResult::DiskFull) {
    ++metrics_.refused;
  } else {
    ++metrics_.known;
  }
}

// --- Events from here.

bool MirrorStream::wants(const Event& event) const {
  return options_.direction != SyncDirection::Down && may_send_(event) &&
         options_.filter.matches(event);
}

void MirrorStream::send_live(const CommittedEvent& event) {
  if (!wants(event.event.event()) || from_there_.contains(event.event->id)) return;
  const bool has_place =
      socket_.is_open() && has_begun_ && socket_.pending_bytes() < kLiveQueuedBytes;
  if (has_place && socket_.send_text("[\"EVENT\"," + *event.json() + "]")) {
    ++metrics_.sent;
  } else {
    ++metrics_.dropped;
  }
}

// --- SyncHost.

void MirrorStream::send(std::string_view text) {
  if (!socket_.send_text(text)) socket_.close();
}

bool MirrorStream::has_room() const {
  return pending_.empty() && socket_.pending_bytes() < kQueuedBytes;
}

std::optional<std::string> MirrorStream::event_json(const EventId& id) {
  return sendable_json(context_.store, id, may_send_, context_.limits.event);
}

// --- Reconciliations.

void MirrorStream::tick() {
  offer_pending();
  if (!socket_.is_open()) return;
  if (!has_begun_) {
    const bool asks = login_.is_pending();
    if (!asks && context_.clock.monotonic_ms() >= begin_by_ms_) begin();
    return;
  }
  if (run_) {
    run_->tick();
    look_for_end();
  } else if (!scan_ && options_.sync_every_s > 0 && context_.clock.monotonic_ms() >= sync_due_ms_) {
    begin_sync();
  }
}

void MirrorStream::begin_sync() {
  sync_began_ms_ = context_.clock.monotonic_ms();
  sync_due_ms_ = sync_began_ms_ + options_.sync_every_s * 1'000;
  // What is in the log only would be fetched, and not be sent.
  CommitGate& gate = context_.ingest.in_tables();
  const Filter filters[] = {options_.filter};
  if (gate.would_miss(filters) && !gate.wait()) {
    finish_sync(false, "what was stored last can't be read");
    return;
  }
  scan_.emplace(context_.store, options_.filter, context_.clock.unix_s());
  scan_step();
}

// One a turn: the live part of all streams goes on meanwhile.
void MirrorStream::scan_step() {
  scan_timer_ = net::TimerId::None;
  if (!scan_) return;  // the connection was lost
  const auto done = scan_->step();
  if (!done) {
    finish_sync(false, done.error().text);
    return;
  }
  if (!*done) {
    scan_timer_ = loop_.after(1, [this] { scan_step(); });
    return;
  }
  SyncOptions options;
  options.filter = options_.filter;
  options.direction = options_.direction;
  SyncHost& host = *this;
  run_.emplace(host, context_.clock, scan_->take(), std::move(options));
  scan_.reset();
  run_->start();
}

void MirrorStream::look_for_end() {
  if (!run_ || !run_->end()) return;
  const SyncEnd end = *run_->end();
  const std::string reason = run_->reason();
  metrics_.taken += run_->counts().accepted;
  metrics_.not_taken += run_->counts().refused;
  finish_sync(end == SyncEnd::Done,
              end == SyncEnd::NoNegentropy ? "the other relay lacks NIP-77" : reason);
}

void MirrorStream::finish_sync(bool is_done, std::string_view why) {
  if (is_done) {
    ++metrics_.syncs;
    metrics_.synced_at_s = static_cast<std::uint64_t>(context_.clock.unix_s());
    const SyncCounts& counts = run_->counts();
    reconnect_ms_ = kReconnectMsFirst;
    log(LogLevel::Info, "mirror {}: in sync after {} rounds; {} came, {} went", public_text(name_),
        counts.rounds, counts.received, counts.accepted);
  } else {
    ++metrics_.syncs_failed;
    log(LogLevel::Warning, "mirror {}: no reconciliation: {}", public_text(name_),
        public_text(why.empty() ? "no answer" : why));
  }
  run_.reset();
  scan_.reset();
}

}  // namespace nostril::relay
