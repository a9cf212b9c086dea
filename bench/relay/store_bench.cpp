// The store alone: what does an event cost on disk and in time? Events of about 970 bytes of JSON,
// as the peer was measured with: two hex tags, text that looks like text.

#include "relay/store/store.h"

#include "base/check.h"
#include "base/hex.h"
#include "bench/relay/signed_events.h"
#include "relay/store/logged_writes.h"
#include "relay/store/scan.h"
#include "schnorr/verify.h"
#include "tests/support/temp_dir.h"

#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace nostril::relay {

namespace {

constexpr std::size_t kBatch = 512;
constexpr std::size_t kStoredEvents = 40 * kBatch;
constexpr unsigned kAuthors = 500;

using test::TempDir;

class EventSource {
 public:
  UnverifiedEvent next() {
    Event event;
    event.pubkey = author(static_cast<unsigned>(random_() % kAuthors));
    event.created_at = 1700000000 + static_cast<std::int64_t>(count_++ / 3);
    event.kind = random_() % 4 == 0 ? 7 : 1;
    event.tags.add({"e", random_hex(), "", "reply"});
    event.tags.add({"p", encode_hex(author(static_cast<unsigned>(random_() % kAuthors)))});
    while (event.content.size() < 400) event.content += word();
    for (auto& byte : event.sig.bytes) byte = static_cast<std::uint8_t>(random_());
    event.id = compute_id(event);
    json_bytes_ += to_json(event).size();
    auto checked = check_id(std::move(event));
    CHECK(checked.has_value());
    return std::move(*checked);
  }

  std::vector<UnverifiedEvent> batch(std::size_t count) {
    std::vector<UnverifiedEvent> events;
    for (std::size_t i = 0; i < count; ++i) events.push_back(next());
    return events;
  }

  static PublicKey author(unsigned number) {
    PublicKey key;
    std::mt19937_64 random(number);
    for (auto& byte : key.bytes) byte = static_cast<std::uint8_t>(random());
    return key;
  }

  [[nodiscard]] double json_bytes_mean() const {
    return static_cast<double>(json_bytes_) / static_cast<double>(count_);
  }

 private:
  std::string random_hex() {
    EventId id;
    for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(random_());
    return encode_hex(id);
  }

  std::string word() {
    static constexpr std::array<std::string_view, 8> kWords = {
        "relay ", "the ", "event\n", "signature ", "\"quoted\" ", "of ", "nostr ", "store "};
    return std::string(kWords[random_() % kWords.size()]);
  }

  std::mt19937_64 random_{1};
  std::uint64_t count_ = 0;
  std::uint64_t json_bytes_ = 0;
};

// A store with kStoredEvents events, made once for all benchmarks that read.
struct Filled {
  TempDir dir;
  EventSource source;
  std::unique_ptr<Store> store = std::move(*Store::open(dir.path()));
  std::vector<EventId> ids;

