#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "events/event.h"
#include "relay/store/store.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::relay {

struct ImportOptions {
  bool verify = true;  ///< false: only for a file that this operator's own relay exported
  unsigned verifier_threads = 2;
  std::size_t batch_events = 1000;  ///< lines a unit of work of a verifier
  /// Events a transaction. The more, the oftener two keys meet on one page, and a page is written
  /// once a transaction; but three times the pages of one transaction stay in the file as free
  /// ones, and a relay's own writer waits that long.
  std::size_t transaction_events = 8192;
  std::size_t transaction_bytes = std::size_t{32} << 20;  ///< of JSON; bounds the memory
  EventLimits limits;
  /// A line each second, one a kind of bad line, the first of those; may be null.
  std::ostream* progress = nullptr;
};

/// A line that is no event, or a forged one.
struct BadLine {
  std::uint64_t number = 0;  ///< from 1; empty lines count here
  std::string_view why;      ///< a constant
};

struct ImportReport {
  static constexpr std::size_t kFirstBadMax = 20;

  std::uint64_t lines = 0;  ///< empty ones not counted
  std::array<std::uint64_t, kPutResultCount> results{};
  std::array<std::uint64_t, kParseErrorCount> parse_errors{};
  std::uint64_t bad_signatures = 0;
  std::uint64_t lines_too_long = 0;
  std::vector<BadLine> first_bad;  ///< kFirstBadMax of them, in their order

  [[nodiscard]] std::uint64_t count(PutResult result) const {
    return results[static_cast<std::size_t>(result)];
  }
};

/// Reads JSONL, one event a line, into the store; bad lines are counted by their reason and left
/// out. Old events are welcome: a relay's limits on created_at are not asked. Runs on this thread
/// (reading and writing) and `verifier_threads` more; memory is bounded by a few batches.
/// An error is the store's: what was committed before stays.
[[nodiscard]] Result<ImportReport, StoreError> import_jsonl(Store& store, std::istream& in,
                                                            const Clock& clock,
                                                            const ImportOptions& options);

/// Writes all events that have not expired, oldest first (ties by highest id: the exact reverse of
/// a query), one JSON object a line. Short read transactions: a relay may go on writing meanwhile.
/// How many lines.
[[nodiscard]] Result<std::uint64_t, StoreError> export_jsonl(Store& store, std::ostream& out,
                                                             std::int64_t now_s,
                                                             const ProgressHandler& progress = {});

}  // namespace nostril::relay
