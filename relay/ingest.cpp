#include "relay/ingest.h"

#include "base/check.h"
#include "base/thread_name.h"
#include "base/thread_turns.h"
#include "events/kinds.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace nostril::relay {

namespace {

// Of a verifier: longer than what the loops and the writer have, who have little to do at a time.
constexpr std::chrono::microseconds kSlice{1'000};
// Of one verifier before it gives way.
constexpr std::chrono::microseconds kWorkMax{500};

WriterOptions with_queue(WriterOptions options, std::int64_t queue_max) {
  options.queue_events_max = static_cast<std::size_t>(queue_max);
  return options;
}

bool is_ephemeral(const Event& event) {
  return kind_class(event.kind) == KindClass::Ephemeral;
}

constexpr std::size_t kBytesACredit = 32 << 10;
constexpr std::size_t kBytesAStreamCredit = 4 << 10;

// Units that an event takes while it is under way: queues are bounded in bytes, too.
std::int64_t credits_of(const Event& event, std::size_t bytes_a_credit = kBytesACredit) {
  const std::size_t bytes = event.content.size() + event.tags.bytes();
  return 1 + static_cast<std::int64_t>(bytes / bytes_a_credit);
}

WriteToken token_of(SessionId origin, std::int64_t credits) {
  return {static_cast<std::uint64_t>(origin.connection), origin.loop,
          static_cast<std::uint32_t>(credits)};
}

}  // namespace

Ingest::Ingest(Store& store, const Clock& clock, const IngestOptions& options,
               Deliveries& deliveries, Guard* guard)
    : store_(store),
      options_(options),
      deliveries_(deliveries),
      guard_(guard),
      stored_(options.stored_under_way_max),
      ephemeral_(options.ephemeral_under_way_max),
      stream_(options.stream_under_way_max),
      // Whatever holds a credit fits: neither this queue nor the writer's can refuse.
      queue_(
          static_cast<std::size_t>(options.stored_under_way_max + options.ephemeral_under_way_max)),
      writer_(std::make_unique<StoreWriter>(
          store, clock,
          with_queue(options.writer, options.stored_under_way_max + options.stream_under_way_max),
          [this](CommittedBatch&& batch) { on_commit(std::move(batch)); },
          [this] { on_in_tables(); })) {
  if (guard_ != nullptr) {
    reports_ = std::make_unique<ReportKeeper>(store_, in_tables(), guard_->reports);
  }
  if (!options_.plugins.empty()) {
    // Whatever holds a credit fits here, too.
    plugins_ = std::make_unique<PluginChain>(
        options_.plugins,
        static_cast<std::size_t>(options_.stored_under_way_max + options_.ephemeral_under_way_max),
        clock, [this](JudgedEvent&& event, Verdict&& verdict) {
          on_verdict(std::move(event), std::move(verdict));
        });
  }
  for (unsigned i = 0; i < options.verifier_threads; ++i) {
    metrics_.push_back(std::make_unique<VerifierMetrics>());
  }
  for (auto& metrics : metrics_) {
    threads_.emplace_back([this, &own = *metrics] {
      name_this_thread("verifier");
      (void)set_thread_slice(kSlice);
      run(own);
    });
  }
}

Ingest::~Ingest() {
  stop();
}

void Ingest::stop() {
  queue_.close();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  if (plugins_) plugins_->stop();
  writer_->stop();
  if (reports_) reports_->stop();
}

Offer Ingest::offer(UnverifiedEvent& event, SessionId origin, LoopVerifier* own,
                    std::shared_ptr<const EventSource> source) {
  const EventId& id = event.event().id;
  if (const auto settled = ids_.find_settled(id)) return Settled{*settled};
  Credits& credits = is_ephemeral(event.event()) ? ephemeral_ : stored_;
  if (&credits == &stored_) {
    // In this order: an event leaves the pending ones only after it is in the store.
    auto pending = ids_.find_pending(id);
    const bool is_copy = pending && (*pending)->sig == event.event().sig;
    if (is_copy) return queue_copy(std::move(*pending), origin);
    if (const auto known = store_.known(event.event())) return Settled{*known};
  }
  const std::int64_t units = credits_of(event.event());
  if (!credits.try_take(units)) return QueueFull{};
  Credit credit(credits, units);
  if (own == nullptr || !own->may_verify || verifying_.load() > 0) {
    verifying_.fetch_add(1);
    CHECK(queue_.push(Job{std::move(event), origin, std::move(credit), std::move(source)}));
    return Queued{};
  }
  own->may_verify = false;
  auto verified = VerifiedEvent::verify(std::move(event), own->verifier);
  own->metrics.verified.add();
  own->metrics.batches.add();
  if (!verified) {
    own->metrics.bad_signatures.add();
    return Forged{};
  }
  judge({std::move(*verified), origin, std::move(credit), std::move(source)});
  return Queued{};
}

Offer Ingest::queue_copy(VerifiedEvent event, SessionId origin) {
  const std::int64_t units = credits_of(event.event());
  if (!stored_.try_take(units)) return QueueFull{};
  write(std::move(event), token_of(origin, units));  // on_commit() takes them
  return Queued{true};
}

void Ingest::run(VerifierMetrics& metrics) {
  Verifier verifier;
  std::vector<UnverifiedEvent> events;
  WorkTurns turns(kWorkMax);
  while (auto jobs = queue_.wait_all(options_.verify_batch_max)) {
    turns.begin_piece();
    events.clear();
    for (Job& job : *jobs) events.push_back(std::move(job.event));
    std::vector<EventId> ids;
    ids.reserve(events.size());
    for (const auto& event : events) ids.push_back(event.event().id);
    const auto began = std::chrono::steady_clock::now();
    auto verified = VerifiedEvent::verify_all(events, verifier);
    metrics.busy_us.add(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                       std::chrono::steady_clock::now() - began)
                                       .count()));
    metrics.batches.add();
    metrics.verified.add(events.size());
    for (std::size_t i = 0; i < jobs->size(); ++i) {
      Job& job = (*jobs)[i];
      if (verified[i]) {
        judge({std::move(*verified[i]), job.origin, std::move(job.credit), std::move(job.source)});
      } else {
        metrics.bad_signatures.add();
        deliveries_.answer(
            {job.origin, ids[i], false, std::string(kWrongSignature), std::move(job.credit)});
      }
    }
    verifying_.fetch_sub(static_cast<std::int64_t>(jobs->size()));
    turns.end_piece(queue_.size() > 0);
  }
}

