#pragma once

#include "base/lmdb.h"
#include "relay/store/editor.h"
#include "relay/store/log.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace nostril::relay {

/// One write transaction of a store. It begins with the events that a log holds and the tables
/// lack, put as they were before: those of a process that ended, or of an own transaction that was
/// dropped. So whoever commits commits them too, once. Used by Store and LoggedWrites only.
/// Threads: one, from begin to end: liblmdb's lock is a thread's.
class Transaction {
 public:
  Transaction(lmdb::Env& env, const Tables& tables, Dictionaries& dictionaries, EventLog& log);

  [[nodiscard]] Editor& editor() { return editor_; }

  /// The tables' first error.
  [[nodiscard]] lmdb::Error error() const { return txn_.error(); }

  /// Why the store can't be trusted; then drop the transaction.
  [[nodiscard]] const std::string& damage() const {
    return damage_.empty() ? editor_.damage() : damage_;
  }

  /// Puts a record of these events, which this transaction has stored, in the log: they are on disk
  /// then, whatever becomes of the transaction; with them, if it is not 0, how far the store is in
  /// its cluster's stream. Before that the tables' file gets the room that their commit needs, so
  /// that it does not meet a full disk. False: no log, or no room in one of the two.
  [[nodiscard]] Result<bool, lmdb::Error> log(std::span<const Event* const> events,
                                              std::int64_t now_s, std::uint64_t stream_sequence);

  /// Ends it, on disk. The log's records are in the tables then, and its next epoch begins.
  [[nodiscard]] Result<void, lmdb::Error> commit();

  /// Events taken from the log at the beginning.
  [[nodiscard]] std::uint64_t replayed() const { return replayed_; }

 private:
  void replay();
  [[nodiscard]] bool has_room_to_commit();

  const Tables& tables_;
  EventLog& log_;
  lmdb::WriteTxn txn_;
  Editor editor_;
  std::optional<LogMark> mark_;  // none: the store has had no log
  EventLog::End end_;
  std::uint64_t replayed_ = 0;
  std::string damage_;
};

}  // namespace nostril::relay
