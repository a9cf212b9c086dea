#include "relay/store/planner.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

// Ranges of author x kind, at most so many for each value that the filter names: those are counted
// against a connection's bound. Beyond, the ranges by author alone.
constexpr std::size_t kAuthorKindRangesOfAValue = 8;
constexpr std::size_t kProbedRangesMax = 4;
constexpr std::size_t kProbedEntriesMax = 64;
// An index that promises no more than this is taken without a look at the others.
constexpr double kFewEntries = 32;
// From so many ranges on another index may be the cheaper way, when that has few ranges itself.
constexpr std::size_t kManyRanges = 64;
constexpr std::size_t kWalkRangesMax = 8;
// Records as near as this are on one page, or on the next.
constexpr std::uint64_t kNear = 8;

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
    if (all.empty()) all.push_back(by_time());
    return all;
  }

  // For Plan::walk.
  [[nodiscard]] std::vector<IndexRange> walk() const {
    const bool is_of_kinds =
        filter_.authors && filter_.kinds && filter_.kinds->size() <= kWalkRangesMax;
    return is_of_kinds ? by_kind() : by_time();
  }

 private:
  [[nodiscard]] IndexRange range(lmdb::Dbi table, const Key& prefix) const {
    return {table, prefix, since_, until_};
  }

  [[nodiscard]] std::vector<IndexRange> by_time() const { return {range(tables_.by_time, Key())}; }

  [[nodiscard]] std::vector<IndexRange> by_author() const {
    std::vector<IndexRange> ranges;
    const std::size_t kinds = filter_.kinds ? filter_.kinds->size() : 0;
    const std::size_t authors = filter_.authors->size();
    const bool with_kinds =
        kinds > 0 && authors * kinds <= kAuthorKindRangesOfAValue * (authors + kinds);
    ranges.reserve(with_kinds ? authors * kinds : authors);
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
    ranges.reserve(filter_.kinds->size());
    for (const std::uint32_t kind : *filter_.kinds) {
      ranges.push_back(range(tables_.by_kind, kind_prefix(kind)));
    }
    return ranges;
  }

  [[nodiscard]] std::vector<IndexRange> by_tag(const Filter::TagValues& wanted) const {
    std::vector<IndexRange> ranges;
    ranges.reserve(wanted.values.size());
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

std::optional<ByteSpan> CursorCache::record(lmdb::Dbi records, Sequence sequence) {
  const auto number = static_cast<std::uint64_t>(sequence);
  const std::uint64_t last = std::exchange(last_record_, number);
  const bool is_near = number < last ? last - number < kNear : number - last < kNear;
  const Key key = sequence_key(sequence);
  if (!is_near) return txn_->get(records, key.span());
  lmdb::Cursor& cursor = of(records);
  if (!cursor.find(key.span())) return std::nullopt;
  return cursor.value();
}

IndexRange::IndexRange(lmdb::Dbi table, const Key& prefix, std::int64_t since, std::int64_t until)
    : table_(table), prefix_(prefix), since_(since) {
  at_.bytes.fill(0xff);
  const Key time = time_key(until);
  std::ranges::copy(time.span(), at_.bytes.begin());
}

std::size_t IndexRange::read(Store& store, ReadTxn& txn, CursorCache& cursors,
                             std::size_t count_max, std::vector<Position>& out) {
  if (id_) return read_id(store, txn, cursors, out);
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
std::size_t IndexRange::read_id(Store& store, ReadTxn& txn, CursorCache& cursors,
                                std::vector<Position>& out) const {
  const auto position =
      store.position_of(txn, cursors.of(store.tables().by_id), *id_, cursors.events());
  if (!position) return 0;
  out.push_back(*position);
  return 1;
}

Plan plan(const Filter& filter, Store& store, ReadTxn& txn, CursorCache& cursors,
          std::size_t& visits) {
  Plan plan;
  if (filter.ids) {
    for (const auto& id : *filter.ids) plan.ranges.emplace_back(id);
    return plan;
  }
  Planner planner(filter, store.tables());
  if (planner.is_empty()) return plan;
  auto candidates = planner.candidates();
  std::size_t best = 0;
  if (candidates.size() > 1) {
    lmdb::Cursor& by_time = cursors.of(store.tables().by_time);
    const bool any = by_time.first() && by_time.key().size() == kPositionBytes;
    if (!any) return plan;
    const std::int64_t oldest =
        std::max(planner.since(), Position::of_key(by_time.key()).created_at());
    double best_cost = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const double cost = estimate(candidates[i], oldest, store, txn, cursors, visits);
      if (i > 0 && cost >= best_cost) continue;
      best = i;
      best_cost = cost;
      if (cost <= kFewEntries) break;
    }
  }
  plan.ranges = std::move(candidates[best]);
  // The first candidate is by author or by kind, unless the filter has neither. Tag values are not
  // walked for: what they name is rare among all events.
  const bool is_by_tag = best > 0 || (!filter.authors && !filter.kinds);
  if (plan.ranges.size() >= kManyRanges && !is_by_tag) plan.walk = planner.walk();
  return plan;
}

}  // namespace nostril::relay
