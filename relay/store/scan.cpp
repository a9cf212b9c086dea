#include "relay/store/scan.h"

#include "relay/store/planner.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kBufferMin = 2;
constexpr std::size_t kBufferMax = 128;
// Entries of a walk (Plan::walk) after which it is looked at again whether it pays.
constexpr std::size_t kWalkTrialMin = 16;
constexpr std::size_t kWalkTrialMax = 64;
constexpr std::size_t kVisitsBetweenLooks = 32;
constexpr std::uint64_t kRestMax = 1'000'000;  // of a limit, in estimates

// Counts what a step uses. Reads the clock once in kVisitsBetweenLooks.
class Meter {
 public:
  explicit Meter(const ScanBudget& budget)
      : budget_(budget),
        deadline_(std::chrono::steady_clock::now() +
                  std::chrono::microseconds(budget.time_us_max)) {}

  void visit(std::size_t count = 1) { visits_ += count; }

  [[nodiscard]] bool is_spent() {
    if (visits_ >= budget_.visits_max) return true;
    if (visits_ >= next_look_) {
      next_look_ = visits_ + kVisitsBetweenLooks;
      is_late_ = std::chrono::steady_clock::now() >= deadline_;
    }
    return is_late_;
  }

  [[nodiscard]] std::size_t visits() const { return visits_; }

 private:
  const ScanBudget budget_;
  const std::chrono::steady_clock::time_point deadline_;
  std::size_t visits_ = 0;
  std::size_t next_look_ = kVisitsBetweenLooks;
  bool is_late_ = false;
};

// What a step works with.
struct Access {
  Store& store;
  ReadTxn& txn;
  CursorCache cursors;
  Meter meter;
  std::int64_t now_s = 0;
};

// A match, borrowed from the transaction or the cache.
struct Match {
  RecordView record;
  std::optional<std::string_view> json;
};

// A range with the entries read ahead from it. Positions only: they outlive the transaction.
struct Stream {
  IndexRange range;
  std::vector<Position> buffer;  // the next one last
  std::uint32_t read_in = 0;     // the step that filled it
  std::size_t fetch = kBufferMin;
  bool is_exhausted = false;
};

enum class Progress : std::uint8_t { Found, Done, OutOfBudget };

// One filter of the REQ: its streams merged by a heap, its own limit.
class FilterScan {
 public:
  FilterScan(Filter filter, std::uint64_t limit_max)
      : remaining_(std::min(filter.limit.value_or(limit_max), limit_max)),
        filter_(std::move(filter)) {}

