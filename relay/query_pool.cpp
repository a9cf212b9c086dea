#include "relay/query_pool.h"

#include "base/check.h"
#include "base/thread_name.h"
#include "base/thread_turns.h"

#include <chrono>
#include <cstring>
#include <ctime>
#include <utility>

namespace nostril::relay {

namespace {

// Longer than what the loops and the writer have, who have little to do at a time.
constexpr std::chrono::microseconds kSlice{1'000};
// Of one worker before it gives way.
constexpr std::chrono::microseconds kWorkMax{500};

// Where a thread writes its steps: memory that is warm, and as large as the largest was.
TextBuffer& step_text() {
  thread_local TextBuffer text;
  return text;
}

// Of a reconciliation any number of rows, for nobody waits for the next one; no more time than any
// other step, for others wait for the thread.
constexpr ScanBudget kCollectBudget{SIZE_MAX, 1 << 16, 2'000};

std::int64_t us_of(clockid_t clock) {
  timespec time{};
  CHECK(::clock_gettime(clock, &time) == 0);
  return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1'000;
}

// What a step adds to the cache when its transaction needs it no more.
struct MadeText {
  Sequence sequence{};
  RecordView record;
  std::size_t begin = 0;  // in step_text()
  std::size_t size = 0;
};

}  // namespace

Fingerprint fingerprint_of(const EventId& id) {
  Fingerprint out = 0;
  std::memcpy(&out, id.bytes.data() + EventId::kSize - sizeof out, sizeof out);
  return out;
}

QueryPool::QueryPool(Store& store, CommitGate& gate, const QueryPoolOptions& options,
                     std::function<std::uint64_t()> commits_announced, StepHandler on_step)
    : store_(store),
      gate_(gate),
      options_(options),
      negentropy_events_(options.negentropy_events_max),
      commits_announced_(std::move(commits_announced)),
      on_step_(std::move(on_step)),
      queue_(options.queue_max) {
  for (unsigned i = 0; i < options.threads; ++i) {
    metrics_.push_back(std::make_unique<QueryMetrics>());
  }
  for (auto& metrics : metrics_) {
    threads_.emplace_back([this, &own = *metrics] {
      name_this_thread("query");
      (void)set_thread_slice(kSlice);
      run(own);
    });
  }
}

QueryPool::~QueryPool() {
  stop();
}

void QueryPool::stop() {
  queue_.close();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

bool QueryPool::submit(std::shared_ptr<Query>& query) {
  return queue_.push(std::move(query));
}

void QueryPool::run(QueryMetrics& metrics) {
  WorkTurns turns(kWorkMax);
  while (auto batch = queue_.wait_all(1)) {
    turns.begin_piece();
    for (auto& query : *batch) {
      if (wait_for_commit(*query, metrics)) {
        on_step_(step(std::move(query), options_.budget, metrics, nullptr));
      } else {
        QueryStep failed;
        failed.query = std::move(query);
        failed.done = failed.failed = failed.is_behind = true;
        metrics.failures.add();
        on_step_(std::move(failed));
      }
    }
    turns.end_piece(queue_.size() > 0);
  }
}

// Later steps go on with what the first has seen: what came since then comes live.
bool QueryPool::wait_for_commit(const Query& query, QueryMetrics& metrics) {
  if (query.scan || query.cancelled.load(std::memory_order_relaxed) ||
      !gate_.would_miss(query.filters)) {
    return true;
  }
  metrics.commit_waits.add();
  return gate_.wait();
}

QueryStep QueryPool::step(std::shared_ptr<Query> query, const ScanBudget& budget,
                          QueryMetrics& metrics, EventCache* cache) {
  QueryStep out;
  out.query = std::move(query);
  Query& self = *out.query;
  if (self.cancelled.load(std::memory_order_relaxed)) {
    out.done = true;
    return out;
  }
  // On a loop, steps are many and short, and it looks itself at what was its own of a long one.
  const clockid_t clock = cache == nullptr ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  const std::int64_t began_us = us_of(clock);
  const auto took_us = [&] { return us_of(clock) - began_us; };
  if (self.negentropy) {
    out = negentropy_step(std::move(out.query), metrics);
    out.took_us = took_us();
    return out;
  }
  if (!self.scan) self.scan.emplace(store_, std::exchange(self.filters, {}), self.options);
  std::size_t rows = 0;
  TextBuffer& text = step_text();
  text.clear();
  std::vector<MadeText> made;
  {
    ReadTxn txn = store_.read();
    ScanBudget bound = budget;
    if (self.is_count) bound.rows_max = SIZE_MAX;
    const auto may_show = [&](const ScanRow& row) {
      return self.reader == nullptr || self.reader->may_see(row.record);
    };
    const auto count_row = [&](const ScanRow& row) {
      if (!may_show(row)) return RowAction::Skip;
      if (self.authors) self.authors->add(row.record.pubkey());
      return RowAction::Take;
    };
    const auto on_row = [&](const ScanRow& row) {
      if (!may_show(row)) return RowAction::Skip;
      const std::size_t start = text.size();
      text.append(self.prefix);
      if (row.json) {
        text.append(*row.json);
        metrics.cached_rows.add();
      } else if (append_json(text, row.record)) {
        const std::size_t json = start + self.prefix.size();
        if (cache != nullptr && cache->wants(row.sequence)) {
          made.push_back({row.sequence, row.record, json, text.size() - json});
        }
      } else {  // damaged: check() names it
        text.cut(start);
        metrics.failures.add();
        return RowAction::Skip;
      }
      text.append("]");
      out.rows.push_back({fingerprint_of(row.record.id()), text.size()});
      return text.size() >= options_.step_bytes_max ? RowAction::TakeAndPause : RowAction::Take;
    };
    const auto scan = [&] {
      if (!self.is_count) return self.scan->step(txn, bound, on_row, cache);
      // The index does not say whose an event is.
      if (self.reader != nullptr || self.authors) {
        return self.scan->step(txn, bound, count_row, cache);
      }
      return self.scan->count(txn, bound, cache);
    };
    const auto scanned = scan();
    for (const MadeText& one : made) {
      cache->add(one.sequence, one.record, text.text().substr(one.begin, one.size));
    }
    if (scanned) {
      out.done = scanned->done;
      // One more may be one that this reader may not see.
      const bool is_shown = scanned->rest != StoredRest::More || self.reader == nullptr;
      if (is_shown) out.rest = scanned->rest;
      rows = scanned->rows;
      self.visits += scanned->visits;
      if (self.is_count) self.count += rows;
      metrics.visits.add(scanned->visits);
    } else {
      errors_.error(public_text(scanned.error().text));
      metrics.failures.add();
      out.done = true;
      out.failed = true;
    }
  }
  out.text = text.text();
  const auto worked_us = took_us();
  self.worked_us += worked_us;
  out.took_us = worked_us;
  // After the transaction: what it saw and what is announced by now differ by one commit at most.
  out.commits_announced = commits_announced_();
  metrics.steps.add();
  metrics.rows.add(rows);
  metrics.busy_us.add(static_cast<std::uint64_t>(worked_us));
  return out;
}

QueryStep QueryPool::negentropy_step(std::shared_ptr<Query> query, QueryMetrics& metrics) {
  QueryStep out;
  out.query = std::move(query);
  Query& self = *out.query;
  NegentropyWork& work = *self.negentropy;
  metrics.steps.add();
  if (work.state == NegentropyWork::State::Collecting) {
    if (!self.scan) self.scan.emplace(store_, std::exchange(self.filters, {}), self.options);
    ReadTxn txn = store_.read();
    const auto collect = [&](const ScanRow& row) {
      if (self.reader != nullptr && !self.reader->may_see(row.record)) return RowAction::Skip;
      const negentropy::Item item{row.record.created_at(), row.record.id()};
      return work.collect(item, negentropy_events_) ? RowAction::Take : RowAction::TakeAndPause;
    };
    const auto scanned = self.scan->step(txn, kCollectBudget, collect, nullptr);
    if (!scanned) {
      log(LogLevel::Error, "{}", public_text(scanned.error().text));
      metrics.failures.add();
      out.failed = true;
      return out;
    }
    metrics.visits.add(scanned->visits);
    if (work.state != NegentropyWork::State::Collecting || !scanned->done) return out;
    self.scan.reset();
    work.finish_set();
  }
  out.text = work.answer();
  return out;
}

}  // namespace nostril::relay
