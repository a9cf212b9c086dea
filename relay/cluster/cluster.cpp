#include "relay/cluster/cluster.h"

#include "base/hex.h"
#include "base/log.h"
#include "base/thread_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <system_error>

namespace nostril::relay {

namespace {

constexpr std::chrono::milliseconds kTick{50};
// While the writer has no room for what has arrived.
constexpr std::chrono::milliseconds kTickBlocked{1};
constexpr std::int64_t kResendMs = 1'000;
constexpr std::int64_t kResendSoonMs = 200;
// An ack has come, so the event will: a relay that is far behind may take that long.
constexpr std::int64_t kAppliedWaitMs = 30'000;
constexpr std::int64_t kDecisionWaitMs = 15'000;
constexpr std::int64_t kPositionEveryMs = 5'000;
constexpr std::int64_t kStoreRetryMs = 30'000;
constexpr std::int64_t kBehindMaxMs = 30'000;
// Read again beside what a stream that ends earlier may have lost.
constexpr std::uint64_t kReadAnewMin = 1'024;
// A server that delivers nothing more for so long has no more, if it lacks no more than that.
constexpr std::int64_t kStandsMs = 20'000;
constexpr std::uint64_t kNumbersApartMax = 10'000;
// Of queued events, without an ack.
constexpr std::size_t kOutboxWindow = 512;
constexpr std::size_t kOutboxWindowBytes = 8U << 20;

constexpr std::string_view kAway =
    "error: the cluster is away and takes no events now, send it again later";
constexpr std::string_view kLate =
    "error: the cluster did not confirm this event in time, send it again";
constexpr std::string_view kBehind =
    "error: this relay is far behind its cluster, which has the event: send it again later";
constexpr std::string_view kNotKept =
    "duplicate: the cluster has had this event before and does not keep it";
constexpr std::string_view kTooLarge = "invalid: too large for this relay's cluster";
constexpr std::string_view kStuck = "error: this relay is out of its cluster, see its log";

using Count = std::atomic<std::uint64_t>;

void add(Count& counter, std::uint64_t count = 1) {
  counter.fetch_add(count, std::memory_order_relaxed);
}

}  // namespace

std::string_view to_string(ClusterPhase phase) {
  switch (phase) {
    case ClusterPhase::Waiting:
      return "waiting";
    case ClusterPhase::CatchingUp:
      return "catching up";
    case ClusterPhase::Serving:
      return "serving";
    case ClusterPhase::Joining:
      return "joining";
    case ClusterPhase::Stuck:
      return "stuck";
  }
  return "?";
}

Cluster::Cluster(const ClusterOptions& options, Store& store, Ingest& ingest, const Clock& clock,
                 ServiceGate& gate, ClusterHost& host, const std::filesystem::path& data)
    : options_(options),
      subjects_(options.name, options.relay),
      event_subject_(subjects_.event()),
      moderation_subject_(subjects_.moderation()),
      store_(store),
      ingest_(ingest),
      clock_(clock),
      gate_(gate),
      host_(host),
      interest_(subjects_),
      bus_(options.bus, this) {
  gate_.set(ServiceGate::State::CatchingUp);
  auto ids = AppliedIds::open(data / kAppliedIdsFile);
  if (!ids) throw std::runtime_error(ids.error());
  applied_ids_ = std::move(*ids);
  open_outbox(data / "outbox");
  if (!options_.trusts_stream) ahead_ = std::make_unique<StreamVerifier>(options_.verifier_threads);
}

// Also where nothing is queued any more, by choice: what was waits for the cluster.
void Cluster::open_outbox(const std::filesystem::path& folder) {
  std::error_code error;
  const bool is_wanted = options_.when_away == ClusterOptions::WhenAway::Queue;
  if (!is_wanted && !std::filesystem::exists(folder, error)) return;
  OutboxOptions outbox;
  outbox.events_max = options_.outbox_events_max;
  auto opened = Outbox::open(folder, outbox, [this](std::vector<OutboxOutcome>&& outcomes) {
    put_in([&](Inbox& inbox) {
      inbox.kept.insert(inbox.kept.end(), outcomes.begin(), outcomes.end());
    });
  });
  if (!opened) throw std::runtime_error(opened.error());
  outbox_ = std::move(*opened);
  if (outbox_->size() > 0) {
    log(LogLevel::Warning, "cluster: {} events of before wait for it", outbox_->size());
  }
}

Cluster::~Cluster() {
  stop();
}

void Cluster::start() {
  thread_ = std::thread([this] {
    name_this_thread("cluster");
    run();
  });
}

void Cluster::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  if (outbox_) outbox_->stop();
  bus_.stop();
}

// --- From other threads.

