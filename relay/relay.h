#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "relay/config.h"
#include "relay/deliveries.h"
#include "relay/http_face.h"
#include "relay/ingest.h"
#include "relay/loop_worker.h"
#include "relay/query_pool.h"
#include "relay/store/store.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nostril::relay {

/// One process a data directory: holds DIR/relay.lock (flock) while it lives.
class DataLock {
 public:
  /// Makes the directory when missing. Throws std::runtime_error that says what to do.
  explicit DataLock(const std::string& directory);
  ~DataLock();
  DataLock(const DataLock&) = delete;
  DataLock& operator=(const DataLock&) = delete;
  DataLock(DataLock&&) = delete;
  DataLock& operator=(DataLock&&) = delete;

 private:
  int fd_ = -1;
};

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
  void ephemeral(std::shared_ptr<Ephemeral> ephemeral) override;
  void answer(Answer&& answer) override;

  [[nodiscard]] std::uint32_t loop_count() const override { return loop_count_; }

 private:
  const net::ListenConfig listen_;
  const std::uint32_t loop_count_;
  const SessionLimits session_limits_;
  const Admission admission_;
  const HttpFace http_;
  DataLock lock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<QueryPool> queries_;
  std::unique_ptr<LoopShared> shared_;
  std::vector<std::unique_ptr<LoopWorker>> loops_;
  bool is_running_ = false;
};

}  // namespace nostril::relay
