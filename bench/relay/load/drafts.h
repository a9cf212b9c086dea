#pragma once

#include "bench/relay/load/random.h"
#include "events/event.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace nostril::bench {

inline constexpr std::uint32_t kProfile = 0;
inline constexpr std::uint32_t kNote = 1;
inline constexpr std::uint32_t kFollows = 3;
inline constexpr std::uint32_t kReaction = 7;
inline constexpr std::uint32_t kReport = 1984;
inline constexpr std::uint32_t kRelayList = 10002;
inline constexpr std::uint32_t kArticle = 30023;
/// Ephemeral: carried, not stored.
inline constexpr std::uint32_t kEphemeral = 21472;

/// About `bytes` of text that looks like text: quotes, line ends, letters beyond ASCII.
[[nodiscard]] std::string text_of(Random& random, std::size_t bytes);

/// Sizes of notes on real relays: most are short, some are long; 20 to 6,000 bytes.
[[nodiscard]] std::size_t note_bytes(Random& random);

// The drafts of one kind each; created_at is the caller's.
[[nodiscard]] EventDraft profile_draft(Random& random);
[[nodiscard]] EventDraft relay_list_draft(Random& random);
/// `identifier` is the d tag: what another article of the author must share to replace this one.
[[nodiscard]] EventDraft article_draft(Random& random, const std::string& identifier);

/// The secret key is the hash of a public phrase: of benchmarks only.
[[nodiscard]] Keypair bench_key(const char* role, std::size_t index);

/// An event whose id is right and whose signature is not there yet.
[[nodiscard]] Event unsigned_event(EventDraft draft, const PublicKey& author);
/// Signs all on two threads; the nonces follow from `seed` and the place in `events`.
void sign_all(std::span<Event> events, const std::function<const Keypair&(std::size_t)>& key_of,
              std::uint64_t seed);

}  // namespace nostril::bench
