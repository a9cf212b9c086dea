#pragma once

#include "base/result.h"
#include "relay/store/store.h"

#include <cstdint>
#include <filesystem>
#include <functional>

namespace nostril::relay {

struct CompactOptions {
  /// Packs each content anew with the newest dictionary, the only one the copy then has; without a
  /// dictionary they become text.
  bool recompress = false;
  ProgressHandler progress;       ///< may be empty
  std::function<bool()> goes_on;  ///< asked now and then; false: it ends with an error
};

struct CompactReport {
  std::uint64_t events = 0;
  std::uint64_t bytes_before = 0;  ///< of the file in use
  std::uint64_t bytes_after = 0;
};

/// Writes a copy of the store, as it is now, into the new or empty directory `target`: every table
/// in key order, so that its pages are full. The copy is on disk when it returns; one that was not
/// finished has no format number, and is refused by Store::open().
/// What the store keeps of a cluster's stream (stream_position.h) is in the copy.
/// Works on a live file. One read transaction for the whole time: pages that a relay frees
/// meanwhile are used again only afterwards, so its file may grow.
[[nodiscard]] Result<CompactReport, StoreError> compact(Store& source,
                                                        const std::filesystem::path& target,
                                                        const CompactOptions& options = {});
/// The same of the store as `txn`, one of its read transactions, sees it.
[[nodiscard]] Result<CompactReport, StoreError> compact(Store& source, ReadTxn&& txn,
                                                        const std::filesystem::path& target,
                                                        const CompactOptions& options = {});

}  // namespace nostril::relay
