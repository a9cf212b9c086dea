#pragma once

#include "events/filter.h"
#include "relay/store/record.h"
#include "relay/store/scan_meter.h"
#include "relay/store/store.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace nostril::relay {

/// One filter with a search (NIP-50): looks through the newest events that have all its words,
/// keeps the best that the limit allows, and then gives them, best first. In steps, like Scan,
/// which uses it. Bounded: after kVisitsMax entries it takes the best of what it has seen.
class SearchScan {
 public:
  static constexpr std::uint64_t kVisitsMax = 200'000;

  /// `filter`.is_search().
  SearchScan(Filter filter, std::uint64_t limit_max);

  /// False when the budget ended before all was looked through.
  [[nodiscard]] bool gather(Store& store, ReadTxn& txn, Meter& meter, std::int64_t now_s);

  /// After gather(): the next best; nothing: the end.
  [[nodiscard]] std::optional<Sequence> next();

  /// After gather(): the event, unless it has gone since.
  [[nodiscard]] std::optional<RecordView> record(Store& store, ReadTxn& txn, Sequence sequence,
                                                 std::int64_t now_s) const;

  /// After gather(): whether all that match are given.
  [[nodiscard]] bool is_complete() const { return is_exhausted_ && found_ <= limit_; }

 private:
  struct Hit {
    double score = 0;
    Sequence sequence{};

    // The worst on top of a heap; of equals the oldest.
    bool operator<(const Hit& other) const {
      if (score != other.score) return score > other.score;
      return sequence > other.sequence;
    }
  };

  // The newest record at or below at_ that has all words.
  [[nodiscard]] std::optional<Sequence> next_candidate(std::vector<lmdb::Cursor>& of, Meter& meter);
  void keep(const Hit& hit);

  const std::uint64_t limit_;
  RecordFilter filter_;
  std::vector<Key> words_;  // prefixes of their ranges
  std::uint64_t at_ = (std::uint64_t{1} << (8 * kSequenceBytes)) - 1;
  std::uint64_t visits_ = 0;
  // Which word is looked for at at_ next, and of how many in a row it was found.
  std::size_t word_ = 0;
  std::size_t agreed_ = 0;
  bool is_exhausted_ = false;  // no candidate is left
  bool is_gathered_ = false;
  std::uint64_t found_ = 0;
  std::vector<Hit> best_;  // a heap, and sorted once all is gathered
  std::size_t given_ = 0;
};

}  // namespace nostril::relay
