// One event's way through a relay, step by step, in one process: each step beside the signature
// check by libsecp256k1 alone, which no relay can go below. Same 970-byte events everywhere.

#include "bench/relay/signed_events.h"
#include "events/messages.h"
#include "events/session.h"
#include "relay/store/store.h"
#include "tests/support/temp_dir.h"

#include <benchmark/benchmark.h>

#include <secp256k1.h>
#include <secp256k1_schnorrsig.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::bench {

namespace {

constexpr std::int64_t kCreatedAt = 1'790'000'000;
constexpr std::size_t kEvents = 512;
constexpr std::size_t kAuthors = 64;

struct Input {
  std::vector<Event> events;
  std::vector<std::string> json;
  std::vector<std::string> messages;

  Input() {
    SignedEvents source(kAuthors, kCreatedAt);
    for (std::size_t i = 0; i < kEvents; ++i) {
      events.push_back(source.next());
      json.push_back(to_json(events.back()));
      messages.push_back(publish_text(events.back()));
    }
  }
};

const Input& input() {
  static const Input once;
  return once;
}

bool library_verify(const Event& event) {
  secp256k1_xonly_pubkey key;
  return secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key, event.pubkey.bytes.data()) ==
             1 &&
         secp256k1_schnorrsig_verify(secp256k1_context_static, event.sig.bytes.data(),
                                     event.id.bytes.data(), event.id.bytes.size(), &key) == 1;
}

// The floor: parse the key, check the signature. The other steps must say the same of these events.
void BM_RawVerify(benchmark::State& state) {
  const auto& events = input().events;
  std::size_t i = 0;
  for (auto _ : state) CHECK(library_verify(events[i++ % kEvents]));
}

// With the cache of parsed keys, as a relay's verifier thread does it.
void BM_Verify(benchmark::State& state) {
  const auto& events = input().events;
  Verifier verifier;
  std::size_t i = 0;
  for (auto _ : state) {
    const Event& event = events[i++ % kEvents];
    CHECK(verifier.verify({event.sig, Digest{event.id.bytes}, event.pubkey}));
  }
}

// Event text to UnverifiedEvent: fields, hex, limits, id computed and compared.
void BM_ParseEvent(benchmark::State& state) {
  const auto& json = input().json;
  std::size_t i = 0;
  for (auto _ : state) {
    auto event = parse_event(json[i++ % kEvents]);
    CHECK(event.has_value());
    benchmark::DoNotOptimize(event);
  }
}

// The same inside ["EVENT",…], as it comes from a socket.
void BM_ParseMessage(benchmark::State& state) {
  const auto& messages = input().messages;
  const MessageLimits limits;
  std::size_t i = 0;
  for (auto _ : state) {
    auto message = parse_client_message(messages[i++ % kEvents], limits);
    CHECK(message.has_value());
    benchmark::DoNotOptimize(message);
  }
}

void BM_CanonicalHash(benchmark::State& state) {
  const auto& events = input().events;
  std::size_t i = 0;
  for (auto _ : state) {
    const Event& event = events[i++ % kEvents];
    CHECK(compute_id(event) == event.id);
  }
}

struct Session {
  SystemRng rng;
  Keypair author = Keypair::generate(rng);
  PublicKey recipient = Keypair::generate(rng).public_key();
  Frame frame = DataFrame{std::nullopt, Bytes(1024, 'a')};

  [[nodiscard]] ConversationKey key() const {
    return std::move(*ConversationKey::derive(author, recipient));
  }
};

// A data frame of 1 KiB sealed with NIP-44: what the flush rule makes of some 10 to 200 tokens.
void BM_SealFrame(benchmark::State& state) {
  Session session;
  FrameSealer sealer(session.key());
  for (auto _ : state) {
    benchmark::DoNotOptimize(sealer.seal(1, session.frame, session.rng));
  }
}

// Sealed, signed and printed: all that a node does for a frame.
void BM_SealAndSignFrame(benchmark::State& state) {
  Session session;
  FrameSealer sealer(session.key());
  for (auto _ : state) {
    const Event event =
        make_frame_event(session.author, session.recipient,
                         sealer.seal(1, session.frame, session.rng), kCreatedAt, session.rng);
    benchmark::DoNotOptimize(publish_text(event));
  }
}

// What a client does, which need not check a data frame's outer signature.
void BM_OpenFrame(benchmark::State& state) {
  Session session;
  FrameSealer sealer(session.key());
  const std::string payload = sealer.seal(1, session.frame, session.rng);
  FrameOpener opener(session.key());
  for (auto _ : state) {
    const auto opened = opener.open(payload);
    CHECK(opened.has_value() && opened->frame == session.frame);
  }
}

// One durable LMDB transaction of 512 new events; ids are new ones, signatures are not looked at.
void BM_Put512(benchmark::State& state) {
  const test::TempDir dir;
  const auto store = std::move(*relay::Store::open(dir.path()));
  std::int64_t round = 0;
  for (auto _ : state) {
    state.PauseTiming();
    ++round;
    std::vector<UnverifiedEvent> batch;
    for (Event event : input().events) {
      event.created_at += round;
      event.id = compute_id(event);
      batch.push_back(std::move(*check_id(std::move(event))));
    }
    state.ResumeTiming();
    CHECK(store->put_unverified(batch, 0).has_value());
  }
  CHECK(store->count() == kEvents * static_cast<std::size_t>(round));
  state.SetItemsProcessed(static_cast<std::int64_t>(store->count()));
}

BENCHMARK(BM_RawVerify);
BENCHMARK(BM_Verify);
BENCHMARK(BM_ParseEvent);
BENCHMARK(BM_ParseMessage);
BENCHMARK(BM_CanonicalHash);
BENCHMARK(BM_SealFrame);
BENCHMARK(BM_SealAndSignFrame);
BENCHMARK(BM_OpenFrame);
BENCHMARK(BM_Put512);

}  // namespace

}  // namespace nostril::bench
