#include "relay/store/scan.h"

#include "relay/store/planner.h"
#include "relay/store/scan_meter.h"
#include "relay/store/search_scan.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kBufferMin = 2;
constexpr std::size_t kBufferMax = 128;
// Entries of a walk (Plan::walk_instead_of) after which it is looked at again whether it pays.
constexpr std::size_t kWalkTrialMin = 16;
constexpr std::size_t kWalkTrialMax = 64;
constexpr std::uint64_t kRestMax = 1'000'000;  // of a limit, in estimates
// Records are looked up so many at a time, before they are needed.
constexpr std::size_t kTogether = lmdb::TreeReader::kTogether;
// Up to so many streams the next entries of each are; of more those at the top of the heap.
constexpr std::size_t kStreamsReadAheadMax = 4;
// Of events that have expired and are still stored, a count remembers so many.
constexpr std::size_t kExpiredMax = 1024;
constexpr std::size_t kLineBytes = 64;
constexpr std::size_t kLinesAheadMax = 16;
// For the look whether there is one match more than a limit allows (NIP-67).
constexpr ScanBudget kRestBudget = {1, 64, 200};

// What a step works with.
struct Access {
  Store& store;
  ReadTxn& txn;
  CursorCache cursors;
  Meter meter;
  std::int64_t now_s = 0;
  std::vector<Position> positions;  // room to read into
  bool is_count = false;
  std::optional<std::vector<Sequence>> expired;  // of a count: all there are, unless they are many
};

// What the sweep has not removed yet; nothing when that is much.
std::optional<std::vector<Sequence>> expired_ones(Access& access) {
  std::vector<Sequence> expired;
  lmdb::Cursor& cursor = access.cursors.of(access.store.tables().by_expiry);
  for (bool more = cursor.first(); more; more = cursor.next()) {
    const ByteSpan key = cursor.key();
    if (key.size() != kTimeBytes + kSequenceBytes) break;
    if (static_cast<std::int64_t>(read_integer(key.first(kTimeBytes))) > access.now_s) break;
    if (expired.size() == kExpiredMax) return std::nullopt;
    expired.push_back(Sequence{read_integer(key.last(kSequenceBytes))});
  }
  std::ranges::sort(expired);
  return expired;
}

// A match, borrowed from the transaction or the cache.
struct Match {
  RecordView record;
  std::optional<std::string_view> json;
};

// An entry of an index, and what was seen at a look at its record. The look counts in its own step
// only; the position outlives it.
struct Entry {
  enum class Look : std::uint8_t { None, NoMatch, Record, Cached };

  Position position;
  Look look = Look::None;
  std::uint32_t read_in = 0;    // the step that read the position
  std::uint32_t looked_in = 0;  // and that of the look
  ByteSpan record;
  const EventCache::Entry* cached = nullptr;
};

// A range and the entries read ahead from it: a block of those of all streams, since a feed has
// hundreds of streams of which most give one entry or none.
struct Stream {
  std::optional<IndexRange> range;  // none: the block holds all
  std::size_t fetch = kBufferMin;
  std::size_t begin = 0;  // of the block
  std::size_t count = 0;  // entries that are left; the next one is the last of them
  std::size_t room = 0;   // entries that the block may hold
  bool is_exhausted = false;
};

// Entries whose records are looked up together.
struct Batch {
  std::array<Entry*, kTogether> entries{};
  std::size_t count = 0;

  void add(Entry& entry) { entries[count++] = &entry; }
};

// The bytes of several keys, side by side.
template <typename Make>
class Keys {
 public:
  explicit Keys(Make make) : make_(std::move(make)) {}

  template <typename Range>
  std::span<const ByteSpan> of(const Range& values) {
    count_ = 0;
    for (const auto& value : values) {
      keys_[count_] = make_(value);
      spans_[count_] = keys_[count_].span();
      ++count_;
    }
    return std::span(spans_).first(count_);
  }

 private:
  Make make_;
  std::array<Key, kTogether> keys_;
  std::array<ByteSpan, kTogether> spans_;
  std::size_t count_ = 0;
};

// What TreeReader has begun.
void prefetch_rest(ByteSpan record) {
  const std::size_t lines = std::min(record.size() / kLineBytes + 1, kLinesAheadMax);
  for (std::size_t line = 3; line < lines; ++line) {
    __builtin_prefetch(record.data() + line * kLineBytes);
  }
}

