#pragma once

#include "base/clock.h"
#include "base/mailbox.h"
#include "relay/cluster/bus.h"
#include "relay/cluster/codec.h"
#include "relay/cluster/snapshot_files.h"
#include "relay/cluster/subjects.h"

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nostril::relay {

struct SnapshotFetchOptions {
  std::size_t window = 8;               ///< chunks that are asked for at a time: 4 MiB on their way
  std::int64_t answer_ms_max = 10'000;  ///< of a chunk, before it is asked for again
  unsigned tries_max = 3;               ///< of a chunk; then another relay is asked
  std::int64_t pause_ms_min = 500;      ///< between attempts; doubled up to
  std::int64_t pause_ms_max = 30'000;
  std::int64_t copy_stalls_ms_max = 120'000;  ///< the other relay's copy makes no progress
};

/// How far it is, for people.
struct SnapshotProgress {
  std::string from;  ///< which relay; empty: none yet
  std::uint64_t chunks = 0;
  std::uint64_t missing = 0;
  std::uint64_t kept = 0;   ///< an earlier attempt had left them
  std::uint64_t wrong = 0;  ///< that were not what they should be
  std::uint64_t relays_given_up = 0;
  std::string problem;  ///< why nothing comes at the moment

  [[nodiscard]] std::string text() const;
};

/// Fetches a snapshot from another relay of the cluster into snapshot.in and makes it ready. A
/// relay that stops answering, or answers wrong bytes, is left for another one, and what is right
/// is kept; it tries until it has one or is stopped. Threads: one of its own.
class SnapshotFetch {
 public:
  /// `on_ready` is called once, on the fetching thread, when snapshot.ready is there. All that is
  /// borrowed outlives it.
  SnapshotFetch(Bus& bus, const ClusterSubjects& subjects, std::filesystem::path data,
                const Clock& clock, std::function<void()> on_ready,
                const SnapshotFetchOptions& options = {});
  /// Stops; what has come stays for the next attempt.
  ~SnapshotFetch();
  SnapshotFetch(const SnapshotFetch&) = delete;
  SnapshotFetch& operator=(const SnapshotFetch&) = delete;
  SnapshotFetch(SnapshotFetch&&) = delete;
  SnapshotFetch& operator=(SnapshotFetch&&) = delete;

  [[nodiscard]] SnapshotProgress progress() const;

 private:
  struct Reply {
    std::uint64_t number = 0;
    std::string body;
  };

  struct Asked {
    std::uint64_t number = 0;
    std::int64_t at_ms = 0;
    unsigned tries = 0;
  };

  enum class Outcome : std::uint8_t { Ready, Again, OtherRelay };

  void run();
  [[nodiscard]] Outcome attempt();
  [[nodiscard]] std::optional<SnapshotOffer> find_relay();
  [[nodiscard]] std::optional<SnapshotHeader> open_at(const std::string& relay);
  [[nodiscard]] std::optional<Bytes> hashes_from(const std::string& relay,
                                                 const SnapshotHeader& header);
  [[nodiscard]] Outcome fetch_from(const std::string& relay, SnapshotStage& stage);
  [[nodiscard]] Outcome fetch_into(SnapshotStage& stage, const std::string& subject,
                                   const std::string& inbox);
  [[nodiscard]] bool ask(const SnapshotStage& stage, const std::string& subject,
                         const std::string& inbox, std::uint64_t number);
  [[nodiscard]] std::optional<Outcome> take(SnapshotStage& stage, const Reply& reply);
  [[nodiscard]] bool ask_again(const SnapshotStage& stage, const std::string& subject,
                               const std::string& inbox);
  Outcome give_up(const std::string& relay);
  void say(const std::string& problem);
  [[nodiscard]] bool is_stopping() const;
  void pause(std::int64_t ms);

  // Constant after construction.
  Bus& bus_;
  const ClusterSubjects& subjects_;
  const std::filesystem::path data_;
  const Clock& clock_;
  const std::function<void()> on_ready_;
  const SnapshotFetchOptions options_;
  // The thread's.
  std::vector<std::string> but_;  // relays that have failed
  std::vector<Asked> asked_;
  std::uint64_t next_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable stopped_;
  // Guarded by mutex_.
  SnapshotProgress progress_;
  bool is_stopping_ = false;

  Mailbox<Reply> replies_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nostril::relay