template <typename Put>
void Cluster::put_in(Put put) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    put(inbox_);
    is_first = !std::exchange(has_mail_, true);
  }
  if (is_first) wake_.notify_one();
}

void Cluster::publish(VerifiedEvent event, const WriteToken& token) {
  put_in([&](Inbox& inbox) { inbox.publications.push_back({std::move(event), token}); });
}

bool Cluster::publish_ephemeral(const VerifiedEvent& event) {
  if (is_away_.load() || !bus_.is_connected()) return false;
  bool has_room = true;
  put_in([&](Inbox& inbox) {
    has_room = inbox.ephemeral_out.size() < kEphemeralMax;
    if (has_room) inbox.ephemeral_out.push_back(event);
  });
  if (!has_room) add(counters_.ephemeral_dropped);
  return has_room;
}

void Cluster::on_committed(const CommittedBatch& batch) {
  if (batch.stream_sequence == 0) return;
  const bool has_failed = std::ranges::any_of(
      batch.outcomes, [](const WriteOutcome& outcome) { return !is_kept(outcome.result); });
  if (has_failed) {
    store_failed_.store(true);
  } else {
    written_.store(batch.stream_sequence);
    written_count_.fetch_add(batch.outcomes.size());
  }
  if (has_failed || wants_commits_.load()) put_in([](Inbox& inbox) { inbox.look = true; });
}

Result<void, std::string> Cluster::moderate(const std::string& message_id,
                                            const std::string& body) {
  Decision decision;
  decision.message_id = message_id;
  decision.body = body;
  auto done = decision.done.get_future();
  put_in([&](Inbox& inbox) { inbox.decisions.push_back(std::move(decision)); });
  return done.get();
}

void Cluster::on_stream(std::uint64_t reading, StreamMessage&& message) {
  put_in([&](Inbox& inbox) { inbox.arrived.push_back({reading, std::move(message), 0}); });
}

void Cluster::on_ack(std::uint64_t token, PublishAck&& ack) {
  put_in([&](Inbox& inbox) { inbox.acks.push_back({token, std::move(ack)}); });
}

void Cluster::on_state() {
  put_in([](Inbox& inbox) { inbox.look = true; });
}

bool Cluster::wants_new_start() const {
  const std::int64_t at_ms = new_start_ms_.load();
  return at_ms != 0 && clock_.monotonic_ms() >= at_ms;
}

// In this order: what is handled was submitted before, so if all that is submitted now is written,
// so is that.
std::uint64_t Cluster::position() const {
  const std::uint64_t handled = handled_.load();
  return is_all_written() ? handled : written_.load();
}

ClusterFigures Cluster::figures() const {
  ClusterFigures out;
  {
    const std::lock_guard lock(state_mutex_);
    out.phase = phase_;
    out.note = note_;
    out.stream = stream_;
  }
  out.bus = bus_.state();
  out.is_connected = bus_.is_connected();
  out.is_away = is_away_.load();
  if (out.note.empty() && out.bus != BusState::Ready) out.note = bus_.problem();
  out.position = position();
  if (const auto info = bus_.info()) {
    out.stream_first = info->first_sequence;
    out.stream_last = std::max(info->last_sequence, out.position);
    out.stream_bytes = info->bytes;
  }
  out.pending = pending_count_.load();
  out.published = counters_.published.load();
  out.acks = counters_.acks.load();
  out.duplicates = counters_.duplicates.load();
  out.ack_failures = counters_.ack_failures.load();
  out.timeouts = counters_.timeouts.load();
  out.refused_away = counters_.refused_away.load();
  out.applied = counters_.applied.load();
  out.applied_own = counters_.applied_own.load();
  out.applied_late = counters_.applied_late.load();
  out.malformed = counters_.malformed.load();
  out.ephemeral_in = counters_.ephemeral_in.load();
  out.ephemeral_out = counters_.ephemeral_out.load();
  out.ephemeral_dropped = counters_.ephemeral_dropped.load();
  out.interests = counters_.interests.load();
  out.connections = bus_.reconnects();
  out.consumers = bus_.consumers_made();
  return out;
}

// --- The thread.