void Ingest::judge(JudgedEvent&& event) {
  const bool is_own = event.origin.loop == kOwnLoop;
  // Of a mirror come the events of many clients.
  if (guard_ != nullptr && event.origin.loop != kMirrorLoop && !is_own) {
    if (const auto refusal = guard_->refuse_verified(event.event.event())) {
      on_verdict(std::move(event), {PluginAction::Reject, std::string(message_of(*refusal))});
      return;
    }
  }
  if (plugins_ && !is_own && plugins_->judges(event.event.event())) {
    plugins_->judge(std::move(event));
  } else {
    pass_on(std::move(event.event), event.origin, std::move(event.credit));
  }
}

void Ingest::on_verdict(JudgedEvent&& event, Verdict&& verdict) {
  if (verdict.action == PluginAction::Accept) {
    pass_on(std::move(event.event), event.origin, std::move(event.credit));
    return;
  }
  const bool is_shown_as_taken = verdict.action == PluginAction::ShadowReject;
  deliveries_.answer({event.origin, event.event->id, is_shown_as_taken, std::move(verdict.message),
                      std::move(event.credit)});
}

void Ingest::pass_on(VerifiedEvent event, SessionId origin, Credit credit) {
  if (!is_ephemeral(event.event())) {
    ids_.add_pending(event);
    const std::int64_t units = credit.hand_over();
    write(std::move(event), token_of(origin, units));
    return;
  }
  if (!ids_.claim_ephemeral(event->id)) {
    deliveries_.answer({origin, event->id, is_accepted(PutResult::Duplicate),
                        std::string(ok_message(PutResult::Duplicate)), std::move(credit)});
    return;
  }
  auto loops = deliveries_.loops_that_want(event.event());
  const bool is_sent = cluster_ != nullptr && cluster_->publish_ephemeral(event);
  const bool is_heard = is_sent || !loops.empty();
  if (!is_heard) ids_.forget_ephemeral(event->id);  // before its author is told, and tries again
  if (std::ranges::find(loops, origin.loop) == loops.end()) loops.push_back(origin.loop);
  deliveries_.ephemeral(
      std::make_shared<Ephemeral>(std::move(event), origin, is_heard, std::move(credit)), loops);
}

