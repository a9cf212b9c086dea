#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "relay/admin_desk.h"
#include "relay/cluster/cluster.h"
#include "relay/cluster/cluster_member.h"
#include "relay/cluster/codec.h"
#include "relay/cluster/decision_log.h"
#include "relay/config.h"
#include "relay/deliveries.h"
#include "relay/guard.h"
#include "relay/heartbeat.h"
#include "relay/ingest.h"
#include "relay/live_settings.h"
#include "relay/loop_worker.h"
#include "relay/moderation.h"
#include "relay/query_pool.h"
#include "relay/service_gate.h"
#include "relay/store/store.h"
#include "relay/subscription_hash.h"
#include "relay/sync/mirror.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

/// The assembled relay: store, ingest, query workers, loops. Serves from start() to stop().
/// Threads: one controls it; metrics_text() from any while it lives.
class Relay final : public Deliveries, private ManagedRelay, private ClusterHost {
 public:
  /// Opens the store and binds the port; throws std::runtime_error with one clear line. `sockets`:
  /// those that listen already (net/inherited_sockets.h); not empty: no port is bound.
  Relay(const RelayConfig& config, const Clock& clock, Rng& rng,
        const std::vector<UniqueFd>& sockets = {});
  ~Relay() override;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  Relay(Relay&&) = delete;
  Relay& operator=(Relay&&) = delete;

  void start();
  /// Stops reading, answers what is under way (on disk first), closes, ends all threads.
  void stop();
  /// The same, and tells clients to come again at once. The listening sockets, in which those wait
  /// that come meanwhile.
  [[nodiscard]] std::vector<UniqueFd> stop_for_restart();

  /// Goes by this from now on: as it holds, all of it may change (plan_reload()). The files of the
  /// certificate are read again. Throws ConfigError or std::runtime_error, and nothing has changed.
  /// Threads: the one that controls it.
  void reconfigure(const RelayConfig& wanted);

  /// What it wants of the one that controls it, e.g. because an operator of its cluster has asked.
  [[nodiscard]] ClusterMember::Wish wish() const {
    return member_ ? member_->wish() : ClusterMember::Wish::None;
  }

  /// For the one that controls it.
  [[nodiscard]] OperatorMetrics& operator_metrics() { return operator_metrics_; }

  [[nodiscard]] std::uint16_t port() const;
  /// ws://HOST:PORT, or wss:// with a certificate
  [[nodiscard]] std::string listen_url() const;
  [[nodiscard]] std::string metrics_text() const;

  // Deliveries, for its own threads.
  void committed(std::shared_ptr<const Committed> committed) override;
  [[nodiscard]] std::vector<std::uint32_t> loops_that_want(const Event& event) override;
  void ephemeral(std::shared_ptr<const Ephemeral> ephemeral,
                 std::span<const std::uint32_t> loops) override;
  void answer(Answer&& answer) override;

 private:
  // ManagedRelay, for the desk's thread.
  [[nodiscard]] Result<void, std::string> change_lists(
      std::span<const ModerationChange> changes) override;
  [[nodiscard]] Result<std::size_t, std::string> erase_events(const Filter& filter) override;
  [[nodiscard]] Result<std::vector<Event>, std::string> find_events(const Filter& filter,
                                                                    std::size_t count_max) override;
  [[nodiscard]] std::string figures_json() override;
  [[nodiscard]] std::string settings_json() override;
  [[nodiscard]] RelayConfig present_config() override;

  // ClusterHost, for the cluster's thread.
  [[nodiscard]] Applied apply_moderation(std::string_view body, Decided decided,
                                         std::string& why) override;
  [[nodiscard]] bool fetch_snapshot(const std::string& why) override;
  [[nodiscard]] bool is_snapshot_offered() override;
  void publish_again(const std::vector<EventId>& ids) override;
  void caught_up() override;

  [[nodiscard]] Result<void, std::string> decide(ModerationMessage message);
  void use_lists();
  [[nodiscard]] ClusterMemberParts member_parts();
  [[nodiscard]] std::uint64_t open_connections() const;
  [[nodiscard]] Admission admission();
  std::vector<EventId> announce_members();
  void await_stored(std::vector<EventId> ids);
  [[nodiscard]] LiveSettings settings_of(const RelayConfig& config);
  void keep_address(const RelayConfig& config);
  void give_to_loops(const std::shared_ptr<const LiveSettings>& settings);
  void end(bool for_restart);

  const net::ListenConfig listen_;
  const std::uint32_t loop_count_;
  const Clock& clock_;
  const std::int64_t started_at_s_;
  const SubscriptionHash hash_;
  Guard guard_;
  FileLock lock_;  // of the data directory: one process at a time
  std::unique_ptr<Store> store_;
  UsedRequests used_requests_;  // before the lists: it looks whether there are any
  std::unique_ptr<Moderation> moderation_;
  std::unique_ptr<Membership> membership_;  // where there are members
  std::mutex change_mutex_;                 // one change of what the loops go by at a time
  std::mutex config_mutex_;
  RelayConfig config_;                             // guarded by config_mutex_
  Admission admission_{AdmissionRules()};          // likewise
  TopTalkers<PublicKey, FixedBytesHash> authors_;  // of stored events
  std::unique_ptr<Ingest> ingest_;
  ServiceGate gate_;
  std::unique_ptr<DecisionLog> decisions_;  // where there is a cluster
  std::unique_ptr<Cluster> cluster_;        // where there is one
  std::unique_ptr<ClusterMember> member_;   // of it
  std::atomic<std::size_t> erased_by_decision_{0};
  std::unique_ptr<QueryPool> queries_;
  Heartbeat heartbeat_;
  std::unique_ptr<AdminDesk> admin_;
  std::unique_ptr<LoopShared> shared_;
  std::vector<std::unique_ptr<LoopWorker>> loops_;
  std::unique_ptr<Mirror> mirror_;  // where there are any
  OperatorMetrics operator_metrics_;
  std::vector<UniqueFd> listening_;  // the loops' sockets once more
  std::atomic<bool> is_running_{false};
};

}  // namespace nostril::relay