void Cluster::run() {
  while (true) {
    Inbox inbox;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, is_blocked_ ? kTickBlocked : kTick,
                     [this] { return has_mail_ || is_stopping_; });
      if (is_stopping_) break;
      std::swap(inbox, inbox_);
      has_mail_ = false;
    }
    for (auto& one : inbox.publications) take(std::move(one));
    for (auto& one : inbox.decisions) take(std::move(one));
    for (auto& one : inbox.arrived) {
      one.number = ++last_arrived_;
      arrived_.push_back(std::move(one));
    }
    for (auto& one : inbox.acks) take(std::move(one));
    for (const auto& one : inbox.kept) take(one);
    for (const auto& one : inbox.ephemeral_out) send_ephemeral(one);
    for (const auto& one : inbox.ephemeral_in) take_ephemeral(one);
    if (inbox.look) look_at_bus();
    apply_arrived();
    answer_known();
    each_tick();
    pending_count_.store(pending_.size() + known_.size());
  }
  const std::lock_guard lock(mutex_);
  for (auto& one : inbox_.decisions) one.done.set_value(failure(std::string("the relay stops")));
  for (auto& [id, one] : decisions_) one.done.set_value(failure(std::string("the relay stops")));
}

// --- Publishing.

void Cluster::take(Publication&& publication) {
  const EventId id = publication.event->id;
  if (const auto found = pending_.find(id); found != pending_.end()) {
    found->second.tokens.push_back(publication.token);
    return;
  }
  if (phase_ == ClusterPhase::Stuck || phase_ == ClusterPhase::Joining || store_failed_.load()) {
    refuse(id, {publication.token}, std::string(kStuck));
    return;
  }
  if (is_away_.load()) {
    refuse_away(publication.event, {publication.token}, kAway);
    return;
  }
  Pending next{
      std::move(publication.event), {}, {publication.token}, ++last_number_, 0, 0, false, {}};
  next.json = to_json(next.event.event());
  next.deadline_ms = clock_.monotonic_ms() + options_.ack_wait_ms;
  const auto at = pending_.emplace(id, std::move(next)).first;
  events_by_number_.emplace(last_number_, id);
  pending_count_.store(pending_.size() + known_.size());
  send(at->second);
}

// Sent again until its deadline: the stream knows it by its id.
void Cluster::send(Pending& pending) {
  const std::int64_t now_ms = clock_.monotonic_ms();
  pending.resend_ms = now_ms + kResendMs;
  switch (
      bus_.publish(event_subject_, encode_hex(pending.event->id), pending.json, pending.number)) {
    case Bus::Sent::Yes:
      add(counters_.published);
      break;
    case Bus::Sent::NotConnected:
      pending.resend_ms = now_ms + kResendSoonMs;
      break;
    case Bus::Sent::TooLarge:
      pending.problem = kTooLarge;
      pending.deadline_ms = 0;
      break;
  }
}

void Cluster::take(Acked&& acked) {
  using Ack = PublishAck::Result;
  const PublishAck& ack = acked.ack;
  const bool is_taken = ack.result == Ack::Stored || ack.result == Ack::Duplicate;
  if (is_taken) add(counters_.acks);
  if (ack.result == Ack::Duplicate) add(counters_.duplicates);
  if (!is_taken) add(counters_.ack_failures);
  if (take_outbox_ack(acked)) return;
  if (const auto decided = decisions_by_number_.find(acked.number);
      decided != decisions_by_number_.end()) {
    take_decision_ack(decided->second, ack);
    return;
  }
  const auto number = events_by_number_.find(acked.number);
  if (number == events_by_number_.end()) return;  // it has come back already, or was given up
  const auto found = pending_.find(number->second);
  if (found == pending_.end()) return;
  Pending& pending = found->second;
  switch (ack.result) {
    case Ack::Stored:
    case Ack::Duplicate:
      if (has_come(ack.sequence, pending.event->id)) {
        // As anybody's: before this relay knew that it is one of its own.
        known_.emplace(ack.sequence, Known{pending.event->id, std::move(pending.tokens)});
        drop(found);
        return;
      }
      if (!pending.is_acked) pending.deadline_ms = clock_.monotonic_ms() + kAppliedWaitMs;
      pending.is_acked = true;
      return;
    case Ack::NotNow:
      pending.resend_ms = clock_.monotonic_ms() + kResendSoonMs;
      return;
    case Ack::Refused:
      refuse(pending.event->id, pending.tokens, "error: the cluster: " + ack.error);
      drop(found);
      return;
  }
}

// What the leader numbers otherwise than the server that is read comes late.
bool Cluster::has_come(std::uint64_t sequence, const EventId& id) {
  if (sequence > handled_.load()) return false;
  return applied_ids_->has(sequence, id) || store_.has_id(id);
}

void Cluster::refuse(const EventId& id, const std::vector<WriteToken>& tokens,
                     const std::string& why) {
  for (const WriteToken& token : tokens) ingest_.answer_unwritten(id, token, false, why);
}

void Cluster::drop(std::unordered_map<EventId, Pending, FixedBytesHash>::iterator at) {
  events_by_number_.erase(at->second.number);
  pending_.erase(at);
}

