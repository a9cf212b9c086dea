#pragma once

#include "base/in_rank_order.h"
#include "base/log_seldom.h"
#include "base/mailbox.h"
#include "relay/metrics.h"
#include "relay/query.h"
#include "relay/store/commit_gate.h"

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace nostril::relay {

struct QueryPoolOptions {
  unsigned threads = 2;
  std::size_t queue_max = 1024;  ///< steps waiting for a thread; 16 bytes each
  ScanBudget budget;
  std::size_t step_bytes_max = 64 << 10;  ///< text after which a step ends; one event may exceed it
  /// Events that all open reconciliations (NIP-77) hold together, 42 bytes each.
  std::int64_t negentropy_events_max = 4'000'000;
};

/// Threads that run queries step by step. A step is bounded in rows, time and bytes; its result
/// goes to the owner's loop, which asks for the next when the peer has read. So a slow reader holds
/// no thread and no transaction, and all queries take turns.
/// Threads: submit() from any; `on_step` is called on the workers and must be quick.
class QueryPool {
 public:
  using StepHandler = std::function<void(QueryStep&&)>;

  /// Before a query's first step `gate` is asked whether the store shows all that it must; all
  /// outlive the pool. `commits_announced()` is read after each step.
  QueryPool(Store& store, CommitGate& gate, const QueryPoolOptions& options,
            std::function<std::uint64_t()> commits_announced, StepHandler on_step);
  /// Ends after the steps that are queued.
  ~QueryPool();
  QueryPool(const QueryPool&) = delete;
  QueryPool& operator=(const QueryPool&) = delete;
  QueryPool(QueryPool&&) = delete;
  QueryPool& operator=(QueryPool&&) = delete;

  /// One step of the query. False when the queue is full: try again later.
  [[nodiscard]] bool submit(std::shared_ptr<Query>& query);

  /// The first step on the calling thread, which waits for the disk when a page is not in memory.
  /// Nothing when it would have to wait for a commit. `cache` is that thread's: it gives and takes.
  [[nodiscard]] std::optional<QueryStep> step_here(const std::shared_ptr<Query>& query,
                                                   const ScanBudget& budget, QueryMetrics& metrics,
                                                   EventCache& cache) {
    if (gate_.would_miss(query->filters)) return std::nullopt;
    return step(query, budget, metrics, &cache);
  }

  void stop();

  [[nodiscard]] std::size_t queued() const { return queue_.size(); }

  [[nodiscard]] std::int64_t negentropy_events() const { return negentropy_events_.used(); }

  [[nodiscard]] const std::vector<std::unique_ptr<QueryMetrics>>& metrics() const {
    return metrics_;
  }

 private:
  void run(QueryMetrics& metrics);
  [[nodiscard]] bool wait_for_commit(const Query& query, QueryMetrics& metrics);
  QueryStep step(std::shared_ptr<Query> query, const ScanBudget& budget, QueryMetrics& metrics,
                 EventCache* cache);

  // The same for a reconciliation.
  QueryStep negentropy_step(std::shared_ptr<Query> query, QueryMetrics& metrics);

  Store& store_;
  CommitGate& gate_;
  const QueryPoolOptions options_;
  Credits negentropy_events_;
  const std::function<std::uint64_t()> commits_announced_;
  const StepHandler on_step_;

  // The later, the more its connection has had.
  struct DueAt {
    std::int64_t operator()(const std::shared_ptr<Query>& query) const { return query->due_us; }
  };

  Mailbox<std::shared_ptr<Query>, InRankOrder<std::shared_ptr<Query>, DueAt>> queue_;
  std::vector<std::unique_ptr<QueryMetrics>> metrics_;
  SeldomLog errors_;
  std::vector<std::thread> threads_;  // last: they use all of the above
};

}  // namespace nostril::relay
