#pragma once

#include "base/lmdb.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/result.h"
#include "events/event.h"
#include "relay/store/writer.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace nostril::relay {

enum class OutboxResult : std::uint8_t {
  Kept,       ///< on the disk
  Duplicate,  ///< it was there already: on the disk as well
  Full,
  Failed  ///< the disk; the outbox takes nothing more until it is opened anew
};

/// OK's third and fourth member.
[[nodiscard]] bool is_accepted(OutboxResult result);
[[nodiscard]] std::string_view ok_message(OutboxResult result);

struct OutboxOutcome {
  WriteToken token;
  EventId id;
  OutboxResult result = OutboxResult::Failed;
};

struct OutboxOptions {
  std::size_t events_max = 100'000;  ///< kept; of the size that the relay takes, on the disk only
  std::size_t queue_max = 4'096;     ///< that wait for the disk
  std::size_t batch_max = 512;       ///< that share a sync
};

/// An event that waits for the cluster.
struct OutboxEntry {
  std::uint64_t number = 0;  ///< in the order in which they came, never used again
  EventId id;
  std::string json;
};

/// Events that were acknowledged while the cluster was away: on this relay's disk, in the order in
/// which they came, until the cluster's stream has them. An LMDB environment of its own. One table,
/// "events":
///
///   key    8 bytes number, big-endian
///   value  32 bytes id, then the event as JSON
///
/// One thread commits for all who wait: a sync a batch. Entries that were sent() go with a later
/// commit; after a crash some are sent again, which the stream's ids and the stores make harmless.
/// Memory: about 60 bytes an event. Threads: any; the handler is called on the outbox's own, and
/// must be quick.
class Outbox {
 public:
  using KeptHandler = std::function<void(std::vector<OutboxOutcome>&&)>;

  /// Opens or creates `folder`. The error is one clear line.
  [[nodiscard]] static Result<std::unique_ptr<Outbox>, std::string> open(
      const std::filesystem::path& folder, const OutboxOptions& options, KeptHandler on_kept);
  /// stop().
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  Outbox(Outbox&&) = delete;
  Outbox& operator=(Outbox&&) = delete;

  /// True: the handler will say what became of it. False: too many wait, or it has stopped.
  [[nodiscard]] bool submit(VerifiedEvent event, const WriteToken& token) {
    return queue_.push(Keep{std::move(event), token});
  }

  /// What comes after `number` (0: from the beginning), oldest first: `count_max` entries, of
  /// `bytes_max` together or one.
  [[nodiscard]] std::vector<OutboxEntry> after(std::uint64_t number, std::size_t count_max,
                                               std::size_t bytes_max);

  /// The stream has it, or will never take it. It counts no longer from now on.
  void sent(std::uint64_t number, const EventId& id);

  /// Not sent yet, those on their way to the disk included.
  [[nodiscard]] std::size_t size() const;

  [[nodiscard]] std::uint64_t commits() const { return commits_.read(); }

  [[nodiscard]] bool is_healthy() const { return !failed_.load(); }

  /// Why it takes nothing more; empty: it does.
  [[nodiscard]] std::string problem() const;

  /// Writes what waits, then ends the thread.
  void stop();

 private:
  struct Keep {
    VerifiedEvent event;
    WriteToken token;
  };

  using Row = std::pair<std::uint64_t, Bytes>;

  Outbox(std::unique_ptr<lmdb::Env> env, lmdb::Dbi table, const OutboxOptions& options,
         KeptHandler on_kept);

  [[nodiscard]] Result<void, std::string> load();
  void run();
  void write(std::vector<Keep>&& wanted);
  [[nodiscard]] OutboxResult judge(const EventId& id);
  [[nodiscard]] bool commit(std::span<const Row> rows, std::span<const std::uint64_t> gone);
  [[nodiscard]] Result<void, lmdb::Error> write_rows(std::span<const Row> rows,
                                                     std::span<const std::uint64_t> gone);
  void fail(const std::string& why);

  // Constant after construction.
  std::unique_ptr<lmdb::Env> env_;
  const lmdb::Dbi table_;
  const OutboxOptions options_;
  const KeptHandler on_kept_;

  std::atomic<bool> failed_{false};
  Counter commits_;
  std::uint64_t last_number_ = 0;  // the thread's
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::unordered_set<EventId, FixedBytesHash> ids_;  // on the disk and not sent, or on their way
  std::vector<std::uint64_t> sent_;                  // for the next commit
  std::string problem_;

  Mailbox<Keep> queue_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
