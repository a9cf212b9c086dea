#include "relay/ingest.h"

#include "base/check.h"
#include "events/kinds.h"

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
          [this](CommittedBatch&& batch) { on_commit(std::move(batch)); })) {
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

Offer Ingest::offer(UnverifiedEvent& event, SessionId origin) {
  const EventId& id = event.event().id;
  if (const auto settled = ids_.find_settled(id)) return Settled{*settled};
  Credits& credits = is_ephemeral(event.event()) ? ephemeral_ : stored_;
  if (&credits == &stored_) {
    // In this order: an event leaves the pending ones only after it is in the store.
    if (auto pending = ids_.find_pending(id)) return queue_copy(std::move(*pending), origin);
    if (store_.has_id(id)) return Settled{PutResult::Duplicate};
  }
  if (!credits.try_take()) return QueueFull{};
  CHECK(queue_.push(Job{std::move(event), origin, Credit(credits, 1)}));
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
    auto verified = VerifiedEvent::verify_all(events, verifier);
    metrics.batches.add();
    metrics.verified.add(events.size());
    for (std::size_t i = 0; i < jobs->size(); ++i) {
      Job& job = (*jobs)[i];
      if (verified[i]) {
        pass_on(std::move(*verified[i]), std::move(job));
      } else {
        metrics.bad_signatures.add();
        deliveries_.answer(
            {job.origin, ids[i], false, "invalid: wrong signature", std::move(job.credit)});
      }
    }
  }
}

void Ingest::pass_on(VerifiedEvent event, Job job) {
  if (!is_ephemeral(event.event())) {
    ids_.add_pending(event);
    job.credit.hand_over();
    CHECK(writer_->submit({std::move(event), token_of(job.origin)}));
    return;
  }
  if (!ids_.claim_ephemeral(event->id)) {
    deliveries_.answer({job.origin, event->id, is_accepted(PutResult::Duplicate),
                        std::string(ok_message(PutResult::Duplicate)), std::move(job.credit)});
    return;
  }
  auto json = std::make_shared<const std::string>(to_json(event.event()));
  deliveries_.ephemeral(std::make_shared<Ephemeral>(std::move(event), std::move(json), job.origin,
                                                    std::move(job.credit),
                                                    deliveries_.loop_count()));
}

bool Ingest::finish(const Ephemeral& ephemeral) {
  if (ephemeral.matched.load() > 0) return true;
  ids_.forget_ephemeral(ephemeral.event->id);
  return false;
}

void Ingest::on_commit(CommittedBatch&& batch) {
  for (const WriteOutcome& outcome : batch.outcomes) ids_.settle(outcome.id, outcome.result);
  const auto count = static_cast<std::int64_t>(batch.outcomes.size());
  auto committed = std::make_shared<Committed>();
  committed->batch = std::move(batch);
  committed->number = commits_announced_.load() + 1;
  committed->credit = Credit(stored_, count);
  commits_announced_.store(committed->number);
  deliveries_.committed(std::move(committed));
}

}  // namespace nostril::relay
