#pragma once

#include "base/result.h"
#include "events/filter.h"
#include "events/messages.h"
#include "relay/store/event_cache.h"
#include "relay/store/keys.h"
#include "relay/store/record.h"
#include "relay/store/store.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace nostril::relay {

struct ScanOptions {
  std::int64_t now_s = 0;  ///< events expired by then (NIP-40) are never given out
  /// Bound on each filter's own `limit`, and its value where the filter names none.
  std::uint64_t limit_max = 500;
  /// Whether there is more is worth a look (ScanStep::rest).
  bool with_rest = false;
};

/// What one step may use; it ends at whichever is reached first.
struct ScanBudget {
  std::size_t rows_max = 256;
  std::size_t visits_max = 4096;  ///< index entries and records looked at
  std::uint32_t time_us_max = 2000;
};

/// An event that is given out, borrowed for the call.
struct ScanRow {
  const RecordView& record;
  Sequence sequence{};
  /// Its text, where the cache had it.
  std::optional<std::string_view> json;
};

/// The receiver's answer to a row.
enum class RowAction : std::uint8_t {
  Take,          ///< counts against the limit
  Skip,          ///< does not (the reader may not see it: NIP-17, NIP-42)
  TakeAndPause,  ///< counts, and the step ends (its buffer is full)
};

struct ScanStep {
  std::size_t rows = 0;  ///< taken in this step
  std::size_t visits = 0;
  bool done = false;  ///< nothing more will come
  /// Of step() with ScanOptions::with_rest, once done. To say "more" one more match is looked for,
  /// shortly; several filters, of which one has reached its limit, are not asked.
  StoredRest rest = StoredRest::Unknown;
};

/// The stored part of a REQ: events that match any of the filters, newest first, ties by lowest id
/// (NIP-01), each once, each filter with its own limit. Runs in steps, each in a read transaction
/// of its own: between two steps it keeps keys, no cursors, so that no transaction waits for a slow
/// reader. Events stored meanwhile may or may not appear; a relay subscribes before it scans.
///
/// Each filter walks the index that promises the fewest entries (ids, author+kind, author, tag,
/// kind, time: spec/09-store.md), several ranges of it merged by a heap; a feed of many authors
/// tries a walk through all events of its kinds first (Plan). A page deep in the past (`until`)
/// costs what the first one does.
///
/// Filters with a search (NIP-50) come before the others, each with its best matches first
/// (search_scan.h). A store without an index of words finds nothing.
///
/// Threads: one at a time, may move between steps. Memory: some 300 bytes for each id, author x
/// kind or tag value of the filters.
class Scan {
 public:
  using RowHandler = std::function<RowAction(const ScanRow&)>;

  Scan(Store& store, std::vector<Filter> filters, const ScanOptions& options);
  ~Scan();
  Scan(Scan&&) noexcept;
  Scan& operator=(Scan&&) noexcept;
  Scan(const Scan&) = delete;
  Scan& operator=(const Scan&) = delete;

  /// Gives the next rows to `on_row`, in order. An error is the disk's; the scan is then over.
  /// A record that can't be read is left out (Store::damaged_reads() counts it). Events that are in
  /// `cache` are taken from there; it must not change during the call.
  [[nodiscard]] Result<ScanStep, StoreError> step(ReadTxn& txn, const ScanBudget& budget,
                                                  const RowHandler& on_row,
                                                  const EventCache* cache = nullptr);

  /// As step(), for who wants to know only how many rows there are; a scan has steps of one sort.
  /// Filters by kind and time are counted in the index alone, those by author after a look at the
  /// beginning of each record: damage behind that goes unnoticed.
  [[nodiscard]] Result<ScanStep, StoreError> count(ReadTxn& txn, const ScanBudget& budget,
                                                   const EventCache* cache = nullptr);

 private:
  // Without `on_row` it counts.
  [[nodiscard]] Result<ScanStep, StoreError> run(ReadTxn& txn, const ScanBudget& budget,
                                                 const RowHandler* on_row, const EventCache* cache);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nostril::relay
