#include "relay/store/writer.h"

#include "base/log.h"
#include "base/thread_name.h"
#include "base/thread_turns.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

// Everybody waits for it, and it mostly waits for the disk.
constexpr std::chrono::microseconds kSlice{100};

// Where readers want every single batch the log is written in vain; after that many it is tried
// again.
constexpr std::size_t kBatchesCommittedAtOnce = 8;
// While the disk is full: from one look for room to the next, and from one try to put into the
// tables what the log holds to the next.
constexpr std::int64_t kLookMs = 1'000;

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
        (void)set_thread_slice(kSlice);
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
    look_for_room();
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
  const auto until = [&](std::int64_t due_ms) {
    wait_ms = std::clamp<std::int64_t>(due_ms - clock_.monotonic_ms(), 0, wait_ms);
  };
  if (writes_->batches_in_log() > 0 && store_.is_writable()) until(log_due_ms_);
  if (disk_.is_full()) until(next_look_ms_);
  return std::chrono::milliseconds(wait_ms);
}

void StoreWriter::write(std::vector<WriteRequest> batch) {
  std::vector<VerifiedEvent> events;
  events.reserve(batch.size());
  std::uint64_t stream_first = 0;
  std::uint64_t stream_sequence = 0;
  for (auto& request : batch) {
    events.push_back(std::move(request.event));
    if (stream_first == 0) stream_first = request.stream_sequence;
    stream_sequence = std::max(stream_sequence, request.stream_sequence);
  }
  const std::size_t batches_before = writes_->batches_in_log();
  const auto began = std::chrono::steady_clock::now();
  const bool is_behind_gap = stream_lost_ != 0 && stream_first > stream_lost_;
  const std::vector<PutResult> results =
      is_behind_gap ? std::vector<PutResult>(events.size(), PutResult::DiskFull)
                    : put(events, stream_sequence);
  if (stream_first != 0 && !is_behind_gap) {
    stream_lost_ = std::ranges::all_of(results, is_kept) ? 0 : stream_first;
  }
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
  if (!disk_.may_try(clock_.monotonic_ms())) {
    return std::vector<PutResult>(events.size(), PutResult::DiskFull);
  }
  const bool may_log = events.size() < options_.logged_batch_events_max &&
                       batches_to_commit_ == 0 && !gate_.is_wanted();
  if (batches_to_commit_ > 0) --batches_to_commit_;
  auto results = writes_->put(events, clock_.unix_s(), may_log, stream_sequence);
  if (results) {
    if (std::ranges::count(*results, PutResult::Stored) > 0) found_room();
    return std::move(*results);
  }
  errors_.error(public_text(results.error().text));
  if (results.error().is_disk_full) {
    disk_.found_full(clock_.monotonic_ms());
    return std::vector<PutResult>(events.size(), PutResult::DiskFull);
  }
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
    events_in_log_ += committed.outcomes.size();
  }
  committed.is_in_tables = batches == 0;
  if (batches == 0 && batches_before > 0) log_is_in_tables();
}

void StoreWriter::commit_when_due(bool was_idle) {
  const std::size_t batches = writes_->batches_in_log();
  if (batches == 0 || !store_.is_writable()) return;
  if (gate_.is_wanted() && batches == 1) batches_to_commit_ = kBatchesCommittedAtOnce;
  if (is_log_due(was_idle)) commit_log();
}

bool StoreWriter::is_log_due(bool was_idle) const {
  if (clock_.monotonic_ms() >= log_due_ms_) return true;
  if (is_log_stuck_) return false;
  // On a full disk the room that was kept for them is there now.
  return was_idle || gate_.is_wanted() || disk_.is_full() ||
         events_in_log_ >= options_.log_events_max;
}

void StoreWriter::commit_log() {
  if (writes_->batches_in_log() == 0) return;
  if (const auto committed = writes_->commit(); !committed) {
    errors_.error(public_text(committed.error().text));
    is_log_stuck_ = true;
    log_due_ms_ = clock_.monotonic_ms() + kLookMs;
    gate_.fail();
    return;
  }
  log_is_in_tables();
}

void StoreWriter::log_is_in_tables() {
  log_commits_.add();
  events_in_log_ = 0;
  is_log_stuck_ = false;
  if (on_in_tables_) on_in_tables_();
  gate_.commit();
}

// By itself, so that who watches learns of it; and whoever writes tries now and then (FullDisk):
// there may be free pages within the file.
void StoreWriter::look_for_room() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (!disk_.is_full() || now_ms < next_look_ms_) return;
  next_look_ms_ = now_ms + kLookMs;
  if (writes_->batches_in_log() == 0 && store_.has_room()) found_room();
}

void StoreWriter::found_room() {
  if (disk_.found_room()) log(LogLevel::Info, "the disk has room again: events are stored");
}

void StoreWriter::sweep_when_due() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  if (now_ms < next_sweep_ms_ || !store_.is_writable()) return;
  commit_log();  // a thread has one transaction
  const auto swept = store_.sweep(clock_.unix_s(), options_.sweep_rows_max);
  if (!swept) {
    errors_.error(public_text(swept.error().text));
    next_sweep_ms_ = now_ms + options_.sweep_interval_ms;
    if (!swept.error().is_disk_full) gate_.fail();
    return;
  }
  swept_.add(swept->removed);
  // What is left behind: after the next batch.
  next_sweep_ms_ = swept->is_behind ? now_ms : now_ms + options_.sweep_interval_ms;
}

}  // namespace nostril::relay
