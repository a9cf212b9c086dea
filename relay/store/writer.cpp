#include "relay/store/writer.h"

#include "base/log.h"

#include <chrono>
#include <utility>

namespace nostril::relay {

StoreWriter::StoreWriter(Store& store, const Clock& clock, const WriterOptions& options,
                         CommitHandler on_commit)
    : store_(store),
      clock_(clock),
      options_(options),
      on_commit_(std::move(on_commit)),
      queue_(options.queue_events_max),
      thread_([this] { run(); }) {}

StoreWriter::~StoreWriter() {
  stop();
}

void StoreWriter::stop() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

void StoreWriter::run() {
  const std::chrono::milliseconds sweep_interval(options_.sweep_interval_ms);
  while (auto batch = queue_.wait_all_for(sweep_interval, options_.batch_events_max)) {
    if (!batch->empty()) write(std::move(*batch));
    sweep_when_due();
  }
}

void StoreWriter::write(std::vector<WriteRequest> batch) {
  std::vector<VerifiedEvent> events;
  events.reserve(batch.size());
  for (auto& request : batch) events.push_back(std::move(request.event));
  auto results = store_.put(events, clock_.unix_s());
  if (!results) {
    log(LogLevel::Error, "{}", results.error().text);
    results = std::vector<PutResult>(events.size(), PutResult::Failed);
  }

  CommittedBatch committed;
  committed.outcomes.reserve(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const PutResult result = (*results)[i];
    outcomes_[static_cast<std::size_t>(result)].add();
    committed.outcomes.push_back({batch[i].token, events[i]->id, result});
    if (result != PutResult::Stored) continue;
    committed.events.push_back(std::make_shared<const CommittedEvent>(std::move(events[i])));
  }
  batches_.add();
  on_commit_(std::move(committed));
}

void StoreWriter::sweep_when_due() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (now_ms < next_sweep_ms_ || !store_.is_writable()) return;
  const auto swept = store_.sweep_expired(clock_.unix_s(), options_.sweep_rows_max);
  if (!swept) {
    log(LogLevel::Error, "{}", swept.error().text);
    return;
  }
  swept_.add(*swept);
  // A full sweep has left some behind: go on after the next batch.
  const bool is_behind = *swept == options_.sweep_rows_max;
  next_sweep_ms_ = is_behind ? now_ms : now_ms + options_.sweep_interval_ms;
}

}  // namespace nostril::relay
