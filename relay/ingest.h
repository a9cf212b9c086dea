#pragma once

#include "base/clock.h"
#include "base/in_turns.h"
#include "base/mailbox.h"
#include "relay/cluster/cluster_port.h"
#include "relay/deliveries.h"
#include "relay/guard.h"
#include "relay/metrics.h"
#include "relay/plugin_chain.h"
#include "relay/report_keeper.h"
#include "relay/verified_ids.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

namespace nostril::relay {

struct IngestOptions {
  unsigned verifier_threads = 1;
  /// Under way between a session and the last loop's delivery. An event counts as one for each 32
  /// KiB of it, begun or whole.
  std::int64_t stored_under_way_max = 4096;
  std::int64_t ephemeral_under_way_max = 4096;
  /// The same between the cluster and the last loop's delivery, one for each 4 KiB; 0: there is no
  /// cluster.
  std::int64_t stream_under_way_max = 0;
  /// Taken by a verifier at a time: more would make the first of them wait for the last.
  std::size_t verify_batch_max = 16;
  WriterOptions writer;                ///< its queue bound is replaced by stored_under_way_max
  std::vector<PluginOptions> plugins;  ///< asked about what has a right signature, in this order
};

/// What became of an event that was offered.
struct Queued {
  bool is_copy = false;  ///< of one under way: not verified again
};

struct QueueFull {};

struct Settled {
  PutResult result = PutResult::Duplicate;
};

/// Its signature is not its author's.
struct Forged {};

inline constexpr std::string_view kWrongSignature = "invalid: wrong signature";

using Offer = std::variant<Queued, QueueFull, Settled, Forged>;

/// A loop's own means to check a signature, where handing the event to a verifier thread and
/// waiting for it would cost more. One event a turn: the loop's other connections wait meanwhile.
struct LoopVerifier {
  Verifier verifier{1024};
  VerifierMetrics metrics;
  bool may_verify = true;  ///< in this turn
};

/// From an admitted event to its answer: known ids, signatures, plugins, the writer. Stored events
/// leave by Deliveries::committed() after the commit that made them durable, ephemeral ones by
/// Deliveries::ephemeral() without touching the disk, false signatures by Deliveries::answer().
///
/// Threads: offer() from any loop; others from any.
class Ingest {
 public:
  /// `guard`: what a verified event has to pass; nothing: all do. Whatever is borrowed outlives it.
  Ingest(Store& store, const Clock& clock, const IngestOptions& options, Deliveries& deliveries,
         Guard* guard = nullptr);
  ~Ingest();
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;
  Ingest(Ingest&&) = delete;
  Ingest& operator=(Ingest&&) = delete;

  /// Takes the event only when it answers Queued: an answer will come to `origin`. QueueFull: stop
  /// reading that peer, offer again later. While no verifier has work the calling loop checks the
  /// signature itself, if it may; so at a low rate events keep their order too.
  [[nodiscard]] Offer offer(UnverifiedEvent& event, SessionId origin, LoopVerifier* own = nullptr,
                            std::shared_ptr<const EventSource> source = nullptr);

  // --- Where the relay is part of a cluster (relay/cluster/cluster.h).

  /// What passes from now on goes to the cluster instead of the writer. Before the first offer();
  /// `cluster` is stopped before this is.
  void use(ClusterPort& cluster) { cluster_ = &cluster; }

  // Of the cluster's thread only.

  /// What was given to ClusterPort::publish() with this token stands in the stream.
  void apply_own(const VerifiedEvent& event, const WriteToken& token,
                 std::uint64_t stream_sequence);
  /// Of another relay. False: there is no room now.
  [[nodiscard]] bool apply_from_stream(const VerifiedEvent& event, std::uint64_t stream_sequence);
  /// What was given to ClusterPort::publish() with this token is not written for it.
  void answer_unwritten(const EventId& id, const WriteToken& token, bool accepted,
                        std::string message);
  /// Of another relay, for whoever is subscribed here. False: there is no room for it.
  [[nodiscard]] bool deliver_ephemeral(VerifiedEvent event);

  /// Nothing is under way: every commit so far has been handled by every loop it concerns.
  [[nodiscard]] bool stored_idle() const { return stored_.all_back(); }

  [[nodiscard]] bool idle() const { return stored_.all_back() && ephemeral_.all_back(); }

  /// Commits that were handed to the loops.
  [[nodiscard]] std::uint64_t commits_announced() const { return commits_announced_.load(); }

  /// Verifies, asks about and writes what is queued, then ends the threads.
  void stop();

  [[nodiscard]] std::size_t verify_queued() const { return queue_.size(); }

  [[nodiscard]] std::int64_t stored_under_way() const { return stored_.used(); }

  [[nodiscard]] std::int64_t ephemeral_under_way() const { return ephemeral_.used(); }

  [[nodiscard]] const StoreWriter& writer() const { return *writer_; }

  [[nodiscard]] StoreWriter& writer() { return *writer_; }

  /// Nothing where there are no plugins.
  [[nodiscard]] const PluginChain* plugins() const { return plugins_.get(); }

  /// What a reader of the store has to ask first.
  [[nodiscard]] CommitGate& in_tables() { return writer_->in_tables(); }

  [[nodiscard]] const std::vector<std::unique_ptr<VerifierMetrics>>& metrics() const {
    return metrics_;
  }

 private:
  struct Job {
    UnverifiedEvent event;
    SessionId origin;
    Credit credit;
    std::shared_ptr<const EventSource> source;
  };

  struct OriginOf {
    SessionId operator()(const Job& job) const { return job.origin; }
  };

  Offer queue_copy(VerifiedEvent event, SessionId origin);
  void run(VerifierMetrics& metrics);
  void judge(JudgedEvent&& event);
  void on_verdict(JudgedEvent&& event, Verdict&& verdict);
  void pass_on(VerifiedEvent event, SessionId origin, Credit credit);
  void write(VerifiedEvent event, const WriteToken& token);
  void on_commit(CommittedBatch&& batch);
  void on_in_tables();

  // Constant after construction.
  Store& store_;
  const IngestOptions options_;
  Deliveries& deliveries_;
  Guard* const guard_;
  ClusterPort* cluster_ = nullptr;

  Credits stored_;
  Credits ephemeral_;
  Credits stream_;
  VerifiedIds ids_;
  Mailbox<Job, InTurns<Job, OriginOf>> queue_;
  std::atomic<std::int64_t> verifying_{0};  // in queue_ or with a verifier thread
  std::atomic<std::uint64_t> commits_announced_{0};
  // The writer thread's: answered, and known to ids_ until the store knows them.
  std::vector<WriteOutcome> in_log_;
  std::vector<std::unique_ptr<VerifierMetrics>> metrics_;
  std::unique_ptr<StoreWriter> writer_;
  std::unique_ptr<ReportKeeper> reports_;  // nothing without a guard
  std::unique_ptr<PluginChain> plugins_;   // nothing without plugins
  std::vector<std::thread> threads_;       // last: they use all of the above
};

}  // namespace nostril::relay
