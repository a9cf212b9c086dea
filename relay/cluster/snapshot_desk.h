#pragma once

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "relay/cluster/bus.h"
#include "relay/cluster/codec.h"
#include "relay/cluster/snapshot_files.h"
#include "relay/cluster/subjects.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nostril::relay {

/// What a desk needs of the relay around it. All of it outlives the desk; the functions are called
/// on its threads.
struct SnapshotDeskParts {
  Bus& bus;
  const ClusterSubjects& subjects;
  Snapshot::Source source;
  std::filesystem::path data;
  const Clock& clock;
  /// Whether this relay has all of the stream: only then it offers what it has.
  std::function<bool()> may_give;
  /// The first message that is still in the stream: a snapshot that ends before it is of no use.
  std::function<std::uint64_t()> stream_first;
};

/// Gives other relays snapshots: answers on NAME.snap and NAME.snap.RELAY (codec.h). One copy at a
/// time, made when somebody asks, given to all who ask meanwhile, removed some minutes after the
/// last piece of it went out. What comes too fast is left unanswered: who fetches asks again.
/// Threads: two of its own, one that answers and one that copies; start() and stop() from one, the
/// counters from any.
class SnapshotDesk {
 public:
  static constexpr std::int64_t kKeptMs = 600'000;   ///< after the last question about it
  static constexpr std::int64_t kFreshMs = 600'000;  ///< older ones are made anew
  static constexpr std::size_t kQueueMax = 256;      ///< questions; a few hundred bytes each

  explicit SnapshotDesk(SnapshotDeskParts parts);
  ~SnapshotDesk();
  SnapshotDesk(const SnapshotDesk&) = delete;
  SnapshotDesk& operator=(const SnapshotDesk&) = delete;
  SnapshotDesk(SnapshotDesk&&) = delete;
  SnapshotDesk& operator=(SnapshotDesk&&) = delete;

  void start();
  /// Gives up a copy that is being made. Before the writer stops.
  void stop();

  [[nodiscard]] std::uint64_t made() const { return made_.read(); }

  [[nodiscard]] std::uint64_t chunks_given() const { return chunks_given_.read(); }

  /// Questions that could not be read.
  [[nodiscard]] std::uint64_t malformed() const { return malformed_.read(); }

 private:
  void run();
  void answer(const BusMessage& message);
  [[nodiscard]] std::optional<std::string> answer_to(const SnapshotWho& who);
  [[nodiscard]] std::optional<std::string> answer_to(const SnapshotOpen& open);
  [[nodiscard]] std::optional<std::string> answer_to(const SnapshotPiece& piece);
  [[nodiscard]] bool is_fresh(const SnapshotHeader& header) const;
  void begin_copy();
  void copy();
  void drop_when_idle();

  const SnapshotDeskParts parts_;
  Counter made_;
  Counter chunks_given_;
  Counter malformed_;
  std::vector<Bus::SubscriptionId> subscriptions_;
  std::atomic<std::uint64_t> rows_{0};  // of the copy that is being made
  std::atomic<bool> is_stopping_{false};
  // The answering thread's.
  std::int64_t used_at_ms_ = 0;
  std::thread copying_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const Snapshot> snapshot_;
  bool is_copying_ = false;
  std::string problem_;  // of the last copy; told once

  Mailbox<BusMessage> queue_{kQueueMax};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