  // Goes to the next match, unless there is one that was not consumed.
  Progress advance(Access& access) {
    if (remaining_ == 0 || filter_.filter().matches_nothing()) return Progress::Done;
    if (current_) return Progress::Found;
    if (!is_planned_) make_plan(access);
    while (true) {
      if (trial_ > 0 && walked_ >= next_look_ && !is_walk_worth_it()) leave_walk();
      if (!prime(access)) return Progress::OutOfBudget;
      if (heap_.empty()) return Progress::Done;
      if (access.meter.is_spent()) return Progress::OutOfBudget;
      const Head head = pop(access);
      const Position& position = head.position;
      if (position == last_) continue;  // the same event in another stream
      last_ = position;
      ++walked_;
      match_ = find(access, head);
      if (match_ && take_id(match_->record.id())) {
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

  // Matches are borrowed from the transaction, which ends now.
  void end_step() {
    match_.reset();
    ++step_;
  }

 private:
  struct Head {
    Position position;
    std::uint32_t stream = 0;
    std::uint32_t read_in = 0;

    bool operator<(const Head& other) const { return position < other.position; }
  };

  void make_plan(Access& access) {
    std::size_t visits = 0;
    Plan made = plan(filter_.filter(), access.store, access.txn, access.cursors, visits);
    access.meter.visit(visits);
    is_planned_ = true;
    if (made.walk.empty()) return open(std::move(made.ranges));
    ranges_ = std::move(made.ranges);
    trial_ = std::clamp(ranges_.size() / 8, kWalkTrialMin, kWalkTrialMax);
    next_look_ = trial_;
    open(std::move(made.walk));
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
    for (auto& range : ranges) streams_.push_back({std::move(range), {}, 0, fetch, false});
  }

  // To walk on costs the entries that don't match, as many for each match as so far; to go over
  // costs a look into each range, about two entries' worth, and some more looks as they are used
  // up.
  [[nodiscard]] bool is_walk_worth_it() {
    next_look_ = walked_ + trial_;
    const double rest = static_cast<double>(std::min<std::uint64_t>(remaining_, kRestMax));
    const double in_vain = rest * static_cast<double>(walked_ - found_);
    return in_vain <=
           static_cast<double>(found_) * (2 * static_cast<double>(ranges_.size()) + rest / 2);
  }

  void leave_walk() {
    trial_ = 0;
    for (auto& range : ranges_) range.start_below(*last_);
    open(std::exchange(ranges_, {}));
  }

  // Fills every stream once; false when the budget ended before.
  bool prime(Access& access) {
    for (; primed_ < streams_.size(); ++primed_) {
      if (access.meter.is_spent()) return false;
      push(access, primed_);
    }
    return true;
  }

  // Puts the stream's next position on the heap.
  void push(Access& access, std::size_t index) {
    Stream& stream = streams_[index];
    if (stream.buffer.empty() && !stream.is_exhausted) refill(access, stream);
    if (stream.buffer.empty()) return;
    heap_.push_back({stream.buffer.back(), static_cast<std::uint32_t>(index), stream.read_in});
    std::push_heap(heap_.begin(), heap_.end());
    stream.buffer.pop_back();
    const EventCache* cache = access.cursors.events();
    if (cache != nullptr && !stream.buffer.empty()) {
      cache->prefetch(stream.buffer.back().sequence());
    }
  }

  Head pop(Access& access) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Head head = heap_.back();
    heap_.pop_back();
    push(access, head.stream);
    access.meter.visit();
    return head;
  }

  void refill(Access& access, Stream& stream) const {
    stream.read_in = step_;
    const std::size_t found =
        stream.range.read(access.store, access.txn, access.cursors, stream.fetch, stream.buffer);
    stream.is_exhausted = found < stream.fetch;
    stream.fetch = std::min(stream.fetch * 2, kBufferMax);
    std::ranges::reverse(stream.buffer);
    access.meter.visit(found + 1);
  }

  // False for the event found last: it was removed and came back under a lower number meanwhile.
  [[nodiscard]] bool take_id(const EventId& id) {
    if (last_id_ == id) return false;
    last_id_ = id;
    return true;
  }

  // The cache does not know what was removed: it is asked for what this step's transaction has
  // seen.
  [[nodiscard]] std::optional<Match> find(Access& access, const Head& head) const {
    const Sequence sequence = head.position.sequence();
    const EventCache* cache = access.cursors.events();
    if (cache != nullptr && head.read_in == step_) {
      if (const auto* known = cache->find(sequence)) {
        const RecordView& record = known->record;
        if (!filter_.may_match(record.bytes()) || !is_shown(access, record)) return std::nullopt;
        return Match{record, known->json};
      }
    }
    return load(access, sequence);
  }

  [[nodiscard]] std::optional<Match> load(Access& access, Sequence sequence) const {
    const auto bytes = access.cursors.record(access.store.tables().records, sequence);
    // Most of what does not match is seen at once.
    if (!bytes || !filter_.may_match(*bytes)) return std::nullopt;
    const auto record = access.store.view(access.txn, *bytes);
    if (!record || !is_shown(access, *record)) return std::nullopt;
    return Match{*record, std::nullopt};
  }

  // What RecordFilter::may_match() leaves.
  [[nodiscard]] bool is_shown(const Access& access, const RecordView& record) const {
    return !record.is_expired(access.now_s) && record.matches_tags(filter_);
  }

  std::uint64_t remaining_;
  RecordFilter filter_;
  std::vector<Stream> streams_;
  std::vector<Head> heap_;
  std::size_t primed_ = 0;
  bool is_planned_ = false;
  // While streams_ are Plan::walk: where to go over to, and how the walk does.
  std::vector<IndexRange> ranges_;
  std::size_t trial_ = 0;  // entries between two looks; 0: no walk
  std::size_t next_look_ = 0;
  std::size_t walked_ = 0;
  std::size_t found_ = 0;
  std::optional<Position> last_;
  std::optional<EventId> last_id_;
  std::optional<Position> current_;
  std::optional<Match> match_;  // at current_, within a step
  std::uint32_t step_ = 1;
};

}  // namespace

struct Scan::State {
  Store& store;
  ScanOptions options;
  std::vector<FilterScan> filters;
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
    : state_(std::make_unique<State>(State{store, options, {}, false})) {
  state_->filters.reserve(filters.size());
  for (auto& filter : filters) {
    state_->filters.emplace_back(std::move(filter), options.limit_max);
  }
}

Scan::~Scan() = default;
Scan::Scan(Scan&&) noexcept = default;
Scan& Scan::operator=(Scan&&) noexcept = default;

Result<ScanStep, StoreError> Scan::step(ReadTxn& txn, const ScanBudget& budget,
                                        const RowHandler& on_row, const EventCache* cache) {
  ScanStep step;
  State& state = *state_;
  Access access{state.store, txn, CursorCache(txn, cache), Meter(budget), state.options.now_s};
  while (!state.is_done && step.rows < budget.rows_max) {
    FilterScan* best = nullptr;
    const Progress progress = state.next(access, best);
    if (progress == Progress::OutOfBudget) break;
    if (progress == Progress::Done) {
      state.is_done = true;
      break;
    }
    const auto& match = best->match(access);
    const RowAction action =
        match ? on_row({match->record, best->current().sequence(), match->json}) : RowAction::Skip;
    state.consume(*best, access, action != RowAction::Skip);
    if (action != RowAction::Skip) ++step.rows;
    if (action == RowAction::TakeAndPause) break;
  }
  for (auto& filter : state.filters) filter.end_step();
  step.visits = access.meter.visits();
  if (!txn.ok()) state.is_done = true;
  step.done = state.is_done;
  if (!txn.ok()) return failure(StoreError{"the store can't be read: " + txn.error().text()});
  return step;
}

}  // namespace nostril::relay