// What the stream has had at a place that is written here by now.
void Cluster::answer_known() {
  if (known_.empty()) return;
  const std::uint64_t here = position();
  const auto end = known_.upper_bound(here);
  if (known_.begin() == end) return;
  const bool is_readable = ingest_.in_tables().wait();
  for (auto at = known_.begin(); at != end; at = known_.erase(at)) {
    const Known& known = at->second;
    const bool is_there = is_readable && store_.has_id(known.id);
    const std::string_view text = is_there ? ok_message(PutResult::Duplicate) : kNotKept;
    for (const WriteToken& token : known.tokens) {
      ingest_.answer_unwritten(known.id, token, is_there, std::string(text));
    }
  }
}

// --- While the cluster is away.

void Cluster::refuse_away(const VerifiedEvent& event, const std::vector<WriteToken>& tokens,
                          std::string_view why) {
  const bool is_queued = outbox_ && options_.when_away == ClusterOptions::WhenAway::Queue;
  for (const WriteToken& token : tokens) {
    if (is_queued && outbox_->submit(event, token)) continue;
    add(counters_.refused_away);
    refuse(event->id, {token}, std::string(why));
  }
}

void Cluster::take(const OutboxOutcome& outcome) {
  ingest_.answer_unwritten(outcome.id, outcome.token, is_accepted(outcome.result),
                           std::string(ok_message(outcome.result)));
}

// In the order in which they came, some at a time. What was not acknowledged in time, or when the
// connection was lost, is sent again from the beginning: the stream and the stores know it by its
// id.
void Cluster::send_outbox(std::int64_t now_ms) {
  if (outbox_ && !outbox_->is_healthy() && !is_away_.load() && new_start_ms_.load() == 0) {
    new_start_ms_.store(now_ms + kStoreRetryMs);  // not while reads are all that it can do
  }
  if (!outbox_ || bus_.state() != BusState::Ready || phase_ != ClusterPhase::Serving) return;
  if (!outbox_sent_.empty()) {
    if (now_ms < outbox_due_ms_) return;
    outbox_sent_.clear();
    outbox_at_ = 0;
  }
  auto next = outbox_->after(outbox_at_, kOutboxWindow, kOutboxWindowBytes);
  if (next.empty()) outbox_at_ = 0;
  outbox_due_ms_ = now_ms + options_.ack_wait_ms;
  for (OutboxEntry& entry : next) {
    const std::uint64_t number = ++last_number_;
    const auto sent = bus_.publish(event_subject_, encode_hex(entry.id), entry.json, number);
    if (sent == Bus::Sent::NotConnected) return;
    outbox_at_ = entry.number;
    if (sent == Bus::Sent::TooLarge) {
      errors_.error(public_text("cluster: a queued event is too large for the servers: dropped"));
      outbox_->sent(entry.number, entry.id);
      continue;
    }
    add(counters_.published);
    entry.json.clear();
    outbox_sent_.emplace(number, std::move(entry));
  }
}

bool Cluster::take_outbox_ack(const Acked& acked) {
  const auto found = outbox_sent_.find(acked.number);
  if (found == outbox_sent_.end()) return false;
  using Ack = PublishAck::Result;
  if (acked.ack.result == Ack::Stored || acked.ack.result == Ack::Duplicate) {
    outbox_->sent(found->second.number, found->second.id);
    outbox_sent_.erase(found);
  } else if (acked.ack.result == Ack::Refused) {
    // It was acknowledged: it stays until somebody has made room for it.
    errors_.error(public_text("cluster: a queued event is refused: " + acked.ack.error));
  }
  return true;
}

// --- Moderators' decisions.

void Cluster::take(Decision&& decision) {
  if (is_away_.load() || phase_ != ClusterPhase::Serving) {
    decision.done.set_value(failure(std::string("the cluster is away: nothing was changed")));
    return;
  }
  decision.number = ++last_number_;
  decision.deadline_ms = clock_.monotonic_ms() + kDecisionWaitMs;
  const std::string id = decision.message_id;
  const auto [at, is_new] = decisions_.emplace(id, std::move(decision));
  if (!is_new) return;
  decisions_by_number_.emplace(last_number_, id);
  send(at->second);
}

void Cluster::send(Decision& decision) {
  decision.resend_ms = clock_.monotonic_ms() + kResendMs;
  if (bus_.publish(moderation_subject_, decision.message_id, decision.body, decision.number) ==
      Bus::Sent::TooLarge) {
    decision.deadline_ms = 0;
  }
}

void Cluster::take_decision_ack(const std::string& message_id, const PublishAck& ack) {
  const auto found = decisions_.find(message_id);
  if (found == decisions_.end()) return;
  using Ack = PublishAck::Result;
  if (ack.result == Ack::Refused) found->second.deadline_ms = 0;
  if (ack.result == Ack::Stored || ack.result == Ack::Duplicate) found->second.is_acked = true;
}