enum class Progress : std::uint8_t { Found, Done, OutOfBudget };

// One filter of the REQ: its streams merged by a heap, its own limit.
class FilterScan {
 public:
  FilterScan(Filter filter, std::uint64_t limit_max)
      : limit_(std::min(filter.limit.value_or(limit_max), limit_max)),
        remaining_(limit_),
        filter_(std::move(filter)),
        is_by_index_(is_by_index(filter_.filter())) {}

  // Goes to the next match, unless there is one that was not consumed.
  Progress advance(Access& access) {
    if (remaining_ == 0 || filter_.filter().matches_nothing()) return Progress::Done;
    if (current_) return Progress::Found;
    if (!is_planned_) make_plan(access);
    if (!find_ids(access)) return Progress::OutOfBudget;
    while (true) {
      if (trial_ > 0 && walked_ >= next_look_ && !is_walk_worth_it()) leave_walk(access);
      if (!prime(access)) return Progress::OutOfBudget;
      if (heap_.empty()) return Progress::Done;
      if (access.meter.is_spent()) return Progress::OutOfBudget;
      const Entry entry = pop(access);
      const Position& position = entry.position;
      if (position == last_) continue;  // the same event in another stream
      last_ = position;
      ++walked_;
      if (access.is_count ? counts(access, entry) : shows(access, entry)) {
        ++found_;
        current_ = position;
        return Progress::Found;
      }
    }
  }

  [[nodiscard]] const Position& current() const { return *current_; }

  // What is at current(); nothing when it has gone since the last step.
  const std::optional<Match>& match(Access& access) {
    if (!match_) match_ = load(access, current_->sequence());
    return match_;
  }

  void consume(bool counts) {
    current_.reset();
    match_.reset();
    if (counts) --remaining_;
  }

  // Once all filters are done. Ends the scan's order: nothing may be asked of it afterwards.
  [[nodiscard]] StoredRest rest(Access& access) {
    if (limit_ == 0) return StoredRest::Unknown;
    if (remaining_ > 0) return StoredRest::None;
    remaining_ = 1;
    access.meter = Meter(kRestBudget);
    switch (advance(access)) {
      case Progress::Found:
        return StoredRest::More;
      case Progress::Done:
        return StoredRest::None;
      case Progress::OutOfBudget:
        break;
    }
    return StoredRest::Unknown;
  }

  // Matches are borrowed from the transaction, which ends now.
  void end_step() {
    match_.reset();
    ++step_;
  }

 private:
  // A stream by its next entry, which stays in its buffer: a feed's heap is large and moves much.
  struct Head {
    Position position;
    std::uint32_t stream = 0;

    bool operator<(const Head& other) const { return position < other.position; }
  };

  [[nodiscard]] Entry& entry_of(const Head& head) { return next_of(streams_[head.stream]); }

  [[nodiscard]] Entry& next_of(const Stream& stream) {
    return entries_[stream.begin + stream.count - 1];
  }

  void make_plan(Access& access) {
    is_planned_ = true;
    if (filter_.filter().ids) {
      streams_.push_back({std::nullopt, 0, 0, 0, 0, true});
      return;
    }
    std::size_t visits = 0;
    Plan made = plan(filter_.filter(), access.store.tables(), access.cursors, visits);
    access.meter.visit(visits);
    range_count_ = made.walk_instead_of;
    if (range_count_ > 0) {
      trial_ = std::clamp(range_count_ / 8, kWalkTrialMin, kWalkTrialMax);
      next_look_ = trial_;
    }
    open(std::move(made.ranges));
  }

  // Where the events with the filter's ids stand, if it has any; false when the budget ended before
  // all were found. Then they are one stream.
  bool find_ids(Access& access) {
    if (!filter_.filter().ids) return true;
    const std::span<const EventId> all = *filter_.filter().ids;
    if (ids_found_ == all.size()) return true;
    while (ids_found_ < all.size()) {
      if (access.meter.is_spent()) return false;
      const auto some = all.subspan(ids_found_, std::min(kTogether, all.size() - ids_found_));
      find_ids(access, some, entries_);
      ids_found_ += some.size();
      access.meter.visit(2 * some.size());
    }
    std::ranges::sort(entries_, {}, &Entry::position);
    streams_.front().count = entries_.size();
    return true;
  }

