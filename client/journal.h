#pragma once

#include "base/bytes.h"
#include "base/lmdb.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/result.h"
#include "net/loop.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nostril::client {

/// Tables of a journal. Keys and values of each: client/channel_store.h, node/answer_store.h,
/// node/exchange_store.h, client/api_budget.h, node/pickup_outbox.h, client/funded_channel.h,
/// client/lightning_book.h.
enum class JournalTable : std::uint8_t {
  Channels,
  Records,
  Receipts,
  Answers,
  Exchanges,
  ExchangeNames,
  ApiUsage,
  StoredFrames,
  Funded,
  Lightning,
};
inline constexpr std::size_t kJournalTableCount = 10;

/// One change: a value to keep, or none to forget the key.
struct JournalChange {
  JournalTable table;
  Bytes key;
  std::optional<Bytes> value;
};

/// Written by the loop's thread and the writer; readable by any.
struct JournalCounters {
  Counter commits;       ///< that ended, well or not; loop thread
  Counter microseconds;  ///< of all of them, from commit() to the callback; loop thread
  Counter syncs;         ///< groups that shared one; writer thread
};

struct JournalLimits {
  std::size_t waiting_max = 4096;  ///< commits queued; above, commit() refuses
};

/// What must survive a crash: receipts, records, what was spent. An LMDB environment with one
/// writer thread that commits for all who wait together: one fsync a group, however many receipts.
///
/// After a failed commit it refuses all work, because nobody knows what reached the disk: every
/// later `done` gets false.
/// Threads: get() and scan() from any; all else on the loop's thread; `done` is called there too.
class Journal {
 public:
  /// Opens or creates `folder`. The error is one line for the user.
  [[nodiscard]] static Result<std::unique_ptr<Journal>, std::string> open(
      const std::filesystem::path& folder, net::Loop& loop, const JournalLimits& limits = {});
  /// Commits what is queued; callbacks that have not run by then are dropped.
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// All changes or none, in the order of the calls. `done(true)` when they are on the disk. False,
  /// without a call, when too much is waiting already.
  [[nodiscard]] bool commit(std::vector<JournalChange> changes, std::function<void(bool)> done);

  [[nodiscard]] const JournalCounters& counters() const { return counters_; }

  /// Commits that wait for the writer.
  [[nodiscard]] std::size_t waiting() const { return jobs_.size(); }

  /// What was committed; not what is still queued.
  [[nodiscard]] std::optional<Bytes> get(JournalTable name, ByteSpan key);
  /// Calls `visit` for each key from `first` on in byte order until it returns false.
  void scan(JournalTable name, ByteSpan first,
            const std::function<bool(ByteSpan key, ByteSpan value)>& visit);
  /// The last key in byte order; nothing in an empty table.
  [[nodiscard]] std::optional<Bytes> last_key(JournalTable name);
  /// Bytes of the pages that the table's committed rows use.
  [[nodiscard]] std::uint64_t used_bytes(JournalTable name);

 private:
  struct Job {
    std::vector<JournalChange> changes;
    std::function<void(bool)> done;
    std::chrono::steady_clock::time_point begun;
  };

  /// Lives as long as a posted callback may still run.
  struct Alive {};

  Journal(std::unique_ptr<lmdb::Env> env, std::array<lmdb::Dbi, kJournalTableCount> tables,
          net::Loop& loop, const JournalLimits& limits);
  void write_loop();
  [[nodiscard]] bool write(const std::vector<Job>& jobs);

  [[nodiscard]] lmdb::Dbi table(JournalTable name) const {
    return tables_[static_cast<std::size_t>(name)];
  }

  // Constant after construction.
  std::unique_ptr<lmdb::Env> env_;
  std::array<lmdb::Dbi, kJournalTableCount> tables_;
  net::Loop& loop_;
  std::shared_ptr<Alive> alive_ = std::make_shared<Alive>();

  JournalCounters counters_;
  std::atomic<bool> closing_ = false;
  Mailbox<Job> jobs_;
  std::thread writer_;
};

}  // namespace nostril::client
