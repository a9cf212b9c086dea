#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "relay/config.h"
#include "relay/deliveries.h"
#include "relay/guard.h"
#include "relay/heartbeat.h"
#include "relay/http_face.h"
#include "relay/ingest.h"
#include "relay/loop_worker.h"
#include "relay/query_pool.h"
#include "relay/store/store.h"
#include "relay/subscription_hash.h"
#include "relay/sync/mirror.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace nostril::relay {

/// The assembled relay: store, ingest, query workers, loops. Serves from start() to stop().
/// Threads: one controls it; metrics_text() from any while it lives.
class Relay final : public Deliveries {
 public:
  /// Opens the store and binds the port; throws std::runtime_error with one clear line.
  Relay(const RelayConfig& config, const Clock& clock, Rng& rng);
  ~Relay() override;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  Relay(Relay&&) = delete;
  Relay& operator=(Relay&&) = delete;

  void start();
  /// Stops reading, answers what is under way (on disk first), closes, ends all threads.
  void stop();

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
  const net::ListenConfig listen_;
  const std::uint32_t loop_count_;
  const SessionLimits session_limits_;
  const Admission admission_;
  const Authentication authentication_;
  const SubscriptionHash hash_;
  const HttpFace http_;
  Guard guard_;
  FileLock lock_;  // of the data directory: one process at a time
  std::unique_ptr<Store> store_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<QueryPool> queries_;
  Heartbeat heartbeat_;
  std::unique_ptr<LoopShared> shared_;
  std::vector<std::unique_ptr<LoopWorker>> loops_;
  std::unique_ptr<Mirror> mirror_;  // where there are any
  bool is_running_ = false;
};

}  // namespace nostril::relay