// --- Ephemeral events.

void Cluster::send_ephemeral(const VerifiedEvent& event) {
  const std::string json = to_json(event.event());
  for (const auto& shard : ClusterSubjects::shards_of(event.event())) {
    if (bus_.send(subjects_.ephemeral(event->kind, shard), json)) add(counters_.ephemeral_out);
  }
}

void Cluster::take_ephemeral(const std::string& body) {
  add(counters_.ephemeral_in);
  auto event = read_event(body);
  if (event && !ingest_.deliver_ephemeral(std::move(*event))) add(counters_.ephemeral_dropped);
}

void Cluster::flush_interest(std::int64_t now_ms) {
  if (const auto wanted = interest_.take_changes()) hearing_.want(*wanted, now_ms);
  const Hearing::Changes changes = hearing_.take_changes(now_ms);
  for (const auto& subject : changes.subscribe) {
    heard_.emplace(subject, bus_.subscribe(subject, [this](BusMessage&& message) {
      bool has_room = true;
      put_in([&](Inbox& inbox) {
        has_room = inbox.ephemeral_in.size() < kEphemeralMax;
        if (has_room) inbox.ephemeral_in.push_back(std::move(message.body));
      });
      if (!has_room) add(counters_.ephemeral_dropped);
    }));
  }
  for (const auto& subject : changes.unsubscribe) {
    const auto found = heard_.find(subject);
    bus_.unsubscribe(found->second);
    heard_.erase(found);
  }
  counters_.interests.store(heard_.size());
}

// --- The stream.

void Cluster::apply_arrived() {
  is_blocked_ = false;
  while (!arrived_.empty() && !store_failed_.load()) {
    look_ahead();
    const Arrived& next = arrived_.front();
    const bool is_again = is_late(next.message) && is_known(next.message);
    // What a killed process had noted may not have been written.
    const bool had = is_again && next.message.sequence > began_behind_;
    if (next.reading == reading_ && !had) {
      if (!apply(next)) {
        is_blocked_ = true;
        break;
      }
      if (!is_again) add(is_late(next.message) ? counters_.applied_late : counters_.applied);
      handled_.store(place_of(next.message));
    }
    bus_.confirm(next.reading, next.message.cost_bytes);
    first_arrived_.reset();
    arrived_.pop_front();
    if (looked_ahead_ > 0) --looked_ahead_;
  }
  applied_ids_->flush();
  wants_commits_.store(is_blocked_ || !known_.empty() || phase_ == ClusterPhase::CatchingUp);
  if (store_failed_.load()) {
    if (new_start_ms_.load() == 0) new_start_ms_.store(clock_.monotonic_ms() + kStoreRetryMs);
    stick("the store takes nothing more, as the log says; it goes on by itself when it can");
  } else if (phase_ == ClusterPhase::CatchingUp && (position() >= target_ || is_at_an_end())) {
    set_phase(ClusterPhase::Serving, "");
    log(LogLevel::Info, "cluster: caught up at message {}", position());
    publish_what_is_gone();
    host_.caught_up();
  }
}

void Cluster::forget_arrived() {
  arrived_.clear();
  first_arrived_.reset();
  looked_ahead_ = 0;
}

bool Cluster::is_late(const StreamMessage& message) const {
  return message.sequence <= handled_.load();
}

// Its number stands for it. Not known: of which the id is not beside it.
bool Cluster::is_known(const StreamMessage& message) {
  const auto id = message.subject == moderation_subject_ ? AppliedIds::decision(message.message_id)
                                                         : from_hex<EventId>(message.message_id);
  return id && applied_ids_->has(message.sequence, *id);
}

// What came late stands where the others stood.
std::uint64_t Cluster::place_of(const StreamMessage& message) const {
  return std::max(message.sequence, handled_.load());
}

// Servers that disagreed may number the same messages otherwise: the one that is read may have none
// up to the target, and never will. What is not the same is found out afterwards (repair.h).
bool Cluster::is_at_an_end() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  const std::uint64_t here = position();
  if (here != stood_at_ || !arrived_.empty() || bus_.state() != BusState::Ready) {
    stood_at_ = here;
    stood_since_ms_ = now_ms;
  }
  if (now_ms - stood_since_ms_ < kStandsMs || target_ - here > kNumbersApartMax) return false;
  log(LogLevel::Warning, "cluster: nothing comes behind message {}, the stream should have {}",
      here, target_);
  return true;
}

