#include "relay/ingest.h"

#include "base/check.h"
#include "events/kinds.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace nostril::relay {

namespace {

WriterOptions with_queue(WriterOptions options, std::int64_t queue_max) {
  options.queue_events_max = static_cast<std::size_t>(queue_max);
  return options;
}

bool is_ephemeral(const Event& event) {
  return kind_class(event.kind) == KindClass::Ephemeral;
}

WriteToken token_of(SessionId origin) {
  return {static_cast<std::uint64_t>(origin.connection), origin.loop};
}

}  // namespace

Ingest::Ingest(Store& store, const Clock& clock, const IngestOptions& options,
               Deliveries& deliveries)
    : store_(store),
      options_(options),
      deliveries_(deliveries),
      stored_(options.stored_under_way_max),
      ephemeral_(options.ephemeral_under_way_max),
      // Whatever holds a credit fits: neither this queue nor the writer's can refuse.
      queue_(
          static_cast<std::size_t>(options.stored_under_way_max + options.ephemeral_under_way_max)),
      writer_(std::make_unique<StoreWriter>(
          store, clock, with_queue(options.writer, options.stored_under_way_max),
          [this](CommittedBatch&& batch) { on_commit(std::move(batch)); },
          [this] { on_in_tables(); })) {
  for (unsigned i = 0; i < options.verifier_threads; ++i) {
    metrics_.push_back(std::make_unique<VerifierMetrics>());
  }
  for (auto& metrics : metrics_) {
    threads_.emplace_back([this, &own = *metrics] { run(own); });
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
  writer_->stop();
}

Offer Ingest::offer(UnverifiedEvent& event, SessionId origin, LoopVerifier* own) {
  const EventId& id = event.event().id;
  if (const auto settled = ids_.find_settled(id)) return Settled{*settled};
  Credits& credits = is_ephemeral(event.event()) ? ephemeral_ : stored_;
  if (&credits == &stored_) {
    // In this order: an event leaves the pending ones only after it is in the store.
    if (auto pending = ids_.find_pending(id)) return queue_copy(std::move(*pending), origin);
    if (store_.has_id(id)) return Settled{PutResult::Duplicate};
  }
  if (!credits.try_take()) return QueueFull{};
  Credit credit(credits, 1);
  if (own == nullptr || !own->may_verify || verifying_.load() > 0) {
    verifying_.fetch_add(1);
    CHECK(queue_.push(Job{std::move(event), origin, std::move(credit)}));
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
  pass_on(std::move(*verified), origin, std::move(credit));
  return Queued{};
}

Offer Ingest::queue_copy(VerifiedEvent event, SessionId origin) {
  if (!stored_.try_take()) return QueueFull{};
  CHECK(writer_->submit({std::move(event), token_of(origin)}));  // on_commit() takes the credit
  return Queued{true};
}

void Ingest::run(VerifierMetrics& metrics) {
  Verifier verifier;
  std::vector<UnverifiedEvent> events;
  while (auto jobs = queue_.wait_all(options_.verify_batch_max)) {
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
        pass_on(std::move(*verified[i]), job.origin, std::move(job.credit));
      } else {
        metrics.bad_signatures.add();
        deliveries_.answer(
            {job.origin, ids[i], false, std::string(kWrongSignature), std::move(job.credit)});
      }
    }
    verifying_.fetch_sub(static_cast<std::int64_t>(jobs->size()));
  }
}

void Ingest::pass_on(VerifiedEvent event, SessionId origin, Credit credit) {
  if (!is_ephemeral(event.event())) {
    ids_.add_pending(event);
    credit.hand_over();
    CHECK(writer_->submit({std::move(event), token_of(origin)}));
    return;
  }
  if (!ids_.claim_ephemeral(event->id)) {
    deliveries_.answer({origin, event->id, is_accepted(PutResult::Duplicate),
                        std::string(ok_message(PutResult::Duplicate)), std::move(credit)});
    return;
  }
  auto loops = deliveries_.loops_that_want(event.event());
  const bool is_heard = !loops.empty();
  if (!is_heard) ids_.forget_ephemeral(event->id);  // before its author is told, and tries again
  if (std::ranges::find(loops, origin.loop) == loops.end()) loops.push_back(origin.loop);
  deliveries_.ephemeral(
      std::make_shared<Ephemeral>(std::move(event), origin, is_heard, std::move(credit)), loops);
}

void Ingest::on_commit(CommittedBatch&& batch) {
  if (batch.is_in_tables) {
    for (const WriteOutcome& outcome : batch.outcomes) ids_.settle(outcome.id, outcome.result);
  } else {
    in_log_.insert(in_log_.end(), batch.outcomes.begin(), batch.outcomes.end());
  }
  const auto count = static_cast<std::int64_t>(batch.outcomes.size());
  auto committed = std::make_shared<Committed>();
  committed->batch = std::move(batch);
  committed->number = commits_announced_.load() + 1;
  committed->credit = Credit(stored_, count);
  commits_announced_.store(committed->number);
  deliveries_.committed(std::move(committed));
}

void Ingest::on_in_tables() {
  for (const WriteOutcome& outcome : in_log_) ids_.settle(outcome.id, outcome.result);
  in_log_.clear();
}

}  // namespace nostril::relay
