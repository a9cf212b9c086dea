// What an event of 1 KB costs on one core before its signature is checked: read, hash, match. The
// signature itself costs 60 us (bench/schnorr/verify).
#include "base/check.h"
#include "base/rng.h"
#include "events/event.h"
#include "events/filter.h"
#include "events/messages.h"

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace nostril;  // NOLINT(google-build-using-namespace)

/// 1,043 bytes of JSON: a note that answers another, of the size of the corpus' upper half.
Event note() {
  SystemRng rng;
  const Keypair author = Keypair::generate(rng);
  const std::string id(64, 'a');
  EventDraft draft{.created_at = 1700000000, .kind = 1};
  draft.tags.add({"e", id, "wss://relay.example.com", "root"});
  draft.tags.add({"e", id, "", "reply"});
  draft.tags.add({"p", id});
  draft.tags.add({"t", "nostr"});
  while (to_json(sign_event(draft, author, rng)).size() < 1043) {
    draft.content += draft.content.size() % 60 == 59 ? '\n' : 'x';
  }
  return sign_event(std::move(draft), author, rng);
}

void BM_parse_event(benchmark::State& state) {
  const std::string json = to_json(note());
  for (auto _ : state) {
    auto event = parse_event(json);
    CHECK(event.has_value());
    benchmark::DoNotOptimize(event);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(json.size()) * state.iterations());
}

void BM_parse_publish_message(benchmark::State& state) {
  const std::string text = publish_text(note());
  const MessageLimits limits;
  for (auto _ : state) {
    auto message = parse_client_message(text, limits);
    CHECK(message.has_value());
    benchmark::DoNotOptimize(message);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}

/// A follow list: `range` tags of 64 characters.
void BM_parse_follow_list(benchmark::State& state) {
  SystemRng rng;
  EventDraft draft{.kind = 3};
  for (std::int64_t i = 0; i < state.range(0); ++i) draft.tags.add({"p", std::string(64, 'c')});
  const std::string json = to_json(sign_event(std::move(draft), Keypair::generate(rng), rng));
  EventLimits limits;
  limits.json_bytes_max = json.size();
  for (auto _ : state) {
    auto event = parse_event(json, limits);
    CHECK(event.has_value());
    benchmark::DoNotOptimize(event);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(json.size()) * state.iterations());
}

void BM_refuse_publish_message(benchmark::State& state) {
  std::string text = publish_text(note());
  text[text.find("1700000000")] = '2';  // wrong id: the dearest refusal before the signature
  const MessageLimits limits;
  for (auto _ : state) {
    auto message = parse_client_message(text, limits);
    CHECK(!message.has_value());
    benchmark::DoNotOptimize(message);
  }
}

void BM_parse_request(benchmark::State& state) {
  const std::string text = R"(["REQ","sub1",{"kinds":[1,6,7],"#p":[")" + std::string(64, 'a') +
                           R"("],"since":1700000000,"limit":100}])";
  const MessageLimits limits;
  for (auto _ : state) {
    auto message = parse_client_message(text, limits);
    CHECK(message.has_value());
    benchmark::DoNotOptimize(message);
  }
}

/// A filter of `range` authors and one tag, matched by the event.
void BM_matches(benchmark::State& state) {
  const Event event = note();
  Filter filter;
  filter.kinds = {1, 6, 7};
  filter.authors = {event.pubkey};
  SystemRng rng;
  while (filter.authors->size() < static_cast<std::size_t>(state.range(0))) {
    filter.authors->push_back(Keypair::generate(rng).public_key());
  }
  filter.tags.push_back({'t', {"nostr"}});
  filter.normalize();
  for (auto _ : state) {
    const bool matched = filter.matches(event);
    CHECK(matched);
    benchmark::DoNotOptimize(matched);
  }
}

BENCHMARK(BM_parse_event);
BENCHMARK(BM_parse_publish_message);
BENCHMARK(BM_parse_follow_list)->Arg(1000);
BENCHMARK(BM_refuse_publish_message);
BENCHMARK(BM_parse_request);
BENCHMARK(BM_matches)->Arg(1)->Arg(500);

}  // namespace
