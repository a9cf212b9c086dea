#include "bench/relay/load/drafts.h"

#include "base/check.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <thread>
#include <utility>

namespace nostril::bench {

namespace {

constexpr std::size_t kNoteBytesMin = 20;
constexpr std::size_t kNoteBytesMax = 6'000;
constexpr double kShortNoteShare = 0.95;

}  // namespace

Zipf::Zipf(std::size_t count) {
  double sum = 0;
  for (std::size_t rank = 1; rank <= count; ++rank) {
    sums_.push_back(sum += 1.0 / static_cast<double>(rank));
  }
}

std::size_t Zipf::pick(Random& random) const {
  const double at = random.unit() * sums_.back();
  const auto found = std::upper_bound(sums_.begin(), sums_.end(), at);
  return static_cast<std::size_t>(found - sums_.begin());
}

std::string text_of(Random& random, std::size_t bytes) {
  static constexpr std::string_view kWords[] = {
      "relay", "the",   "event", "signature", "\"quoted\"",
      "of",    "nostr", "store", "a",         "and",
      "key",   "für",   "光",    "🎉",         "\n",
      "it",    "in",    "with",  "for",       "https://example.com/x",
  };
  std::string out;
  while (out.size() < bytes) {
    out += kWords[random.below(std::size(kWords))];
    out += ' ';
  }
  return out;
}

std::size_t note_bytes(Random& random) {
  // Short ones evenly on the scale of logarithms, 20 to 1,200; the rest evenly up to the largest.
  if (random.unit() < kShortNoteShare) {
    return kNoteBytesMin + static_cast<std::size_t>(std::exp2(random.unit() * 10.2));
  }
  return kNoteBytesMax / 4 + random.below(kNoteBytesMax * 3 / 4);
}

EventDraft profile_draft(Random& random) {
  EventDraft draft{.kind = kProfile};
  draft.content = R"({"name":"author )" + std::to_string(random.below(1'000'000)) +
                  R"(","picture":"https://example.com/p.jpg","about":"lives in a benchmark"})";
  return draft;
}

EventDraft relay_list_draft(Random& random) {
  EventDraft draft{.kind = kRelayList};
  const std::size_t count = 3 + random.below(8);
  for (std::size_t i = 0; i < count; ++i) {
    draft.tags.add({"r", "wss://relay" + std::to_string(random.below(1'000)) + ".example.com/"});
  }
  return draft;
}

EventDraft article_draft(Random& random, const std::string& identifier) {
  EventDraft draft{.kind = kArticle};
  draft.tags.add({"d", identifier});
  draft.tags.add({"title", text_of(random, 40)});
  draft.content = text_of(random, 1'000 + random.below(6'000));
  return draft;
}

Keypair bench_key(const char* role, std::size_t index) {
  auto key = Keypair::from_secret(
      sha256("nostril bench " + std::string(role) + " " + std::to_string(index)).bytes);
  CHECK(key.has_value());
  return std::move(*key);
}

Event unsigned_event(EventDraft draft, const PublicKey& author) {
  Event event;
  event.pubkey = author;
  event.created_at = draft.created_at;
  event.kind = draft.kind;
  event.tags = std::move(draft.tags);
  event.content = std::move(draft.content);
  event.id = compute_id(event);
  return event;
}

void sign_all(std::span<Event> events, const std::function<const Keypair&(std::size_t)>& key_of,
              std::uint64_t seed) {
  const auto sign_from = [&](std::size_t first) {
    for (std::size_t i = first; i < events.size(); i += 2) {
      Random nonces(seed + i);
      events[i].sig = key_of(i).sign(Digest{events[i].id.bytes}, nonces);
    }
  };
  std::thread other(sign_from, 1);
  sign_from(0);
  other.join();
}

}  // namespace nostril::bench