// False: later, there is no room now or what is before it must be written first.
bool Cluster::apply(const Arrived& arrived) {
  const StreamMessage& message = arrived.message;
  if (message.subject == event_subject_) return apply_event(arrived);
  if (message.subject == moderation_subject_) return apply_moderation(message);
  add(counters_.malformed);
  errors_.error(
      public_text("cluster: the stream has a message of a subject that this program "
                  "does not know: a later version's?"));
  return true;
}

bool Cluster::apply_event(const Arrived& arrived) {
  const StreamMessage& message = arrived.message;
  const auto id = from_hex<EventId>(message.message_id);
  const auto own = id ? pending_.find(*id) : pending_.end();
  // With the same id but another text it is not what was verified here.
  if (own != pending_.end() && own->second.json == message.body) {
    // What a replica delivers is not proof enough: one that was cut off has been seen to deliver
    // what others lack. The ack is, and comes at about the same time, or the deadline does.
    if (!own->second.is_acked) return false;
    for (const WriteToken& token : own->second.tokens) {
      ingest_.apply_own(own->second.event, token, place_of(message));
      submitted_count_.fetch_add(1);
    }
    note_applied(message, *id);
    drop(own);
    add(counters_.applied_own);
    return true;
  }
  if (!first_arrived_) first_arrived_ = event_of(arrived);
  if (!first_arrived_) return true;
  if (!ingest_.apply_from_stream(*first_arrived_, place_of(message))) return false;
  submitted_count_.fetch_add(1);
  note_applied(message, (*first_arrived_)->id);
  return true;
}

void Cluster::note_applied(const StreamMessage& message, const EventId& id) {
  if (!is_late(message)) {
    applied_ids_->add(message.sequence, id);
  } else if (!applied_ids_->has(message.sequence, id)) {
    applied_ids_->add_late(id);
  }
  if (!not_met_.empty()) not_met_.erase(id);
}

bool Cluster::apply_moderation(const StreamMessage& message) {
  if (!is_all_written()) return false;
  const auto own = decisions_.find(message.message_id);
  if (own != decisions_.end() && !own->second.is_acked) return false;  // as with events
  std::string why;
  const auto applied = host_.apply_moderation(
      message.body, {.is_own = own != decisions_.end(), .is_late = is_late(message)}, why);
  if (applied != ClusterHost::Applied::Done) {
    errors_.error(public_text("cluster: moderation: " + why));
  }
  if (applied == ClusterHost::Applied::NotNow) return false;
  Result<void, std::string> done;
  if (applied == ClusterHost::Applied::Senseless) done = failure(std::move(why));
  write_position(place_of(message));
  if (const auto id = AppliedIds::decision(message.message_id)) note_applied(message, *id);
  if (own == decisions_.end()) return true;
  decisions_by_number_.erase(own->second.number);
  own->second.done.set_value(std::move(done));
  decisions_.erase(own);
  return true;
}

// Signatures are checked while what is before them is applied. Of our own it was done before.
void Cluster::look_ahead() {
  for (; ahead_ && ahead_->has_room() && looked_ahead_ < arrived_.size(); ++looked_ahead_) {
    const Arrived& next = arrived_[looked_ahead_];
    if (next.reading != reading_ || next.message.subject != event_subject_) continue;
    const auto id = from_hex<EventId>(next.message.message_id);
    if (id && pending_.contains(*id)) continue;
    ahead_->begin(next.number, next.message.body);
  }
}

// Nothing: it is passed over, as every relay does.
std::optional<VerifiedEvent> Cluster::event_of(const Arrived& arrived) {
  const std::string& body = arrived.message.body;
  auto checked = ahead_ ? ahead_->take(arrived.number, body) : std::nullopt;
  // What was wrong is read once more, to be counted and said.
  return checked && *checked ? std::move(*checked) : read_event(body);
}

// Nothing: it is passed over, as every relay does.
std::optional<VerifiedEvent> Cluster::read_event(std::string_view body) {
  auto event = parse_event(body, kStreamLimits);
  std::optional<VerifiedEvent> verified;
  if (event && options_.trusts_stream) {
    verified = VerifiedEvent::from_cluster(std::move(*event), VerifiedByCluster());
  } else if (event) {
    verified = VerifiedEvent::verify(std::move(*event), verifier_);
  }
  if (!verified) {
    add(counters_.malformed);
    errors_.error(public_text("cluster: a message that is no event, or whose signature is wrong"));
  }
  return verified;
}

bool Cluster::is_all_written() const {
  const std::uint64_t submitted = submitted_count_.load();
  return written_count_.load() >= submitted;
}

