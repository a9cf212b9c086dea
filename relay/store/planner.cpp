#include "relay/store/planner.h"

#include <algorithm>

namespace nostril::relay {

namespace {

// Beyond so many ranges of author x kind the ranges by author alone are fewer look-ups.
constexpr std::size_t kAuthorKindRangesMax = 8000;
constexpr std::size_t kProbedRangesMax = 4;
constexpr std::size_t kProbedEntriesMax = 64;

bool starts_with(ByteSpan key, ByteSpan prefix) {
  return key.size() >= prefix.size() && std::ranges::equal(key.first(prefix.size()), prefix);
}

class Planner {
 public:
  Planner(const Filter& filter, const Tables& tables)
      : filter_(filter),
        tables_(tables),
        since_(std::max<std::int64_t>(filter.since.value_or(0), 0)),
        until_(std::min(filter.until.value_or(kCreatedAtMax), kCreatedAtMax)) {}

  [[nodiscard]] bool is_empty() const { return since_ > until_; }

  [[nodiscard]] std::int64_t until() const { return until_; }

  [[nodiscard]] std::int64_t since() const { return since_; }

  std::vector<std::vector<IndexRange>> candidates() {
    std::vector<std::vector<IndexRange>> all;
    if (filter_.authors) {
      all.push_back(by_author());
    } else if (filter_.kinds) {
      all.push_back(by_kind());
    }
    for (const auto& wanted : filter_.tags) all.push_back(by_tag(wanted));
    if (all.empty()) all.push_back({range(tables_.by_time, Key())});
    return all;
  }

 private:
  [[nodiscard]] IndexRange range(lmdb::Dbi table, const Key& prefix) const {
    return {table, prefix, since_, until_};
  }

  [[nodiscard]] std::vector<IndexRange> by_author() const {
    std::vector<IndexRange> ranges;
    const bool with_kinds =
        filter_.kinds && filter_.authors->size() * filter_.kinds->size() <= kAuthorKindRangesMax;
    for (const auto& author : *filter_.authors) {
      if (!with_kinds) {
        ranges.push_back(range(tables_.by_author, author_prefix(author)));
        continue;
      }
      for (const std::uint32_t kind : *filter_.kinds) {
        ranges.push_back(range(tables_.by_author_kind, author_kind_prefix(author, kind)));
      }
    }
    return ranges;
  }

  [[nodiscard]] std::vector<IndexRange> by_kind() const {
    std::vector<IndexRange> ranges;
    for (const std::uint32_t kind : *filter_.kinds) {
      ranges.push_back(range(tables_.by_kind, kind_prefix(kind)));
    }
    return ranges;
  }

  [[nodiscard]] std::vector<IndexRange> by_tag(const Filter::TagValues& wanted) const {
    std::vector<IndexRange> ranges;
    for (const auto& value : wanted.values) {
      ranges.push_back(range(tables_.by_tag, tag_prefix(wanted.name, value)));
    }
    return ranges;
  }

  const Filter& filter_;
  const Tables& tables_;
  const std::int64_t since_;
  const std::int64_t until_;
};

// Entries that the ranges hold, guessed from the newest ones of a few.
double estimate(std::vector<IndexRange>& ranges, std::int64_t oldest, Store& store, ReadTxn& txn,
                CursorCache& cursors, std::size_t& visits) {
  const std::size_t stride = (ranges.size() + kProbedRangesMax - 1) / kProbedRangesMax;
  double total = 0;
  std::size_t probed = 0;
  std::vector<Position> found;
  for (std::size_t i = 0; i < ranges.size(); i += std::max<std::size_t>(stride, 1)) {
    found.clear();
    IndexRange probe = ranges[i];  // a copy: the range itself stays at its start
    const std::size_t count = probe.read(store, txn, cursors, kProbedEntriesMax, found);
    visits += count + 1;
    ++probed;
    if (count < kProbedEntriesMax) {
      total += static_cast<double>(count);
      continue;
    }
    const auto newest_s = static_cast<double>(found.front().created_at());
    const auto oldest_seen_s = static_cast<double>(found.back().created_at());
    const double seen_s = newest_s - oldest_seen_s + 1;
    const double rest_s = std::max(oldest_seen_s - static_cast<double>(oldest), 0.0);
    total += static_cast<double>(count) * (1 + rest_s / seen_s);
  }
  const auto range_count = static_cast<double>(ranges.size());
  return probed == 0 ? 0 : total / static_cast<double>(probed) * range_count + 2 * range_count;
}

}  // namespace

lmdb::Cursor& CursorCache::of(lmdb::Dbi table) {
  for (auto& [handle, cursor] : cursors_) {
    if (handle == table.handle) return cursor;
  }
  cursors_.emplace_back(table.handle, lmdb::Cursor(*txn_, table));
  return cursors_.back().second;
}

IndexRange::IndexRange(lmdb::Dbi table, const Key& prefix, std::int64_t since, std::int64_t until)
    : table_(table), prefix_(prefix), since_(since) {
  at_.bytes.fill(0xff);
  const Key time = time_key(until);
  std::ranges::copy(time.span(), at_.bytes.begin());
}

std::size_t IndexRange::read(Store& store, ReadTxn& txn, CursorCache& cursors,
                             std::size_t count_max, std::vector<Position>& out) {
  if (id_) return read_id(store, txn, out);
  lmdb::Cursor& cursor = cursors.of(table_);
  const Key start = positioned(prefix_, at_);
  bool more = cursor.seek_back(start.span());
  if (more && is_started_ && std::ranges::equal(cursor.key(), start.span())) {
    more = cursor.previous();
  }
  std::size_t count = 0;
  const std::size_t key_bytes = prefix_.size() + kPositionBytes;
  for (; more && count < count_max; more = cursor.previous()) {
    if (cursor.key().size() != key_bytes || !starts_with(cursor.key(), prefix_.span())) break;
    const Position position = Position::of_key(cursor.key());
    if (position.created_at() < since_) break;
    out.push_back(position);
    at_ = position;
    is_started_ = true;
    ++count;
  }
  return count;
}

// The end comes with the first call: one event, or none.
std::size_t IndexRange::read_id(Store& store, ReadTxn& txn, std::vector<Position>& out) const {
  const auto position = store.position_of(txn, *id_);
  if (!position) return 0;
  out.push_back(*position);
  return 1;
}

std::vector<IndexRange> plan(const Filter& filter, Store& store, ReadTxn& txn, CursorCache& cursors,
                             std::size_t& visits) {
  std::vector<IndexRange> ranges;
  if (filter.ids) {
    for (const auto& id : *filter.ids) ranges.emplace_back(id);
    return ranges;
  }
  Planner planner(filter, store.tables());
  if (planner.is_empty()) return ranges;
  auto candidates = planner.candidates();
  if (candidates.size() == 1) return std::move(candidates.front());

  lmdb::Cursor& by_time = cursors.of(store.tables().by_time);
  const bool any = by_time.first() && by_time.key().size() == kPositionBytes;
  if (!any) return ranges;
  const std::int64_t oldest =
      std::max(planner.since(), Position::of_key(by_time.key()).created_at());
  std::size_t best = 0;
  double best_cost = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const double cost = estimate(candidates[i], oldest, store, txn, cursors, visits);
    if (i == 0 || cost < best_cost) {
      best = i;
      best_cost = cost;
    }
  }
  return std::move(candidates[best]);
}

}  // namespace nostril::relay
