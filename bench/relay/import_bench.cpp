// Import and export of JSONL: processor time of the whole process an event, beside one key parse
// and signature check by libsecp256k1 alone. Really signed events of about 970 bytes;
// NOSTRIL_BENCH_EVENTS says how many (5,000; the store is as large, so cost and size grow a little
// with it).

#include "bench/relay/signed_events.h"
#include "relay/store/compact.h"
#include "relay/store/import_export.h"
#include "relay/store/train.h"
#include "tests/support/temp_dir.h"

#include <benchmark/benchmark.h>

#include <secp256k1.h>
#include <secp256k1_schnorrsig.h>
#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace nostril::bench {

namespace {

using relay::ImportOptions;
using relay::Store;

constexpr std::int64_t kCreatedAt = 1'700'000'000;
constexpr std::int64_t kNow = 1'800'000'000;
constexpr std::size_t kAuthors = 500;
constexpr std::size_t kRawEvents = 2000;

std::size_t event_count() {
  const char* wanted = std::getenv("NOSTRIL_BENCH_EVENTS");  // NOLINT(concurrency-mt-unsafe)
  return wanted != nullptr ? std::stoull(wanted) : 5000;
}

struct Input {
  std::vector<Event> raw;
  std::string jsonl;
  std::size_t events = event_count();

  Input() {
    SignedEvents source(kAuthors, kCreatedAt);
    for (std::size_t i = 0; i < events; ++i) {
      const Event event = source.next_for(i % 4 == 0 ? 7 : 1, source.author(i * 7));
      if (raw.size() < kRawEvents) raw.push_back(event);
      append_json(jsonl, event);
      jsonl += '\n';
    }
  }
};

const Input& input() {
  static const Input once;
  return once;
}

struct ScratchStore {
  test::TempDir dir;
  std::unique_ptr<Store> store = std::move(*Store::open(dir.path()));
};

double cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

void import_all(Store& store, bool verify) {
  std::istringstream in(input().jsonl);
  ImportOptions options;
  options.verify = verify;
  const auto report = relay::import_jsonl(store, in, FakeClock(kNow), options);
  CHECK(report.has_value() && report->count(relay::PutResult::Stored) == input().events);
}

// Drops what is written: no disk, no copy.
class NullBuffer final : public std::streambuf {
 protected:
  int_type overflow(int_type c) override { return c; }

  std::streamsize xsputn(const char*, std::streamsize count) override { return count; }
};

void export_all(Store& store) {
  NullBuffer nowhere;
  std::ostream out(&nowhere);
  const auto lines = relay::export_jsonl(store, out, kNow);
  CHECK(lines.has_value() && *lines == input().events);
}

// Contents are packed from the first event on when `other` has given its dictionary.
void add_dictionary_of(Store& other, Store& store) {
  CHECK(relay::train_dictionary(other, {}, kNow).has_value());
  relay::ReadTxn txn = other.read();
  const auto value = txn.get(*other.tables().dictionaries, relay::Key().add_integer(1, 1).span());
  const std::uint8_t key = 1;
  const auto row = relay::DictionaryRow::parse({&key, 1}, *value);
  CHECK(store.add_dictionary(row->bytes, kNow).has_value());
}

void report_size(benchmark::State& state, Store& store) {
  const auto stats = store.stats();
  const auto events = static_cast<double>(stats.events);
  double in_tables = 0;
  for (const auto& table : stats.tables) in_tables += static_cast<double>(table.used_bytes);
  state.counters["json_bytes"] = static_cast<double>(input().jsonl.size()) / events - 1;
  state.counters["file_bytes"] = static_cast<double>(stats.file_used_bytes) / events;
  state.counters["table_bytes"] = in_tables / events;
}

void BM_RawVerify(benchmark::State& state) {
  const auto& events = input().raw;
  double us = 0;
  for (auto _ : state) {
    const double start = cpu_us();
    for (const Event& event : events) {
      secp256k1_xonly_pubkey key;
      CHECK(secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key,
                                         event.pubkey.bytes.data()) == 1);
      CHECK(secp256k1_schnorrsig_verify(secp256k1_context_static, event.sig.bytes.data(),
                                        event.id.bytes.data(), 32, &key) == 1);
    }
    us += cpu_us() - start;
  }
  state.counters["cpu_us_an_event"] =
      us / static_cast<double>(state.iterations() * static_cast<std::int64_t>(events.size()));
}

void import_bench(benchmark::State& state, bool verify, bool packed) {
  double us = 0;
  for (auto _ : state) {
    state.PauseTiming();
    ScratchStore scratch;
    if (packed) {
      ScratchStore other;
      import_all(*other.store, false);
      add_dictionary_of(*other.store, *scratch.store);
    }
    state.ResumeTiming();
    const double start = cpu_us();
    import_all(*scratch.store, verify);
    us += cpu_us() - start;
    state.PauseTiming();
    report_size(state, *scratch.store);
    state.ResumeTiming();
  }
  state.counters["cpu_us_an_event"] =
      us / static_cast<double>(state.iterations()) / static_cast<double>(input().events);
}

void BM_ImportVerify(benchmark::State& state) {
  import_bench(state, true, false);
}

void BM_ImportNoVerify(benchmark::State& state) {
  import_bench(state, false, false);
}

void BM_ImportNoVerifyPacked(benchmark::State& state) {
  import_bench(state, false, true);
}

void export_bench(benchmark::State& state, bool packed) {
  ScratchStore scratch;
  import_all(*scratch.store, false);
  ScratchStore target;
  Store* store = scratch.store.get();
  if (packed) {
    add_dictionary_of(*scratch.store, *target.store);
    import_all(*target.store, false);
    store = target.store.get();
  }
  double us = 0;
  for (auto _ : state) {
    const double start = cpu_us();
    export_all(*store);
    us += cpu_us() - start;
  }
  state.counters["cpu_us_an_event"] =
      us / static_cast<double>(state.iterations()) / static_cast<double>(input().events);
}

void BM_Export(benchmark::State& state) {
  export_bench(state, false);
}

void BM_ExportPacked(benchmark::State& state) {
  export_bench(state, true);
}

void BM_Compact(benchmark::State& state, bool recompress) {
  ScratchStore scratch;
  import_all(*scratch.store, false);
  if (recompress) CHECK(relay::train_dictionary(*scratch.store, {}, kNow).has_value());
  double us = 0;
  for (auto _ : state) {
    const auto target = scratch.dir.path() / "copy";
    const double start = cpu_us();
    CHECK(relay::compact(*scratch.store, target, {recompress, {}, {}}).has_value());
    us += cpu_us() - start;
    const auto copy = std::move(*Store::open(target));
    report_size(state, *copy);
    std::filesystem::remove_all(target);
  }
  state.counters["cpu_us_an_event"] =
      us / static_cast<double>(state.iterations()) / static_cast<double>(input().events);
}

BENCHMARK(BM_RawVerify)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(BM_ImportVerify)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(BM_ImportNoVerify)->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(BM_ImportNoVerifyPacked)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(BM_Export)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(BM_ExportPacked)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK_CAPTURE(BM_Compact, plain, false)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK_CAPTURE(BM_Compact, recompressed, true)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace

}  // namespace nostril::bench
