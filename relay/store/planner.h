#pragma once

#include "base/lmdb.h"
#include "base/lmdb_tree.h"
#include "events/filter.h"
#include "relay/store/keys.h"
#include "relay/store/store.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace nostril::relay {

/// Cursors of one transaction, one a table, made when first asked for; and what its thread
/// remembers of earlier ones.
class CursorCache {
 public:
  CursorCache(ReadTxn& txn, const Tables& tables, const EventCache* events)
      : txn_(&txn), tables_(&tables), events_(events) {
    cursors_.reserve(8);
    trees_.reserve(8);
  }

  [[nodiscard]] const EventCache* events() const { return events_; }

  [[nodiscard]] lmdb::Cursor& of(lmdb::Dbi table);

  /// Whether their records are on one page, or on the next: then one costs little after the other.
  [[nodiscard]] static bool are_near(Sequence a, Sequence b);

  /// One of the table of records.
  [[nodiscard]] std::optional<ByteSpan> record(Sequence sequence);

  /// Of one of the store's tables, for many looks at once.
  [[nodiscard]] lmdb::TreeReader& tree(lmdb::Dbi table);

 private:
  ReadTxn* txn_;
  const Tables* tables_;
  const EventCache* events_;
  std::vector<std::pair<unsigned, lmdb::Cursor>> cursors_;
  std::vector<std::pair<unsigned, lmdb::TreeReader>> trees_;
};

/// A part of an index that is read backwards: newest first. Remembers where it is as a key, so it
/// goes on in any later transaction.
class IndexRange {
 public:
  static constexpr std::size_t kBeginningMax = 4;

  IndexRange(lmdb::Dbi table, const Key& prefix, std::int64_t since, std::int64_t until);

  /// Appends the next positions to `out`, `count_max` at most; how many. Fewer than asked: the end.
  std::size_t read(CursorCache& cursors, std::size_t count_max, std::vector<Position>& out);

  /// As read() of several ranges of one table, kTogether at most, each `count_max` at most, side by
  /// side; `out[i]` are those of ranges[i]. But for each as far as its entries stand on one page of
  /// the index: only where `is_end` says so, fewer than asked are the end.
  struct Beginning {
    std::array<Position, kBeginningMax> positions;
    std::size_t count = 0;
    bool is_end = false;
  };

  static void read_together(CursorCache& cursors, std::span<IndexRange* const> ranges,
                            std::size_t count_max, std::span<Beginning> out);

  /// Goes on below `position`. Before the first read().
  void start_below(const Position& position) {
    if (position > at_) return;  // above the range's own start
    at_ = position;
    is_started_ = true;
  }

 private:
  // Of a key of the table; nothing beyond the range's end.
  [[nodiscard]] std::optional<Position> position_in(ByteSpan key) const;
  void take(const Position& position);

  lmdb::Dbi table_;
  Key prefix_;
  std::int64_t since_ = 0;
  Position at_;              // read next: at or below it
  bool is_started_ = false;  // at_ was read before: below it
};

/// How to find every event that a filter without ids can match.
struct Plan {
  /// From the index that promises the fewest entries.
  std::vector<IndexRange> ranges;
  /// When those are so many (the authors of a feed) that only to look into each of them costs more
  /// than a page of answers, `ranges` are instead a few of another index that hold the same events
  /// among others. Worth a try first: where many of its entries match it is the cheaper way, and
  /// wherever it is given up, main_ranges(), this many, go on below. 0: no such walk.
  std::size_t walk_instead_of = 0;
};

/// Where several indexes could do, it looks at the newest entries of a few ranges of each and
/// compares how dense they are: some 1,000 index steps at most, added to `visits`.
[[nodiscard]] Plan plan(const Filter& filter, const Tables& tables, CursorCache& cursors,
                        std::size_t& visits);

/// By the filter's authors, else by its kinds, else by time.
[[nodiscard]] std::vector<IndexRange> main_ranges(const Filter& filter, const Tables& tables);

}  // namespace nostril::relay
