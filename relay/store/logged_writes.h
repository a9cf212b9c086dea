#pragma once

#include "events/event.h"
#include "relay/store/store.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace nostril::relay {

class Transaction;

/// Writes whose small batches become durable in the store's log, a sync and a few hundred bytes,
/// while one transaction of the tables stays open and takes one batch after the other: its verdicts
/// are exact, and many batches share its pages. What is only in the log, read transactions do not
/// see. An open transaction keeps every other writer of every process waiting: commit() it soon.
///
/// Threads: one, from construction to destruction (liblmdb's lock is a thread's).
class LoggedWrites {
 public:
  /// `store` outlives this. Without a log of its own (StoreOptions::log_bytes) all is committed.
  explicit LoggedWrites(Store& store);
  /// Drops the transaction. What is in the log is put again by the next who writes.
  ~LoggedWrites();
  LoggedWrites(const LoggedWrites&) = delete;
  LoggedWrites& operator=(const LoggedWrites&) = delete;
  LoggedWrites(LoggedWrites&&) = delete;
  LoggedWrites& operator=(LoggedWrites&&) = delete;

  /// As Store::put(): durable when it returns. `may_log` false, or no room in the log: committed,
  /// with all that was only logged. After an error what was logged before stays in the log, for the
  /// next commit(), or for the next who opens the store. `stream_sequence`: where the last of these
  /// events stands in the cluster's stream, 0 for none of it. As durable as they are: if none of
  /// them changes anything, that is later, and to put them again would change nothing either.
  [[nodiscard]] Result<std::vector<PutResult>, StoreError> put(
      std::span<const VerifiedEvent> events, std::int64_t now_s, bool may_log,
      std::uint64_t stream_sequence = 0);

  /// What is only in the log goes into the tables.
  [[nodiscard]] Result<void, StoreError> commit();

  /// Batches that are only in the log.
  [[nodiscard]] std::size_t batches_in_log() const { return batches_in_log_; }

  /// One of them has replaced or deleted an event; asked after a put() that has logged.
  [[nodiscard]] bool log_has_removed() const;

 private:
  Store& store_;
  std::unique_ptr<Transaction> open_;
  std::size_t batches_in_log_ = 0;
};

}  // namespace nostril::relay
