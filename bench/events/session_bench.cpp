// What a streamed answer costs over the event network at 25 frames a second: bytes for each token,
// as events and inside them, with and without zstd; frames a second of one core, at both ends
// together: sealed, signed, opened and acknowledged.
#include "base/check.h"
#include "base/rng.h"
#include "events/client_session.h"
#include "events/node_session.h"
#include "tests/support/inference_fixtures.h"

#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <vector>

namespace {

using namespace nostril;  // NOLINT(google-build-using-namespace)

constexpr int kSeconds = 8;

/// An OpenAI-compatible engine's chunk for a token of English text.
std::string chunk(std::uint64_t index) {
  static constexpr std::array kWords = {" the", " relay", " sees", " nothing", " of", " it",
                                        " and", " a",     " node", " signs",   ",",   " what",
                                        " was", " said",  ".",     " So",      " an", " answer",
                                        " can", " be",    " held", " against", " it", " later"};
  const std::uint64_t mixed = index * 0x9E3779B97F4A7C15U;
  return R"(data: {"id":"chatcmpl-8f14e45fceea167a5a36dedd4bea2543","object":"chat.completion.chunk",)"
         R"("created":1800000000,"model":"qwen3-32b","choices":[{"index":0,"delta":{"content":")" +
         std::string(kWords.at((mixed >> 32U) % kWords.size())) +
         "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
}

struct Cost {
  std::uint64_t tokens = 0;
  std::uint64_t frames = 0;
  std::uint64_t event_bytes = 0;
  std::uint64_t content_bytes = 0;
};

/// A node that sends what an engine of so many tokens a second says; its client acknowledges.
Cost stream(std::int64_t tokens_per_second, bool zstd) {
  SystemRng rng;
  Verifier verifier;
  const Keypair node_key = test::key_of("node");
  const Keypair encryption = test::key_of("N");
  const Offer offer =
      test::signed_offer(test::example_offer(node_key, encryption.public_key()), node_key, rng);
  ClientRequest request;
  request.method = "POST";
  request.path = "/v1/chat/completions";
  ClientSessionLimits limits;
  limits.features.zstd = zstd;
  std::int64_t now_ms = 1'000;
  const auto now = [&] { return Moment{now_ms, 1'800'000'000}; };
  auto client = *ClientSession::start(offer, request, limits, now(), verifier, rng);
  auto handshake = *NodeHandshake::open_first(client.take_events().front(), encryption);
  auto node = *NodeSession::accept(std::move(handshake), {}, {}, now(), verifier, rng);
  for (const Event& event : node.take_events()) client.on_event(event, now());
  Cost cost;
  const std::int64_t tokens = tokens_per_second * kSeconds;
  std::int64_t sent = 0;
  const std::int64_t start_ms = now_ms;
  while (sent < tokens) {
    ++now_ms;
    while (sent < tokens && sent * 1000 < (now_ms - start_ms) * tokens_per_second) {
      node.push_response_bytes(as_bytes(chunk(static_cast<std::uint64_t>(sent++))), now());
    }
    node.on_timer(now());
    for (const Event& event : node.take_events()) {
      ++cost.frames;
      cost.event_bytes += to_json(event).size();
      cost.content_bytes += event.content.size();
      client.on_event(event, now());
    }
    client.on_timer(now());
    while (const auto note = client.next_note()) {
      if (const auto* data = std::get_if<ClientNote::Data>(&*note)) {
        client.consumed(data->bytes.size(), now());
      }
    }
    for (const Event& event : client.take_events()) node.on_event(event, now());
  }
  cost.tokens = static_cast<std::uint64_t>(tokens);
  return cost;
}

/// Arguments: tokens a second, zstd.
void BM_stream(benchmark::State& state) {
  Cost cost;
  for (auto _ : state) cost = stream(state.range(0), state.range(1) != 0);
  const auto per_token = [&cost](std::uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(cost.tokens);
  };
  state.counters["event_bytes_per_token"] = per_token(cost.event_bytes);
  state.counters["content_bytes_per_token"] = per_token(cost.content_bytes);
  state.counters["frames_per_s"] = static_cast<double>(cost.frames) / kSeconds;
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(cost.frames));
}

BENCHMARK(BM_stream)->ArgsProduct({{25, 50, 100, 200, 400}, {0, 1}})->Unit(benchmark::kMillisecond);

}  // namespace