  void find_ids(Access& access, std::span<const EventId> ids, std::vector<Entry>& out) {
    std::array<lmdb::TreeReader::Entry, kTogether> found;
    const auto in_index = std::span(found).first(ids.size());
    // Of few there is little to do side by side.
    if (ids.size() > 2) {
      Keys keys([](const EventId& id) { return id_prefix(id); });
      access.cursors.tree(access.store.tables().by_id).find_prefixes(keys.of(ids), in_index);
    }
    std::array<Entry, kTogether> entries;
    Batch batch;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (in_index[i].answer != lmdb::TreeReader::Answer::Found) continue;
      entries[i].position =
          Position::of(0, ids[i], Sequence{read_integer(in_index[i].key.last(kSequenceBytes))});
      entries[i].read_in = step_;
      batch.add(entries[i]);
    }
    look_up(access, batch);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool is_absent = in_index[i].answer == lmdb::TreeReader::Answer::Absent;
      if (!is_absent && place(access, ids[i], entries[i])) out.push_back(entries[i]);
    }
  }

  // Completes what the index has said of an id by what was seen of its record; where that says
  // nothing, the store is asked. False: there is no such event, or it does not match.
  bool place(Access& access, const EventId& id, Entry& entry) const {
    if (entry.look == Entry::Look::NoMatch) return false;
    const bool is_cached = entry.look == Entry::Look::Cached;
    const auto head = RecordHead::of(is_cached ? entry.cached->record.bytes() : entry.record);
    if (head && head->id == id) {
      entry.position = Position::of(head->created_at, id, entry.position.sequence());
      return true;
    }
    const auto position = access.store.position_of(
        access.txn, access.cursors.of(access.store.tables().by_id), id, access.cursors.events());
    if (position) entry = Entry{*position, Entry::Look::None, step_, 0, {}, nullptr};
    return position.has_value();
  }

  void open(std::vector<IndexRange> ranges) {
    streams_.clear();
    heap_.clear();
    primed_ = 0;
    // What each gives if all give the same and everything matches; more follows when it is not so.
    const std::size_t share =
        std::min<std::uint64_t>(remaining_, kBufferMax) / std::max<std::size_t>(ranges.size(), 1);
    const std::size_t fetch = std::clamp(share + 1, kBufferMin, kBufferMax);
    streams_.reserve(ranges.size());
    for (auto& range : ranges) streams_.push_back({std::move(range), fetch, 0, 0, 0, false});
    entries_.clear();
    entries_.reserve(streams_.size() * fetch);
  }

  // To walk on costs the entries that don't match, as many for each match as so far; to go over
  // costs a look into each range, about two entries' worth, and some more looks as they are used
  // up.
  [[nodiscard]] bool is_walk_worth_it() {
    next_look_ = walked_ + trial_;
    const double rest = static_cast<double>(std::min<std::uint64_t>(remaining_, kRestMax));
    const double in_vain = rest * static_cast<double>(walked_ - found_);
    return in_vain <=
           static_cast<double>(found_) * (2 * static_cast<double>(range_count_) + rest / 2);
  }

  void leave_walk(Access& access) {
    trial_ = 0;
    auto ranges = main_ranges(filter_.filter(), access.store.tables());
    for (auto& range : ranges) range.start_below(*last_);
    open(std::move(ranges));
  }

  // Fills every stream once; false when the budget ended before.
  bool prime(Access& access) {
    if (primed_ == streams_.size()) return true;
    while (primed_ < streams_.size()) {
      if (access.meter.is_spent()) return false;
      const auto some =
          std::span(streams_).subspan(primed_, std::min(kTogether, streams_.size() - primed_));
      if (streams_.size() > kStreamsReadAheadMax) begin_together(access, some);
      for (Stream& stream : some) {
        if (is_next_ready(access, stream)) heap_.push_back(head_of(stream));
      }
      primed_ += some.size();
    }
    std::make_heap(heap_.begin(), heap_.end());
    return true;
  }

  // The first entries of each stream; none of those where it takes a walk through the index.
  void begin_together(Access& access, std::span<Stream> streams) {
    std::array<IndexRange*, kTogether> ranges{};
    std::array<IndexRange::Beginning, kTogether> found;
    for (std::size_t i = 0; i < streams.size(); ++i) ranges[i] = &*streams[i].range;
    const std::size_t count_max = std::min(streams.front().fetch, IndexRange::kBeginningMax);
    IndexRange::read_together(access.cursors, std::span(ranges).first(streams.size()), count_max,
                              std::span(found).first(streams.size()));
    for (std::size_t i = 0; i < streams.size(); ++i) {
      streams[i].is_exhausted = found[i].is_end;
      hold(streams[i], std::span(found[i].positions).first(found[i].count));
      access.meter.visit(found[i].count + 1);
    }
  }

  // The stream's entries from now on, as they were read.
  void hold(Stream& stream, std::span<const Position> positions) {
    if (stream.room < positions.size()) {
      stream.begin = entries_.size();
      stream.room = positions.size();
      entries_.resize(entries_.size() + stream.room);
    }
    stream.count = positions.size();
    for (std::size_t i = 0; i < positions.size(); ++i) {
      entries_[stream.begin + i] = {
          positions[positions.size() - 1 - i], Entry::Look::None, step_, 0, {}, nullptr};
    }
  }

  [[nodiscard]] Head head_of(const Stream& stream) {
    return {next_of(stream).position, static_cast<std::uint32_t>(&stream - streams_.data())};
  }

  // Whether the stream has a next entry. Where there are few, it is looked up with those behind it.
  bool is_next_ready(Access& access, Stream& stream) {
    if (stream.count == 0 && !stream.is_exhausted) refill(access, stream);
    if (stream.count == 0) return false;
    if (streams_.size() <= kStreamsReadAheadMax && is_record_needed(access) &&
        !was_looked_up(next_of(stream))) {
      look_ahead(access, stream);
    }
    return true;
  }

  [[nodiscard]] bool was_looked_up(const Entry& entry) const { return entry.looked_in == step_; }

  void look_ahead(Access& access, Stream& stream) {
    const std::size_t count = std::min(kTogether / streams_.size(), stream.count);
    Batch batch;
    const auto left = std::span(entries_).subspan(stream.begin, stream.count);
    for (Entry& entry : left.last(count)) batch.add(entry);
    look_up(access, batch);
  }

  // The top of the heap is what comes next, or soon.
  void look_ahead(Access& access) {
    Batch batch;
    for (const Head& head : std::span(heap_).first(std::min(heap_.size(), kTogether))) {
      Entry& entry = entry_of(head);
      if (!was_looked_up(entry)) batch.add(entry);
    }
    look_up(access, batch);
  }

  // The cache does not know what was removed: it is asked for what this step's transaction has
  // seen.
  void look_up(Access& access, const Batch& batch) const {
    const EventCache* cache = access.cursors.events();
    Batch unknown;
    for (Entry* entry : std::span(batch.entries).first(batch.count)) {
      entry->looked_in = step_;
      entry->look = Entry::Look::None;
      const Sequence sequence = entry->position.sequence();
      entry->cached = cache != nullptr && entry->read_in == step_ ? cache->find(sequence) : nullptr;
      if (entry->cached == nullptr) {
        unknown.add(*entry);
        continue;
      }
      entry->look = Entry::Look::Cached;
      EventCache::prefetch(*entry->cached);
    }
    look_up_far_ones(access, unknown);
  }

  // Neighbours cost load() less, one after the other; so does a single one.
  void look_up_far_ones(Access& access, const Batch& batch) const {
    const auto are_near = [&](std::size_t a, std::size_t b) {
      return b < batch.count && CursorCache::are_near(batch.entries[a]->position.sequence(),
                                                      batch.entries[b]->position.sequence());
    };
    Batch far;
    for (std::size_t i = 0; i < batch.count; ++i) {
      const bool has_neighbour = are_near(i, i + 1) || (i > 0 && are_near(i - 1, i));
      if (!has_neighbour) far.add(*batch.entries[i]);
    }
    const auto entries = std::span(far.entries).first(far.count);
    if (entries.size() < 2) return;
    std::array<lmdb::TreeReader::Entry, kTogether> found;
    const auto values = std::span(found).first(entries.size());
    Keys keys([](const Entry* entry) { return sequence_key(entry->position.sequence()); });
    access.cursors.tree(access.store.tables().records).find(keys.of(entries), values);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (values[i].answer == lmdb::TreeReader::Answer::Unsure) continue;
      // Most of what does not match is seen at once.
      const bool may_match =
          values[i].answer == lmdb::TreeReader::Answer::Found && filter_.may_match(values[i].value);
      entries[i]->look = may_match ? Entry::Look::Record : Entry::Look::NoMatch;
      entries[i]->record = values[i].value;
      if (may_match) prefetch_rest(values[i].value);
    }
  }

  Entry pop(Access& access) {
    if (streams_.size() > kStreamsReadAheadMax && is_record_needed(access) &&
        !was_looked_up(entry_of(heap_.front()))) {
      look_ahead(access);
    }
    Stream& stream = streams_[heap_.front().stream];
    const Entry entry = next_of(stream);
    --stream.count;
    if (is_next_ready(access, stream)) {
      replace_top(head_of(stream));
    } else {
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
    }
    access.meter.visit();
    return entry;
  }

  // The head of the stream whose head is the top: less than that.
  void replace_top(const Head& head) {
    std::size_t at = 0;
    for (std::size_t child = 1; child < heap_.size(); child = 2 * at + 1) {
      if (child + 1 < heap_.size() && heap_[child] < heap_[child + 1]) ++child;
      if (!(head < heap_[child])) break;
      heap_[at] = heap_[child];
      at = child;
    }
    heap_[at] = head;
  }

  void refill(Access& access, Stream& stream) {
    access.positions.clear();
    const std::size_t found = stream.range->read(access.cursors, stream.fetch, access.positions);
    stream.is_exhausted = found < stream.fetch;
    stream.fetch = std::min(stream.fetch * 2, kBufferMax);
    hold(stream, access.positions);
    access.meter.visit(found + 1);
  }

  [[nodiscard]] bool shows(Access& access, const Entry& entry) {
    match_ = find(access, entry);
    return match_ && take_id(match_->record.id());
  }

  // Whether an index holds what the filter asks for and nothing else. Those of keys and tag values
  // hold a part of each, and who likes makes two with that part in common.
  static bool is_by_index(const Filter& filter) {
    constexpr std::uint32_t kKindMax = 65535;
    const auto is_kind = [](std::uint32_t kind) { return kind <= kKindMax; };
    return !filter.ids && !filter.authors && filter.tags.empty() &&
           (!filter.kinds || std::ranges::all_of(*filter.kinds, is_kind));
  }

  // While the streams are of that index, and no walk.
  [[nodiscard]] bool is_counted_by_index() const { return is_by_index_ && trial_ == 0; }

  [[nodiscard]] bool is_record_needed(const Access& access) const {
    return !access.is_count || !is_counted_by_index() || !access.expired;
  }

  [[nodiscard]] bool counts(Access& access, const Entry& entry) {
    return is_counted(access, entry) && take_position(access, entry.position);
  }

  [[nodiscard]] bool is_counted(Access& access, const Entry& entry) const {
    if (!access.expired) return find(access, entry).has_value();
    if (std::ranges::binary_search(*access.expired, entry.position.sequence())) return false;
    if (is_counted_by_index()) return true;
    // Without tags to compare, the beginning of a record says it all.
    if (!filter_.filter().tags.empty()) return find(access, entry).has_value();
    const Entry::Look look = was_looked_up(entry) ? entry.look : Entry::Look::None;
    if (look == Entry::Look::Cached) return filter_.may_match(entry.cached->record.bytes());
    if (look != Entry::Look::None) return look == Entry::Look::Record;
    const auto bytes = record_of(access, entry.position.sequence());
    return bytes && filter_.may_match(*bytes);
  }

  // As take_id(), of events whose ids are not known: it is another one while the last is there.
  [[nodiscard]] bool take_position(Access& access, const Position& position) {
    if (last_counted_ && last_counted_->is_tie(position) &&
        !record_of(access, last_counted_->sequence())) {
      return false;
    }
    last_counted_ = position;
    return true;
  }

  // False for the event found last: it was removed and came back under a lower number meanwhile.
  [[nodiscard]] bool take_id(const EventId& id) {
    if (last_id_ == id) return false;
    last_id_ = id;
    return true;
  }

  [[nodiscard]] std::optional<Match> find(Access& access, const Entry& entry) const {
    if (was_looked_up(entry)) {
      switch (entry.look) {
        case Entry::Look::NoMatch:
          return std::nullopt;
        case Entry::Look::Record:
          return parsed(access, entry.record);
        case Entry::Look::Cached:
          return cached(access, *entry.cached);
        case Entry::Look::None:
          break;
      }
    }
    return load(access, entry.position.sequence());
  }

  [[nodiscard]] std::optional<Match> cached(const Access& access,
                                            const EventCache::Entry& known) const {
    const RecordView& record = known.record;
    if (!filter_.may_match(record.bytes()) || !is_shown(access, record)) return std::nullopt;
    return Match{record, known.json};
  }

  static std::optional<ByteSpan> record_of(Access& access, Sequence sequence) {
    return access.cursors.record(sequence);
  }

  [[nodiscard]] std::optional<Match> load(Access& access, Sequence sequence) const {
    const auto bytes = record_of(access, sequence);
    if (!bytes || !filter_.may_match(*bytes)) return std::nullopt;
    return parsed(access, *bytes);
  }

  [[nodiscard]] std::optional<Match> parsed(Access& access, ByteSpan bytes) const {
    const auto record = access.store.view(access.txn, bytes);
    if (!record || !is_shown(access, *record)) return std::nullopt;
    return Match{*record, std::nullopt};
  }

  // What RecordFilter::may_match() leaves.
  [[nodiscard]] bool is_shown(const Access& access, const RecordView& record) const {
    return !record.is_expired(access.now_s) && record.matches_tags(filter_);
  }

  std::uint64_t limit_;
  std::uint64_t remaining_;
  RecordFilter filter_;
  bool is_by_index_;
  std::vector<Stream> streams_;
  std::vector<Entry> entries_;  // of all streams
  std::vector<Head> heap_;
  std::size_t primed_ = 0;
  std::size_t ids_found_ = 0;  // of the filter's, how many were looked for
  bool is_planned_ = false;
  // While streams_ are a walk (Plan::walk_instead_of): how many ranges there are to go over to, and
  // how the walk does.
  std::size_t range_count_ = 0;
  std::size_t trial_ = 0;  // entries between two looks; 0: no walk
  std::size_t next_look_ = 0;
  std::size_t walked_ = 0;
  std::size_t found_ = 0;
  std::optional<Position> last_;
  std::optional<EventId> last_id_;
  std::optional<Position> last_counted_;
  std::optional<Position> current_;
  std::optional<Match> match_;  // at current_, within a step
  std::uint32_t step_ = 1;
};

