#pragma once

#include "base/clock.h"
#include "base/in_turns.h"
#include "base/log_seldom.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "events/event.h"
#include "relay/store/commit_gate.h"
#include "relay/store/full_disk.h"
#include "relay/store/logged_writes.h"
#include "relay/store/store.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::relay {

/// Who waits for the answer; the writer only hands it back.
struct WriteToken {
  std::uint64_t session = 0;
  std::uint32_t loop = 0;
  std::uint32_t credits = 1;  ///< units that the event holds
};

struct WriteRequest {
  VerifiedEvent event;
  WriteToken token;
  /// Where it stands in the cluster's stream; 0: it is of none. Submitted in that order.
  std::uint64_t stream_sequence = 0;
};

struct WriteOutcome {
  WriteToken token;
  EventId id;
  PutResult result = PutResult::Failed;
};

/// What became durable together. Outcomes in the order of submission; events are the Stored ones of
/// them, in the same order.
struct CommittedBatch {
  std::vector<std::shared_ptr<const CommittedEvent>> events;
  std::vector<WriteOutcome> outcomes;
  /// Read transactions that begin from now on see it. False: only once the writer says so.
  bool is_in_tables = true;
  /// The last of the cluster's stream that was in it; 0: none was.
  std::uint64_t stream_sequence = 0;
};

struct WriterOptions {
  std::size_t queue_events_max = 4096;  ///< waiting; 600 bytes on average
  /// At a time. Those who publish wait for all of a batch; a relay of a cluster takes more, see
  /// relay.cpp: the fewer transactions, the fewer pages of a large store are copied for an event.
  std::size_t batch_events_max = 512;
  /// A larger batch goes into the tables at once: their pages then cost an event no more.
  std::size_t logged_batch_events_max = 64;
  std::size_t log_events_max = 512;     ///< in the log only; then they go into the tables
  std::uint32_t log_age_ms_max = 1000;  ///< of the oldest of them; other processes wait that long
  std::uint32_t sweep_interval_ms = 10000;  ///< between looks for expired events
  std::size_t sweep_rows_max = 512;         ///< removed a look; the rest waits for the next batch
  /// Asked on the writer thread right before an event would be written; true: PutResult::Blocked.
  std::function<bool(const Event&)> refuses = {};
};

/// Makes events durable in batches, so that one sync is shared by all who wait; while one batch is
/// being written the next gathers. A small batch goes to the store's log, a large one into the
/// tables, with all that is in the log only. That goes there too when it is old or much, and when
/// somebody wants to read it: in_tables().
///
/// Threads: submit(), in_tables() and the counters from any; the handlers are called on the writer
/// thread, which may hold a transaction: they must be quick, must not throw and must not use the
/// store. After a failed write the writer answers all work with PutResult::Failed. While the disk
/// is full it answers PutResult::DiskFull, and goes on by itself once there is room (FullDisk).
class StoreWriter {
 public:
  /// Called when a batch is on disk.
  using CommitHandler = std::function<void(CommittedBatch&&)>;
  /// Called when all that CommitHandler was given is in the tables, and was not before.
  using TablesHandler = std::function<void()>;

  /// Starts the thread. `store` and `clock` outlive the writer.
  StoreWriter(Store& store, const Clock& clock, const WriterOptions& options,
              CommitHandler on_commit, TablesHandler on_in_tables = {});
  /// Writes what is queued, then stops.
  ~StoreWriter();
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;
  StoreWriter(StoreWriter&&) = delete;
  StoreWriter& operator=(StoreWriter&&) = delete;

  /// False when the queue is full or stopping: stop reading that peer and try again later.
  [[nodiscard]] bool submit(WriteRequest&& request) { return queue_.push(std::move(request)); }

  [[nodiscard]] std::size_t queued() const { return queue_.size(); }

  /// Writes what is queued, then ends the thread; submit() fails from now on.
  void stop();

  /// Runs `work` on the writer thread, between two batches: no transaction is open, the tables have
  /// all that was acknowledged, and what has not been written yet asks `refuses` after it. Waits
  /// for its end; never from the writer's own handlers. False: the writer has stopped.
  bool run_between(std::function<void()> work);

  /// What readers ask.
  [[nodiscard]] CommitGate& in_tables() { return gate_; }

  /// Takes events.
  [[nodiscard]] bool is_healthy() const { return store_.is_writable() && !disk_.is_full(); }

  [[nodiscard]] std::uint64_t batches() const { return batches_.read(); }

  /// Of the batches, those that went to the log; and how often the tables took what was there.
  [[nodiscard]] std::uint64_t logged() const { return logged_.read(); }

  [[nodiscard]] std::uint64_t log_commits() const { return log_commits_.read(); }

  /// Spent with writing batches, syncs included.
  [[nodiscard]] std::uint64_t busy_us() const { return busy_us_.read(); }

  [[nodiscard]] std::uint64_t swept() const { return swept_.read(); }

  [[nodiscard]] std::uint64_t outcomes(PutResult result) const {
    return outcomes_[static_cast<std::size_t>(result)].read();
  }

 private:
  void run();
  void run_waiting_work();
  [[nodiscard]] std::chrono::milliseconds wait_max() const;
  void write(std::vector<WriteRequest> batch);
  [[nodiscard]] std::vector<PutResult> put(const std::vector<VerifiedEvent>& events,
                                           std::uint64_t stream_sequence);
  [[nodiscard]] std::vector<PutResult> put_all(const std::vector<VerifiedEvent>& events,
                                               std::uint64_t stream_sequence);
  void count_put(CommittedBatch& committed, std::size_t batches_before);
  void commit_when_due(bool was_idle);
  [[nodiscard]] bool is_log_due(bool was_idle) const;
  void commit_log();
  void log_is_in_tables();
  void look_for_room();
  void found_room();
  void sweep_when_due();

  // Constant after construction.
  Store& store_;
  const Clock& clock_;
  const WriterOptions options_;
  const CommitHandler on_commit_;
  const TablesHandler on_in_tables_;

  // No publisher waits for all that another has sent. But a cluster's stream keeps its order,
  // whoever published: its position says that all before it is stored.
  struct PublisherOf {
    std::uint64_t operator()(const WriteRequest& request) const {
      if (request.stream_sequence != 0) return UINT64_MAX;
      return request.token.session + (std::uint64_t{request.token.loop} << 48U);
    }
  };

  Mailbox<WriteRequest, InTurns<WriteRequest, PublisherOf>> queue_;
  CommitGate gate_;
  Counter batches_;
  Counter logged_;
  Counter log_commits_;
  Counter swept_;
  SeldomLog errors_;
  Counter busy_us_;
  std::array<Counter, kPutResultCount> outcomes_;
  // Owned by the writer thread.
  std::optional<LoggedWrites> writes_;  // while the thread runs
  FullDisk disk_;
  // A stream is stored without a gap: after a batch of it that was lost none of it is taken, until
  // the first that was lost comes again. 0: none was.
  std::uint64_t stream_lost_ = 0;
  std::int64_t next_look_ms_ = 0;  // for room, while the disk is full
  std::size_t events_in_log_ = 0;
  bool is_log_stuck_ = false;          // the tables could not take it when last tried
  std::int64_t log_due_ms_ = 0;        // when there are any
  std::size_t batches_to_commit_ = 0;  // at once: readers want each of them
  std::int64_t next_sweep_ms_ = 0;
  std::mutex work_mutex_;
  // Guarded by work_mutex_.
  std::vector<std::packaged_task<void()>> waiting_work_;
  bool is_over_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
