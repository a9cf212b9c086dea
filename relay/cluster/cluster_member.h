#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "relay/cluster/cluster.h"
#include "relay/cluster/codec.h"
#include "relay/cluster/control_desk.h"
#include "relay/cluster/decision_log.h"
#include "relay/cluster/outbox.h"
#include "relay/cluster/repair.h"
#include "relay/cluster/snapshot_desk.h"
#include "relay/cluster/snapshot_fetch.h"
#include "relay/moderation.h"
#include "relay/service_gate.h"
#include "relay/store/store.h"
#include "relay/store/writer.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace nostril::relay {

/// What it borrows of the relay; all of it outlives it.
struct ClusterMemberParts {
  Cluster& cluster;
  DecisionLog& decisions;
  Store& store;
  StoreWriter& writer;
  Moderation& moderation;
  ServiceGate& gate;
  const Clock& clock;
  std::filesystem::path data;
  std::function<std::string()> rules;            ///< digest of what relays should have in common
  std::function<std::uint64_t()> connections;    ///< open now
  std::function<std::uint64_t()> outbox_events;  ///< that wait for the cluster
};

/// What a relay of a cluster does beside events: it gives snapshots and fetches one, tells its
/// operator how it is, and leaves. Cluster (cluster.h) does the events. Threads: start() and stop()
/// from one, the rest from any.
class ClusterMember {
 public:
  /// What it asks of the program around it (serving.h), which looks once a second.
  enum class Wish : std::uint8_t {
    None,
    Renew,  ///< a snapshot is ready, or the disk may be in order again: start anew, in this process
    Leave   ///< drained: stop, and end
  };

  /// A relay that drains says so to balancers for so long before it sends its clients away.
  static constexpr std::int64_t kNoticeMs = 5'000;

  explicit ClusterMember(ClusterMemberParts parts);
  ~ClusterMember();
  ClusterMember(const ClusterMember&) = delete;
  ClusterMember& operator=(const ClusterMember&) = delete;
  ClusterMember(ClusterMember&&) = delete;
  ClusterMember& operator=(ClusterMember&&) = delete;

  /// With what the operator has asked for before a restart.
  void start();
  /// Before the writer and the cluster stop.
  void stop();

  /// Begins, if it has not; never waits.
  void fetch_snapshot();
  /// Another relay has events and would give them. Waits for an answer, a second at most.
  [[nodiscard]] bool is_snapshot_offered();

  [[nodiscard]] Wish wish() const;
  [[nodiscard]] RelayStatus status() const;

  // As the operator asks for them.
  [[nodiscard]] Result<void, std::string> drain();
  [[nodiscard]] Result<void, std::string> resnapshot();

  [[nodiscard]] const SnapshotDesk& snapshots() const { return snapshots_; }

  [[nodiscard]] Repair& repair() { return repair_; }

  /// Messages of others that mean nothing.
  [[nodiscard]] std::uint64_t malformed() const {
    return snapshots_.malformed() + control_.malformed() + repair_.malformed();
  }

  /// Of the snapshot that is being fetched; zeros where none is.
  [[nodiscard]] SnapshotProgress fetched() const;

 private:
  [[nodiscard]] bool is_fetching() const;

  const ClusterMemberParts parts_;
  const std::int64_t started_at_ms_;
  SnapshotDesk snapshots_;
  ControlDesk control_;
  Repair repair_;
  std::atomic<bool> is_renewing_{false};
  std::atomic<std::int64_t> draining_since_ms_{0};  // monotonic; 0: it does not drain
  mutable std::mutex mutex_;
  bool is_stopped_ = true;                // guarded by mutex_
  std::unique_ptr<SnapshotFetch> fetch_;  // likewise
};

}  // namespace nostril::relay