RowAction give(FilterScan& from, Access& access, const Scan::RowHandler& on_row) {
  const auto& match = from.match(access);
  if (!match) return RowAction::Skip;
  return on_row({match->record, from.current().sequence(), match->json});
}

}  // namespace

struct Scan::State {
  Store& store;
  ScanOptions options;
  std::vector<FilterScan> filters;
  // Those with a search come first, one after the other.
  std::vector<SearchScan> searches = {};
  std::size_t searched = 0;
  std::unordered_set<std::uint64_t> found = {};  // sequences, by searches
  bool is_done = false;

  // The filter whose match comes next, or how it stands when there is none.
  Progress next(Access& access, FilterScan*& best) {
    best = nullptr;
    for (auto& filter : filters) {
      const Progress progress = filter.advance(access);
      if (progress == Progress::OutOfBudget) return progress;
      if (progress == Progress::Done) continue;
      if (best == nullptr || filter.current() > best->current()) best = &filter;
    }
    return best == nullptr ? Progress::Done : Progress::Found;
  }

  // What a filter has beyond its limit another may have given out.
  StoredRest rest(Access& access) {
    const bool is_one = filters.size() + searches.size() == 1;
    for (const auto& search : searches) {
      if (!search.is_complete()) return is_one ? StoredRest::More : StoredRest::Unknown;
    }
    for (auto& filter : filters) {
      const StoredRest rest = filter.rest(access);
      if (rest == StoredRest::More && !is_one) return StoredRest::Unknown;
      if (rest != StoredRest::None) return rest;
    }
    return StoredRest::None;
  }

