#pragma once

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "events/event.h"
#include "relay/event_text.h"
#include "relay/store/store.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::relay {

/// Who waits for the answer; the writer only hands it back.
struct WriteToken {
  std::uint64_t session = 0;
  std::uint32_t loop = 0;
};

struct WriteRequest {
  VerifiedEvent event;
  WriteToken token;
};

/// An event that is on disk, with its JSON text made once for all who get it.
struct CommittedEvent {
  explicit CommittedEvent(VerifiedEvent committed) : event(std::move(committed)) {}

  [[nodiscard]] const std::shared_ptr<const std::string>& json() const {
    return text.of(event.event());
  }

  const VerifiedEvent event;
  const EventText text;
};

struct WriteOutcome {
  WriteToken token;
  EventId id;
  PutResult result = PutResult::Failed;
};

/// One transaction's worth. Outcomes in the order of submission; events are the Stored ones of
/// them, in the same order.
struct CommittedBatch {
  std::vector<std::shared_ptr<const CommittedEvent>> events;
  std::vector<WriteOutcome> outcomes;
};

struct WriterOptions {
  std::size_t queue_events_max = 4096;      ///< waiting; at most 128 KiB each, 600 bytes on average
  std::size_t batch_events_max = 512;       ///< a transaction; more gains nothing measurable
  std::uint32_t sweep_interval_ms = 10000;  ///< between looks for expired events
  std::size_t sweep_rows_max = 512;         ///< removed a look; the rest waits for the next batch
};

/// Group-commits events: one LMDB write transaction a batch, so that its fsync is shared by all who
/// wait. While one batch is being written the next gathers.
///
/// Threads: submit() and the counters from any; `on_commit` is called on the writer thread, after
/// the commit is on disk; it must be quick and must not throw.
/// After a failed commit the writer answers all work with PutResult::Failed.
class StoreWriter {
 public:
  using CommitHandler = std::function<void(CommittedBatch&&)>;

  /// Starts the thread. `store` and `clock` outlive the writer.
  StoreWriter(Store& store, const Clock& clock, const WriterOptions& options,
              CommitHandler on_commit);
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

  [[nodiscard]] bool is_healthy() const { return store_.is_writable(); }

  [[nodiscard]] std::uint64_t batches() const { return batches_.read(); }

  [[nodiscard]] std::uint64_t swept() const { return swept_.read(); }

  [[nodiscard]] std::uint64_t outcomes(PutResult result) const {
    return outcomes_[static_cast<std::size_t>(result)].read();
  }

 private:
  void run();
  void write(std::vector<WriteRequest> batch);
  void sweep_when_due();

  // Constant after construction.
  Store& store_;
  const Clock& clock_;
  const WriterOptions options_;
  const CommitHandler on_commit_;

  Mailbox<WriteRequest> queue_;
  Counter batches_;
  Counter swept_;
  std::array<Counter, kPutResultCount> outcomes_;
  // Owned by the writer thread.
  std::int64_t next_sweep_ms_ = 0;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
