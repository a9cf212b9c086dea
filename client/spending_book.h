#pragma once

#include "base/json.h"
#include "client/journal.h"
#include "events/inference.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <tuple>

namespace nostril::client {

/// What answers cost, by day, model, node and asset, and how each node answered lately: summed up
/// from signed records, so that a page of a thousand answers costs no scan of the journal.
/// Threads: one.
class SpendingBook {
 public:
  static constexpr std::size_t kRecordsMax = 200'000;  ///< read at the start, channel by channel
  static constexpr std::size_t kRowsMax = 20'000;      ///< days times models times nodes; oldest go
  static constexpr std::size_t kNodesMax = 1'024;      ///< with answers of their own; full: no new
  static constexpr std::size_t kAnswersMax = 48;       ///< newest, of a node

  SpendingBook() = default;
  /// With all records that the journal holds.
  explicit SpendingBook(Journal& journal);

  /// A record that was checked; each once.
  void add(const ResponseRecord& record);

  /// [{"day","model","node","asset","answers","cost","input","cached","output"},…], oldest day
  /// first. day: "2026-11-21", UTC; cost: base units as decimal text; node: npub.
  void write_days(JsonWriter& w) const;

  /// Newest answers of a node, oldest first:
  /// [{"at","first_ms","ms","output","status","cost"},…]. at: Unix seconds; first_ms, ms: from
  /// acceptance to the first and last byte in the node's own words, first_ms -1 when none came.
  void write_answers(JsonWriter& w, const PublicKey& node) const;

 private:
  struct Row {
    std::uint64_t answers = 0;
    Uint128 cost = 0;  ///< of amounts below 2^96: no sum of ours overflows
    Usage usage;
  };

  struct Answer {
    std::int64_t at_s = 0;
    std::int64_t first_ms = 0;
    std::int64_t ms = 0;
    std::uint64_t output = 0;
    RecordStatus status = RecordStatus::Ok;
    Amount cost;
  };

  /// Days since 1970, model, node, asset.
  using Key = std::tuple<std::int64_t, std::string, PublicKey, std::string>;

  std::map<Key, Row> rows_;
  std::map<PublicKey, std::deque<Answer>> answers_;
};

}  // namespace nostril::client