  [[nodiscard]] bool was_found(const Position& position) const {
    return !found.empty() && found.contains(static_cast<std::uint64_t>(position.sequence()));
  }

  // False when the step ends here.
  bool search(Access& access, const Scan::RowHandler* on_row, std::size_t rows_max,
              ScanStep& step) {
    while (searched < searches.size()) {
      SearchScan& one = searches[searched];
      if (step.rows == rows_max || access.meter.is_spent()) return false;
      if (!one.gather(access.store, access.txn, access.meter, access.now_s)) return false;
      const auto sequence = one.next();
      if (!sequence) {
        ++searched;
        continue;
      }
      access.meter.visit();
      if (!found.insert(static_cast<std::uint64_t>(*sequence)).second) continue;
      const auto record = one.record(access.store, access.txn, *sequence, access.now_s);
      if (!record) continue;
      const RowAction action =
          on_row == nullptr ? RowAction::Take : (*on_row)({*record, *sequence, std::nullopt});
      if (action != RowAction::Skip) ++step.rows;
      if (action == RowAction::TakeAndPause) return false;
    }
    return true;
  }

  // The event was given out (or not, when it had gone): no filter shows it again.
  void consume(FilterScan& best, Access& access, bool counts) {
    const Position position = best.current();
    for (auto& filter : filters) {
      if (filter.advance(access) == Progress::Found && filter.current() == position) {
        filter.consume(counts);
      }
    }
  }
};

