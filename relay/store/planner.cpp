#include "relay/store/planner.h"

#include "base/check.h"

#include <algorithm>
#include <array>
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

  // By authors, else by kinds, else by time.
  [[nodiscard]] std::vector<IndexRange> main() const {
    if (filter_.authors) return by_author();
    return filter_.kinds ? by_kind() : by_time();
  }

  // How many those are.
  [[nodiscard]] std::size_t main_count() const {
    if (!filter_.authors) return filter_.kinds ? filter_.kinds->size() : 1;
    return filter_.authors->size() * (is_by_author_kind() ? filter_.kinds->size() : 1);
  }

  // Of a filter with tags.
  [[nodiscard]] std::vector<std::vector<IndexRange>> candidates() const {
    std::vector<std::vector<IndexRange>> all;
    if (filter_.authors || filter_.kinds) all.push_back(main());
    for (const auto& wanted : filter_.tags) all.push_back(by_tag(wanted));
    return all;
  }

  // For Plan::walk_instead_of.
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

  [[nodiscard]] bool is_by_author_kind() const {
    const std::size_t kinds = filter_.kinds ? filter_.kinds->size() : 0;
    const std::size_t authors = filter_.authors->size();
    return kinds > 0 && authors * kinds <= kAuthorKindRangesOfAValue * (authors + kinds);
  }

  [[nodiscard]] std::vector<IndexRange> by_author() const {
    std::vector<IndexRange> ranges;
    const bool with_kinds = is_by_author_kind();
    ranges.reserve(main_count());
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
double estimate(const std::vector<IndexRange>& ranges, std::int64_t oldest, CursorCache& cursors,
                std::size_t& visits) {
  const std::size_t stride = (ranges.size() + kProbedRangesMax - 1) / kProbedRangesMax;
  double total = 0;
  std::size_t probed = 0;
  std::vector<Position> found;
  for (std::size_t i = 0; i < ranges.size(); i += std::max<std::size_t>(stride, 1)) {
    found.clear();
    IndexRange probe = ranges[i];  // a copy: the range itself stays at its start
    const std::size_t count = probe.read(cursors, kProbedEntriesMax, found);
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

bool CursorCache::are_near(Sequence a, Sequence b) {
  const auto low = static_cast<std::uint64_t>(std::min(a, b));
  return static_cast<std::uint64_t>(std::max(a, b)) - low < kNear;
}

std::optional<ByteSpan> CursorCache::record(Sequence sequence) {
  const Key key = sequence_key(sequence);
  const auto found = tree(tables_->records).find_near(key.span());
  switch (found.answer) {
    case lmdb::TreeReader::Answer::Found:
      return found.value;
    case lmdb::TreeReader::Answer::Absent:
      return std::nullopt;
    case lmdb::TreeReader::Answer::Unsure:
      break;
  }
  return txn_->get(tables_->records, key.span());
}

lmdb::TreeReader& CursorCache::tree(lmdb::Dbi table) {
  for (auto& [handle, tree] : trees_) {
    if (handle == table.handle) return tree;
  }
  const auto named = std::ranges::find_if(named_tables(), [&](const NamedTable& one) {
    return (tables_->*one.table).handle == table.handle;
  });
  CHECK(named != named_tables().end());
  trees_.emplace_back(table.handle, lmdb::TreeReader(*txn_, named->name));
  return trees_.back().second;
}

IndexRange::IndexRange(lmdb::Dbi table, const Key& prefix, std::int64_t since, std::int64_t until)
    : table_(table), prefix_(prefix), since_(since) {
  at_.bytes.fill(0xff);
  const Key time = time_key(until);
  std::ranges::copy(time.span(), at_.bytes.begin());
}

std::optional<Position> IndexRange::position_in(ByteSpan key) const {
  if (key.size() != prefix_.size() + kPositionBytes || !starts_with(key, prefix_.span())) {
    return std::nullopt;
  }
  const Position position = Position::of_key(key);
  if (position.created_at() < since_) return std::nullopt;
  return position;
}

void IndexRange::take(const Position& position) {
  at_ = position;
  is_started_ = true;
}

std::size_t IndexRange::read(CursorCache& cursors, std::size_t count_max,
                             std::vector<Position>& out) {
  lmdb::Cursor& cursor = cursors.of(table_);
  const Key start = positioned(prefix_, at_);
  bool more = cursor.seek_back(start.span());
  if (more && is_started_ && std::ranges::equal(cursor.key(), start.span())) {
    more = cursor.previous();
  }
  std::size_t count = 0;
  for (; more && count < count_max; more = cursor.previous()) {
    const auto position = position_in(cursor.key());
    if (!position) break;
    out.push_back(*position);
    ++count;
  }
  if (count > 0) take(out.back());
  return count;
}

void IndexRange::read_together(CursorCache& cursors, std::span<IndexRange* const> ranges,
                               std::size_t count_max, std::span<Beginning> out) {
  constexpr std::size_t kTogether = lmdb::TreeReader::kTogether;
  CHECK(!ranges.empty() && ranges.size() <= kTogether && count_max <= kBeginningMax);
  std::array<Key, kTogether> keys;
  std::array<ByteSpan, kTogether> spans;
  std::array<lmdb::TreeReader::Place, kTogether> places;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    keys[i] = positioned(ranges[i]->prefix_, ranges[i]->at_);
    spans[i] = keys[i].span();
  }
  cursors.tree(ranges.front()->table_)
      .find_last(std::span(spans).first(ranges.size()), std::span(places).first(ranges.size()));
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    IndexRange& range = *ranges[i];
    lmdb::TreeReader::Place& place = places[i];
    out[i].count = 0;
    out[i].is_end = false;
    bool more = place.is_known();
    if (more && range.is_started_ && std::ranges::equal(place.key(), spans[i])) {
      more = place.previous();
    }
    for (; more && out[i].count < count_max && !out[i].is_end; more = place.previous()) {
      const auto position = range.position_in(place.key());
      out[i].is_end = !position;
      if (position) out[i].positions[out[i].count++] = *position;
    }
    if (out[i].count > 0) range.take(out[i].positions[out[i].count - 1]);
  }
}

Plan plan(const Filter& filter, const Tables& tables, CursorCache& cursors, std::size_t& visits) {
  Plan plan;
  const Planner planner(filter, tables);
  if (planner.is_empty()) return plan;
  // Tag values are not walked for: what they name is rare among all events.
  const auto use_main = [&] {
    const std::size_t count = planner.main_count();
    const bool is_walk = count >= kManyRanges;
    plan.ranges = is_walk ? planner.walk() : planner.main();
    plan.walk_instead_of = is_walk ? count : 0;
  };
  if (filter.tags.empty()) {
    use_main();
    return plan;
  }

  const bool has_main = filter.authors || filter.kinds;
  auto candidates = planner.candidates();
  std::size_t best = 0;
  if (candidates.size() > 1) {
    lmdb::Cursor& by_time = cursors.of(tables.by_time);
    const bool any = by_time.first() && by_time.key().size() == kPositionBytes;
    if (!any) return plan;
    const std::int64_t oldest =
        std::max(planner.since(), Position::of_key(by_time.key()).created_at());
    double best_cost = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const double cost = estimate(candidates[i], oldest, cursors, visits);
      if (i > 0 && cost >= best_cost) continue;
      best = i;
      best_cost = cost;
      if (cost <= kFewEntries) break;
    }
  }
  if (best == 0 && has_main) {
    use_main();
  } else {
    plan.ranges = std::move(candidates[best]);
  }
  return plan;
}

std::vector<IndexRange> main_ranges(const Filter& filter, const Tables& tables) {
  return Planner(filter, tables).main();
}

}  // namespace nostril::relay