// Between two batches of the writer. Only what had no effect on the store may be ahead of it.
void Cluster::write_position(std::uint64_t sequence) {
  StreamPosition position;
  {
    const std::lock_guard lock(state_mutex_);
    position.of = stream_;
  }
  position.sequence = sequence;
  std::optional<StoreError> error;
  const bool is_run = ingest_.writer().run_between([&] {
    if (auto written = store_.set_stream_position(position); !written) error = written.error();
  });
  if (error) errors_.error(public_text(error->text));
  if (is_run && !error) position_written_ = sequence;
}

// --- Joining, and the stream's state.

void Cluster::look_at_bus() {
  const BusState bus = bus_.state();
  if (phase_ == ClusterPhase::Waiting && bus == BusState::Ready) {
    if (const auto info = bus_.info()) begin(*info);
  } else if ((phase_ == ClusterPhase::CatchingUp || phase_ == ClusterPhase::Serving) &&
             bus == BusState::Lost) {
    const auto info = bus_.info();
    const std::uint64_t applied = position();
    if (info && info->identity == stream_ && info->last_sequence < applied) {
      read_anew(*info, applied);
    } else {
      lack(bus_.problem());
    }
  }
}

void Cluster::begin(const StreamInfo& info) {
  using Join = ClusterOptions::Join;
  const auto known = store_.stream_position();
  const bool is_whole = info.first_sequence <= 1;  // it reaches back to its beginning
  if (known && known->of == info.identity) {
    if (known->sequence > info.last_sequence) {
      wait_for_stream(info, known->sequence);
    } else if (known->sequence + 1 >= info.first_sequence) {
      read_from(info.identity, known->sequence, info.last_sequence);
    } else {
      lack(fmt::format("the stream begins with message {}, this relay has up to {}",
                       info.first_sequence, known->sequence));
    }
    return;
  }
  if (known) {
    lack("the stream is another one than this relay's");
    return;
  }
  const bool is_empty = store_.count() == 0;
  if (!is_empty && info.last_sequence > 0) {
    stick("the events in this relay's store are not of its cluster: begin with an empty directory");
    return;
  }
  // Also where the stream reaches back to its beginning: others may have had events before.
  if (is_empty && options_.join == Join::Auto && host_.is_snapshot_offered()) {
    lack("this relay has nothing yet, and another one has");
    return;
  }
  if (!is_whole || (options_.join == Join::Snapshot && info.last_sequence > 0)) {
    lack("this relay has nothing yet");
    return;
  }
  set_stream(info.identity);
  write_position(0);
  read_from(info.identity, 0, info.last_sequence);
}

// A leader just elected does not know at once what was stored last.
void Cluster::wait_for_stream(const StreamInfo& info, std::uint64_t applied) {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (behind_since_ms_ < 0) {
    behind_since_ms_ = now_ms;
    set_phase(ClusterPhase::Waiting,
              fmt::format("the stream ends with message {}, this relay has up to {}",
                          info.last_sequence, applied));
  } else if (now_ms - behind_since_ms_ > kBehindMaxMs) {
    set_stream(info.identity);
    applied_ids_->begin(info.identity, applied);
    read_anew(info, applied);
  }
}

// Servers that disagreed have ended with less than one of them had: what it told this relay has
// other numbers now, or is gone. What is applied twice changes nothing.
void Cluster::read_anew(const StreamInfo& info, std::uint64_t applied) {
  if (!is_all_written()) return;  // soon
  const std::uint64_t back = 2 * (applied - info.last_sequence) + kReadAnewMin;
  const std::uint64_t floor = info.first_sequence > 0 ? info.first_sequence - 1 : 0;
  const std::uint64_t from =
      std::max(floor, info.last_sequence > back ? info.last_sequence - back : 0);
  for (std::uint64_t at = from + 1; at <= applied; at = AppliedIds::window_of(at).last + 1) {
    const auto ids = applied_ids_->ids({at, std::min(applied, AppliedIds::window_of(at).last)});
    if (ids) not_met_.insert(ids->begin(), ids->end());
  }
  not_met_.erase(EventId());
  log(LogLevel::Warning,
      "cluster: the stream ends with message {}, and this relay had up to {}: read anew from {}",
      info.last_sequence, applied, from + 1);
  forget_arrived();
  behind_since_ms_ = -1;
  write_position(from);
  read_from(info.identity, from, info.last_sequence);
}

void Cluster::publish_what_is_gone() {
  if (not_met_.empty()) return;
  const std::vector<EventId> gone(not_met_.begin(), not_met_.end());
  not_met_.clear();
  log(LogLevel::Warning, "cluster: the stream has lost {} messages that this relay had",
      gone.size());
  host_.publish_again(gone);
}