  Filled() {
    for (std::size_t i = 0; i < kStoredEvents; i += kBatch) {
      const auto events = source.batch(kBatch);
      for (const auto& event : events) ids.push_back(event.event().id);
      CHECK(store->put_unverified(events, 0).has_value());
    }
  }
};

Filled& filled() {
  static Filled once;
  return once;
}

// Time of one event of a durable batch of 512.
void BM_Put(benchmark::State& state) {
  const TempDir dir;
  const auto store = std::move(*Store::open(dir.path()));
  EventSource source;
  for (auto _ : state) {
    state.PauseTiming();
    const auto events = source.batch(kBatch);
    state.ResumeTiming();
    CHECK(store->put_unverified(events, 0).has_value());
  }
  const auto count = static_cast<double>(store->count());
  state.SetItemsProcessed(static_cast<std::int64_t>(count));
  state.counters["us_per_event"] =
      benchmark::Counter(count / 1e6, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// One durable event after the other into a store of kStoredEvents: range(0) of them in the log
// before the tables take them (0: each is committed), range(1) in a batch.
constexpr std::int64_t kOneByOne = 512;

void BM_PutOneByOne(benchmark::State& state) {
  const TempDir dir;
  StoreOptions options;
  options.log_bytes = kLogBytes;
  const auto store = std::move(*Store::open(dir.path(), options));
  EventSource source;
  for (std::size_t i = 0; i < kStoredEvents; i += kBatch) {
    CHECK(store->put_unverified(source.batch(kBatch), 0).has_value());
  }
  bench::SignedEvents drafts(kAuthors, 1700000000);
  Verifier verifier;
  const auto batch_events = static_cast<std::size_t>(state.range(1));
  std::vector<std::vector<VerifiedEvent>> batches(kOneByOne);
  for (auto& batch : batches) {
    for (std::size_t i = 0; i < batch_events; ++i) {
      auto event = VerifiedEvent::verify(std::move(*check_id(drafts.next())), verifier);
      CHECK(event.has_value());
      batch.push_back(std::move(*event));
    }
  }
  LoggedWrites writes(*store);
  const auto logged_max = static_cast<std::size_t>(state.range(0));
  std::size_t next = 0;
  for (auto _ : state) {
    CHECK(writes.put(batches[next++], 0, logged_max > 0).has_value());
    if (writes.batches_in_log() >= logged_max) CHECK(writes.commit().has_value());
  }
}

void BM_BytesOnDisk(benchmark::State& state) {
  Filled& store = filled();
  for (auto _ : state) benchmark::DoNotOptimize(store.store->count());
  const StoreStats stats = store.store->stats();
  const auto per_event = [](std::uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(kStoredEvents);
  };
  state.counters["json_bytes"] = store.source.json_bytes_mean();
  state.counters["file_bytes"] = per_event(stats.file_used_bytes);
  for (const auto& table : stats.tables) {
    if (table.entries > 1) state.counters[std::string(table.name)] = per_event(table.used_bytes);
  }
}

// A REQ that answers 100 events as JSON, in one step.
void scan_100(benchmark::State& state, const Filter& filter) {
  Store& store = *filled().store;
  ScanBudget budget;
  budget.time_us_max = 1'000'000;
  TextBuffer json;
  for (auto _ : state) {
    json.clear();
    Scan scan(store, {filter}, {});
    ReadTxn txn = store.read();
    const auto step = scan.step(txn, budget, [&json](const ScanRow& row) {
      CHECK(append_json(json, row.record));
      return RowAction::Take;
    });
    CHECK(step.has_value() && step->rows == 100);
  }
  state.counters["us_per_event"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 100 / 1e6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_ScanKind(benchmark::State& state) {
  Filter filter;
  filter.kinds = {1};
  filter.limit = 100;
  scan_100(state, filter);
}

void BM_Scan50Authors(benchmark::State& state) {
  Filter filter;
  filter.kinds = {1};
  filter.authors.emplace();
  for (unsigned i = 0; i < 50; ++i) filter.authors->push_back(EventSource::author(i));
  filter.limit = 100;
  scan_100(state, filter);
}

void BM_ScanDeepUntil(benchmark::State& state) {
  Filter filter;
  filter.kinds = {1};
  filter.until = 1700000000 + 200;
  filter.limit = 100;
  scan_100(state, filter);
}

void BM_HasIdOfADuplicate(benchmark::State& state) {
  Filled& store = filled();
  std::size_t i = 0;
  for (auto _ : state) {
    CHECK(store.store->has_id(store.ids[i]));
    i = (i + 7919) % store.ids.size();
  }
}

void BM_HasIdOfANewEvent(benchmark::State& state) {
  Store& store = *filled().store;
  std::mt19937_64 random(5);
  EventId id;
  for (auto _ : state) {
    id.bytes[0] = static_cast<std::uint8_t>(random());
    id.bytes[1] = static_cast<std::uint8_t>(random());
    benchmark::DoNotOptimize(store.has_id(id));
  }
}

void BM_JsonOfARecord(benchmark::State& state) {
  EventSource source;
  Bytes record;
  encode_record(record, source.next().event());
  TextBuffer json;
  for (auto _ : state) {
    json.clear();
    CHECK(append_json(json, *RecordView::parse(record)));
    benchmark::DoNotOptimize(json.text().data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(json.size()) * state.iterations());
}

BENCHMARK(BM_Put)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(BM_PutOneByOne)
    ->ArgsProduct({{0, 40, 200}, {1, 8, 32}})
    ->Iterations(kOneByOne)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_BytesOnDisk);
BENCHMARK(BM_ScanKind)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Scan50Authors)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_ScanDeepUntil)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_HasIdOfADuplicate);
BENCHMARK(BM_HasIdOfANewEvent);
BENCHMARK(BM_JsonOfARecord);

}  // namespace

}  // namespace nostril::relay
