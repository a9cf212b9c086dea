#include "relay/store/writer.h"

#include "base/thread_name.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

// Where readers want every single batch the log is written in vain; after that many it is tried
// again.
constexpr std::size_t kBatchesCommittedAtOnce = 8;

}  // namespace

StoreWriter::StoreWriter(Store& store, const Clock& clock, const WriterOptions& options,
                         CommitHandler on_commit, TablesHandler on_in_tables)
    : store_(store),
      clock_(clock),
      options_(options),
      on_commit_(std::move(on_commit)),
      on_in_tables_(std::move(on_in_tables)),
      queue_(options.queue_events_max),
      gate_([this] { queue_.nudge(); }),
      thread_([this] {
        name_this_thread("writer");
        run();
      }) {}

StoreWriter::~StoreWriter() {
  stop();
}

void StoreWriter::stop() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

void StoreWriter::run() {
  writes_.emplace(store_);  // its transactions are this thread's
  sweep_when_due();
  while (auto batch = queue_.wait_all_for(wait_max(), options_.batch_events_max)) {
    const bool was_idle = batch->empty();
    run_waiting_work();
    if (!was_idle) write(std::move(*batch));
    commit_when_due(was_idle);
    sweep_when_due();
  }
  {
    const std::lock_guard lock(work_mutex_);
    is_over_ = true;
  }
  run_waiting_work();
  commit_log();
  writes_.reset();
}

bool StoreWriter::run_between(std::function<void()> work) {
  std::packaged_task<void()> task(std::move(work));
  auto done = task.get_future();
  {
    const std::lock_guard lock(work_mutex_);
    if (is_over_) return false;
    waiting_work_.push_back(std::move(task));
  }
  queue_.nudge();
  done.wait();
  return true;
}

void StoreWriter::run_waiting_work() {
  std::vector<std::packaged_task<void()>> work;
  {
    const std::lock_guard lock(work_mutex_);
    work.swap(waiting_work_);
  }
  if (work.empty()) return;
  commit_log();
  for (auto& task : work) task();
}

std::chrono::milliseconds StoreWriter::wait_max() const {
  std::int64_t wait_ms = options_.sweep_interval_ms;
  if (writes_->batches_in_log() > 0) {
    wait_ms = std::clamp<std::int64_t>(log_due_ms_ - clock_.monotonic_ms(), 0, wait_ms);
  }
  return std::chrono::milliseconds(wait_ms);
}

void StoreWriter::write(std::vector<WriteRequest> batch) {
  std::vector<VerifiedEvent> events;
  events.reserve(batch.size());
  std::uint64_t stream_sequence = 0;
  for (auto& request : batch) {
    events.push_back(std::move(request.event));
    stream_sequence = std::max(stream_sequence, request.stream_sequence);
  }
  const std::size_t batches_before = writes_->batches_in_log();
  const auto began = std::chrono::steady_clock::now();
  const std::vector<PutResult> results = put(events, stream_sequence);
  busy_us_.add(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                              std::chrono::steady_clock::now() - began)
                                              .count()));

  CommittedBatch committed;
  committed.stream_sequence = stream_sequence;
  committed.outcomes.reserve(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const PutResult result = results[i];
    outcomes_[static_cast<std::size_t>(result)].add();
    committed.outcomes.push_back({batch[i].token, events[i]->id, result});
    if (result != PutResult::Stored) continue;
    committed.events.push_back(std::make_shared<const CommittedEvent>(std::move(events[i])));
  }
  batches_.add();
  count_put(committed, batches_before);
  on_commit_(std::move(committed));
}

std::vector<PutResult> StoreWriter::put(const std::vector<VerifiedEvent>& events,
                                        std::uint64_t stream_sequence) {
  if (!options_.refuses || std::ranges::none_of(events, [&](const VerifiedEvent& event) {
        return options_.refuses(event.event());
      })) {
    return put_all(events, stream_sequence);
  }
  // A ban has come while these were under way: rare.
  std::vector<PutResult> out(events.size(), PutResult::Blocked);
  std::vector<VerifiedEvent> wanted;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (options_.refuses(events[i].event())) continue;
    wanted.push_back(events[i]);
    places.push_back(i);
  }
  if (wanted.empty()) return out;
  const auto results = put_all(wanted, stream_sequence);
  for (std::size_t i = 0; i < places.size(); ++i) out[places[i]] = results[i];
  return out;
}

std::vector<PutResult> StoreWriter::put_all(const std::vector<VerifiedEvent>& events,
                                            std::uint64_t stream_sequence) {
  const bool may_log = events.size() < options_.logged_batch_events_max &&
                       batches_to_commit_ == 0 && !gate_.is_wanted();
  if (batches_to_commit_ > 0) --batches_to_commit_;
  auto results = writes_->put(events, clock_.unix_s(), may_log, stream_sequence);
  if (results) return std::move(*results);
  errors_.error(public_text(results.error().text));
  gate_.fail();
  return std::vector<PutResult>(events.size(), PutResult::Failed);
}

// Where the batch went, before anybody hears of it.
void StoreWriter::count_put(CommittedBatch& committed, std::size_t batches_before) {
  const std::size_t batches = writes_->batches_in_log();
  if (batches > batches_before) {
    if (batches_before == 0) log_due_ms_ = clock_.monotonic_ms() + options_.log_age_ms_max;
    logged_.add();
    gate_.acknowledge(committed.events, writes_->log_has_removed());
  }
  committed.is_in_tables = batches == 0;
  if (batches > 0) {
    events_in_log_ += committed.outcomes.size();
  } else if (batches_before > 0 && store_.is_writable()) {
    log_is_in_tables();
  }
}

void StoreWriter::commit_when_due(bool was_idle) {
  const std::size_t batches = writes_->batches_in_log();
  if (batches == 0) return;
  if (gate_.is_wanted() && batches == 1) batches_to_commit_ = kBatchesCommittedAtOnce;
  if (was_idle || gate_.is_wanted() || events_in_log_ >= options_.log_events_max ||
      clock_.monotonic_ms() >= log_due_ms_) {
    commit_log();
  }
}

void StoreWriter::commit_log() {
  if (writes_->batches_in_log() == 0) return;
  if (const auto committed = writes_->commit(); !committed) {
    errors_.error(public_text(committed.error().text));
    gate_.fail();
    return;
  }
  log_is_in_tables();
}

void StoreWriter::log_is_in_tables() {
  log_commits_.add();
  events_in_log_ = 0;
  if (on_in_tables_) on_in_tables_();
  gate_.commit();
}

void StoreWriter::sweep_when_due() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (now_ms < next_sweep_ms_ || !store_.is_writable()) return;
  commit_log();  // a thread has one transaction
  const auto swept = store_.sweep(clock_.unix_s(), options_.sweep_rows_max);
  if (!swept) {
    errors_.error(public_text(swept.error().text));
    return;
  }
  swept_.add(swept->removed);
  // What is left behind: after the next batch.
  next_sweep_ms_ = swept->is_behind ? now_ms : now_ms + options_.sweep_interval_ms;
}

}  // namespace nostril::relay
