// The hash of an event: its canonical bytes, SHA-256 over them, and its JSON.
#include "base/rng.h"
#include "events/event.h"
#include "schnorr/hash.h"

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace nostril;  // NOLINT(google-build-using-namespace)

/// `range` bytes of content with a line end every 60.
Event event_of(std::int64_t content_bytes) {
  SystemRng rng;
  EventDraft draft{.created_at = 1700000000, .kind = 1, .tags = {{"t", "nostr"}}};
  for (std::int64_t i = 0; i < content_bytes; ++i) draft.content += i % 60 == 59 ? '\n' : 'x';
  return sign_event(std::move(draft), Keypair::generate(rng), rng);
}

void BM_append_canonical(benchmark::State& state) {
  const Event event = event_of(state.range(0));
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_canonical(out, event);
    benchmark::DoNotOptimize(out.data());
  }
}

/// The floor of compute_id(): the hash alone over bytes that are there.
void BM_hash_alone(benchmark::State& state) {
  std::string canonical;
  append_canonical(canonical, event_of(state.range(0)));
  Sha256 hash;
  for (auto _ : state) {
    auto digest = hash.update(canonical).finish();
    benchmark::DoNotOptimize(digest);
  }
}

void BM_compute_id(benchmark::State& state) {
  const Event event = event_of(state.range(0));
  for (auto _ : state) {
    auto id = compute_id(event);
    benchmark::DoNotOptimize(id);
  }
}

void BM_append_json(benchmark::State& state) {
  const Event event = event_of(state.range(0));
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_json(out, event);
    benchmark::DoNotOptimize(out.data());
  }
}

BENCHMARK(BM_append_canonical)->Arg(100)->Arg(700)->Arg(10000);
BENCHMARK(BM_hash_alone)->Arg(100)->Arg(700)->Arg(10000);
BENCHMARK(BM_compute_id)->Arg(100)->Arg(700)->Arg(10000);
BENCHMARK(BM_append_json)->Arg(100)->Arg(700)->Arg(10000);

}  // namespace