// To the disk, at once or by way of the cluster.
void Ingest::write(VerifiedEvent event, const WriteToken& token) {
  if (cluster_ != nullptr) {
    cluster_->publish(std::move(event), token);
  } else {
    CHECK(writer_->submit({std::move(event), token}));
  }
}

void Ingest::apply_own(const VerifiedEvent& event, const WriteToken& token,
                       std::uint64_t stream_sequence) {
  CHECK(writer_->submit({event, token, stream_sequence}));
}

bool Ingest::apply_from_stream(const VerifiedEvent& event, std::uint64_t stream_sequence) {
  const std::int64_t units = credits_of(event.event(), kBytesAStreamCredit);
  if (!stream_.try_take(units)) return false;
  const WriteToken token{0, kStreamLoop, static_cast<std::uint32_t>(units)};
  CHECK(writer_->submit({event, token, stream_sequence}));
  return true;
}

void Ingest::answer_unwritten(const EventId& id, const WriteToken& token, bool accepted,
                              std::string message) {
  ids_.settle(id, PutResult::Failed);  // under way no more, and nothing that lasts
  deliveries_.answer({{token.loop, net::ConnectionId{token.session}},
                      id,
                      accepted,
                      std::move(message),
                      Credit(stored_, token.credits)});
}

bool Ingest::deliver_ephemeral(VerifiedEvent event) {
  if (!is_ephemeral(event.event()) || !ids_.claim_ephemeral(event->id)) return true;
  const auto loops = deliveries_.loops_that_want(event.event());
  const std::int64_t units = credits_of(event.event());
  const bool has_room = ephemeral_.try_take(units);
  Credit credit(ephemeral_, has_room ? units : 0);
  if (loops.empty() || !has_room) {
    ids_.forget_ephemeral(event->id);
    return has_room;
  }
  const SessionId origin{kStreamLoop, net::ConnectionId::None};
  deliveries_.ephemeral(
      std::make_shared<Ephemeral>(std::move(event), origin, true, std::move(credit)), loops);
  return true;
}

void Ingest::on_commit(CommittedBatch&& batch) {
  if (cluster_ != nullptr) cluster_->on_committed(batch);
  if (reports_) {
    for (const auto& stored : batch.events) reports_->on_stored(stored->event.event());
  }
  std::int64_t units = 0;
  for (const WriteOutcome& outcome : batch.outcomes) {
    if (batch.is_in_tables || !is_kept(outcome.result)) {
      ids_.settle(outcome.id, outcome.result);
    } else {
      in_log_.push_back(outcome);
    }
  }
  std::int64_t stream_units = 0;
  for (const WriteOutcome& outcome : batch.outcomes) {
    (outcome.token.loop == kStreamLoop ? stream_units : units) += outcome.token.credits;
  }
  auto committed = std::make_shared<Committed>();
  committed->batch = std::move(batch);
  committed->number = commits_announced_.load() + 1;
  committed->credit = Credit(stored_, units);
  committed->stream_credit = Credit(stream_, stream_units);
  commits_announced_.store(committed->number);
  deliveries_.committed(std::move(committed));
}

void Ingest::on_in_tables() {
  for (const WriteOutcome& outcome : in_log_) ids_.settle(outcome.id, outcome.result);
  in_log_.clear();
}

}  // namespace nostril::relay
