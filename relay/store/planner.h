#pragma once

#include "base/lmdb.h"
#include "events/filter.h"
#include "relay/store/keys.h"
#include "relay/store/store.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace nostril::relay {

/// Cursors of one transaction, one a table, made when first asked for; and what its thread
/// remembers of earlier ones.
class CursorCache {
 public:
  explicit CursorCache(ReadTxn& txn, const EventCache* events = nullptr)
      : txn_(&txn), events_(events) {
    cursors_.reserve(8);
  }

  [[nodiscard]] const EventCache* events() const { return events_; }

  [[nodiscard]] lmdb::Cursor& of(lmdb::Dbi table);

  /// One of the table of records: by its cursor when it is near the one before, since that finds it
  /// without a walk down the tree; else without, since that spares a look at the page before.
  [[nodiscard]] std::optional<ByteSpan> record(lmdb::Dbi records, Sequence sequence);

 private:
  ReadTxn* txn_;
  const EventCache* events_;
  std::uint64_t last_record_ = 0;
  std::vector<std::pair<unsigned, lmdb::Cursor>> cursors_;
};

/// A part of an index that is read backwards: newest first. Remembers where it is as a key, so it
/// goes on in any later transaction. Or, for `ids`, one event.
class IndexRange {
 public:
  IndexRange(lmdb::Dbi table, const Key& prefix, std::int64_t since, std::int64_t until);

  explicit IndexRange(const EventId& id) : id_(id) {}

  /// Appends the next positions to `out`, `count_max` at most; how many. Fewer than asked: the end.
  std::size_t read(Store& store, ReadTxn& txn, CursorCache& cursors, std::size_t count_max,
                   std::vector<Position>& out);

  /// Goes on below `position`. Before the first read().
  void start_below(const Position& position) {
    if (position > at_) return;  // above the range's own start
    at_ = position;
    is_started_ = true;
  }

 private:
  std::size_t read_id(Store& store, ReadTxn& txn, CursorCache& cursors,
                      std::vector<Position>& out) const;

  lmdb::Dbi table_;
  Key prefix_;
  std::int64_t since_ = 0;
  Position at_;              // read next: at or below it
  bool is_started_ = false;  // at_ was read before: below it
  std::optional<EventId> id_;
};

/// How to find every event that a filter can match.
struct Plan {
  /// From the index that promises the fewest entries.
  std::vector<IndexRange> ranges;
  /// When `ranges` are so many (the authors of a feed) that only to look into each of them costs
  /// more than a page of answers: a few ranges of another index that hold the same events among
  /// others. Worth a try first: where many of its entries match it is the cheaper way, and wherever
  /// it is given up, `ranges` go on below.
  std::vector<IndexRange> walk;
};

/// Where several indexes could do, it looks at the newest entries of a few ranges of each and
/// compares how dense they are: some 1,000 index steps at most, added to `visits`.
[[nodiscard]] Plan plan(const Filter& filter, Store& store, ReadTxn& txn, CursorCache& cursors,
                        std::size_t& visits);

}  // namespace nostril::relay