Scan::Scan(Store& store, std::vector<Filter> filters, const ScanOptions& options)
    : state_(std::make_unique<State>(State{store, options, {}})) {
  state_->filters.reserve(filters.size());
  for (auto& filter : filters) {
    if (filter.is_search()) {
      state_->searches.emplace_back(std::move(filter), options.limit_max);
    } else {
      state_->filters.emplace_back(std::move(filter), options.limit_max);
    }
  }
}

Scan::~Scan() = default;
Scan::Scan(Scan&&) noexcept = default;
Scan& Scan::operator=(Scan&&) noexcept = default;

Result<ScanStep, StoreError> Scan::step(ReadTxn& txn, const ScanBudget& budget,
                                        const RowHandler& on_row, const EventCache* cache) {
  return run(txn, budget, &on_row, cache);
}

Result<ScanStep, StoreError> Scan::count(ReadTxn& txn, const ScanBudget& budget,
                                         const EventCache* cache) {
  return run(txn, budget, nullptr, cache);
}

Result<ScanStep, StoreError> Scan::run(ReadTxn& txn, const ScanBudget& budget,
                                       const RowHandler* on_row, const EventCache* cache) {
  ScanStep step;
  State& state = *state_;
  Access access{state.store,
                txn,
                CursorCache(txn, state.store.tables(), cache),
                Meter(budget),
                state.options.now_s,
                {},
                on_row == nullptr,
                {}};
  if (access.is_count) access.expired = expired_ones(access);
  bool is_open = state.search(access, on_row, budget.rows_max, step);
  while (is_open && !state.is_done && step.rows < budget.rows_max) {
    FilterScan* best = nullptr;
    const Progress progress = state.next(access, best);
    if (progress == Progress::OutOfBudget) break;
    if (progress == Progress::Done) {
      state.is_done = true;
      step.visits = access.meter.visits();
      if (!access.is_count && state.options.with_rest) step.rest = state.rest(access);
      break;
    }
    const RowAction action = state.was_found(best->current()) ? RowAction::Skip
                             : on_row == nullptr              ? RowAction::Take
                                                              : give(*best, access, *on_row);
    state.consume(*best, access, action != RowAction::Skip);
    if (action != RowAction::Skip) ++step.rows;
    if (action == RowAction::TakeAndPause) break;
  }
  for (auto& filter : state.filters) filter.end_step();
  if (!state.is_done) step.visits = access.meter.visits();
  if (!txn.ok()) state.is_done = true;
  step.done = state.is_done;
  if (!txn.ok()) return failure(StoreError{"the store can't be read: " + txn.error().text()});
  return step;
}

}  // namespace nostril::relay
