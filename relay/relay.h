#pragma once

#include "base/clock.h"
#include "base/mailbox.h"
#include "net/loop.h"
#include "relay/config.h"
#include "relay/loop_worker.h"
#include "relay/store/store.h"
#include "relay/store/writer.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace nostril::relay {

/// The relay: loops, verifiers, one writer, query workers, and the queues between them.
///
///   loop -> verifiers -> writer -> every loop       events
///   loop -> verifiers -> every loop                 ephemeral events
///   loop -> query worker -> loop -> …               stored part of a REQ
///
/// Threads: run() on the first loop's thread, which is the caller's; request_stop() on that loop.
class Relay final : public RelayServices {
 public:
  /// Opens the store and binds the port; throws std::runtime_error with a line for the operator.
  Relay(const RelayConfig& config, const Clock& clock);
  ~Relay() override;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] std::uint16_t port() const { return workers_.front()->port(); }

  /// The caller's loop: for signals.
  [[nodiscard]] net::Loop& loop() { return *loops_.front(); }

  /// Serves until a clean stop is complete: every event that was taken is answered.
  void run();
  void request_stop();

  [[nodiscard]] bool submit_verify(VerifyJob&& job) override;
  [[nodiscard]] bool submit_query(QueryTask&& task) override;
  [[nodiscard]] bool is_stored(const EventId& id) override;
  [[nodiscard]] std::unique_ptr<Scan> make_scan(std::vector<Filter> filters) override;
  [[nodiscard]] std::string metrics_text() override;

  [[nodiscard]] const std::string& info_json() const override { return info_json_; }

  void answer(const SessionId& session, const EventId& id, bool accepted,
              std::string_view message) override;

 private:
  /// Runs `task` on a loop; waits when that loop's queue is full, because what is posted must not
  /// be lost.
  void post(std::uint32_t loop, net::Loop::Task task);
  void verify_loop();
  void query_loop();
  void on_commit(CommittedBatch&& batch);
  void stop_pipeline();

  // Constant after construction.
  const RelayConfig config_;
  const Clock& clock_;
  const std::string info_json_;
  std::unique_ptr<Store> store_;
  std::vector<std::unique_ptr<net::Loop>> loops_;
  std::vector<std::unique_ptr<LoopWorker>> workers_;

  Mailbox<VerifyJob> verify_queue_;
  Mailbox<QueryTask> query_queue_;
  std::unique_ptr<StoreWriter> writer_;
  std::vector<std::thread> verifiers_;
  std::vector<std::thread> query_workers_;
  std::thread stopper_;

  std::atomic<std::uint64_t> verified_{0};
  std::atomic<std::uint64_t> bad_signatures_{0};
  std::atomic<std::uint64_t> ephemeral_{0};
};

}  // namespace nostril::relay