void Cluster::read_from(const StreamIdentity& of, std::uint64_t applied, std::uint64_t target) {
  set_stream(of);
  began_behind_ = applied;
  handled_.store(applied);
  written_.store(applied);
  position_written_ = applied;
  applied_ids_->begin(of, applied);
  target_ = target;
  stood_at_ = applied;
  stood_since_ms_ = clock_.monotonic_ms();
  reading_ = bus_.read_stream(of, applied + 1);
  set_phase(ClusterPhase::CatchingUp, "");
  log(LogLevel::Info, "cluster: reading the stream from message {} to {}", applied + 1, target);
}

void Cluster::lack(const std::string& why) {
  bus_.stop_reading();
  forget_arrived();
  if (options_.join != ClusterOptions::Join::Stream && host_.fetch_snapshot(why)) {
    set_phase(ClusterPhase::Joining, why);
    log(LogLevel::Warning, "cluster: a snapshot is needed: {}", public_text(why));
  } else {
    stick(why);
  }
}

void Cluster::stick(const std::string& why) {
  if (phase_ == ClusterPhase::Stuck) return;
  bus_.stop_reading();
  forget_arrived();
  set_phase(ClusterPhase::Stuck, why);
  log(LogLevel::Error, "cluster: this relay serves nobody: {}", public_text(why));
  for (auto& [id, pending] : pending_) refuse(id, pending.tokens, std::string(kStuck));
  pending_.clear();
  events_by_number_.clear();
}

void Cluster::set_stream(const StreamIdentity& stream) {
  const std::lock_guard lock(state_mutex_);
  stream_ = stream;
}

void Cluster::set_phase(ClusterPhase phase, const std::string& note) {
  {
    const std::lock_guard lock(state_mutex_);
    phase_ = phase;
    note_ = note;
  }
  if (gate_.state() == ServiceGate::State::Draining) return;
  gate_.set(phase == ClusterPhase::Serving ? ServiceGate::State::Open
            : phase == ClusterPhase::Stuck ? ServiceGate::State::Stuck
                                           : ServiceGate::State::CatchingUp);
}

// --- From time to time.

void Cluster::each_tick() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (now_ms < next_tick_ms_) return;
  next_tick_ms_ = now_ms + kTick.count();
  look_at_bus();
  flush_interest(now_ms);
  if (bus_.state() == BusState::Ready) {
    away_since_ms_ = -1;
  } else if (away_since_ms_ < 0) {
    away_since_ms_ = now_ms;
  }
  const bool is_away = away_since_ms_ >= 0 && now_ms - away_since_ms_ >= options_.ack_wait_ms;
  if (is_away_.exchange(is_away) != is_away) {
    if (is_away) {
      log(LogLevel::Warning, "cluster: away, {}", public_text(one_line(bus_.problem())));
    } else {
      log(LogLevel::Info, "cluster: it is back");
    }
  }
  resend_and_expire(now_ms);
  send_outbox(now_ms);
  const bool reads = phase_ == ClusterPhase::Serving || phase_ == ClusterPhase::CatchingUp;
  if (reads && now_ms >= position_due_ms_) {
    position_due_ms_ = now_ms + kPositionEveryMs;
    // What has had no effect is not in any transaction of the writer's: where nothing else comes,
    // the position would stay behind it for ever.
    const std::uint64_t handled = handled_.load();
    const bool is_at_rest = std::exchange(handled_before_, handled) == handled;
    if (is_at_rest && is_all_written() && handled > position_written_) write_position(handled);
  }
}

void Cluster::resend_and_expire(std::int64_t now_ms) {
  for (auto at = pending_.begin(); at != pending_.end();) {
    const auto next = std::next(at);
    Pending& pending = at->second;
    if (now_ms >= pending.deadline_ms) {
      if (pending.problem.empty()) {
        add(counters_.timeouts);
        pending.problem = pending.is_acked ? kBehind : kLate;
      }
      if (!pending.is_acked && pending.problem == kLate && bus_.state() != BusState::Ready) {
        refuse_away(pending.event, pending.tokens, kLate);
      } else {
        refuse(at->first, pending.tokens, pending.problem);
      }
      drop(at);
    } else if (!pending.is_acked && now_ms >= pending.resend_ms) {
      send(pending);
    }
    at = next;
  }
  for (auto at = decisions_.begin(); at != decisions_.end();) {
    const auto next = std::next(at);
    if (now_ms >= at->second.deadline_ms) {
      at->second.done.set_value(
          failure(std::string("the cluster did not confirm it in time: look at the lists")));
      decisions_by_number_.erase(at->second.number);
      decisions_.erase(at);
    } else if (now_ms >= at->second.resend_ms) {
      send(at->second);
    }
    at = next;
  }
}

}  // namespace nostril::relay
