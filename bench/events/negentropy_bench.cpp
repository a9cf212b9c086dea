// Reconciliation without sockets and stores: what the protocol itself costs, and how much it says.
#include "events/negentropy.h"

#include "base/check.h"
#include "schnorr/hash.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nostril::negentropy {
namespace {

constexpr std::size_t kFrameBytes = 128 << 10;  // of answers
constexpr std::size_t kSecondsApart = 3;

std::vector<Item> items_of(std::size_t count) {
  std::vector<Item> out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto second = static_cast<std::int64_t>(1'700'000'000 + i * kSecondsApart);
    out.push_back({second, *EventId::from(sha256(std::to_string(i)).span())});
  }
  return out;
}

/// Without each 200th, or the one after that: both sides then differ in 1 %.
Set side_of(const std::vector<Item>& items, std::size_t lacks) {
  std::vector<Item> out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i % 200 != lacks) out.push_back(items[i]);
  }
  return Set(std::move(out));
}

void BM_MakeSet(benchmark::State& state) {
  const auto items = items_of(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    Set set(items);
    benchmark::DoNotOptimize(set);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(BM_MakeSet)->Arg(200'000)->Unit(benchmark::kMillisecond);

/// Both sides of a whole reconciliation.
void BM_Reconcile(benchmark::State& state) {
  const auto items = items_of(static_cast<std::size_t>(state.range(0)));
  const Set mine = side_of(items, 0);
  const Set theirs = side_of(items, 1);
  std::size_t bytes = 0;
  std::size_t rounds = 0;
  std::size_t differences = 0;
  for (auto _ : state) {
    bytes = rounds = 0;
    Differences found;
    Asker asker(mine, static_cast<std::size_t>(state.range(1)));
    Bytes question = asker.first();
    while (!question.empty()) {
      const auto answered = answer(theirs, question, kFrameBytes);
      CHECK(answered.has_value());
      bytes += question.size() + answered->size();
      ++rounds;
      auto next = asker.next(*answered, found);
      CHECK(next.has_value());
      question = std::move(*next);
    }
    differences = found.have.size() + found.need.size();
  }
  CHECK(differences == 2 * ((items.size() + 199) / 200));
  state.counters["bytes"] = static_cast<double>(bytes);
  state.counters["rounds"] = static_cast<double>(rounds);
  state.counters["differences"] = static_cast<double>(differences);
}

BENCHMARK(BM_Reconcile)
    ->Args({200'000, 32 << 10})
    ->Args({200'000, 128 << 10})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nostril::negentropy
