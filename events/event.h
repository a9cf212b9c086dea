#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "events/parse_error.h"
#include "events/tags.h"
#include "schnorr/keys.h"
#include "schnorr/types.h"
#include "schnorr/verify.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::relay {
class Cluster;
}

namespace nostril {

using EventId = FixedBytes<struct EventIdTag, 32>;  ///< SHA-256 of the canonical form, NIP-01

/// The seven members of a NIP-01 event. Says nothing about validity: see the types below.
struct Event {
  EventId id;
  PublicKey pubkey;
  std::int64_t created_at = 0;  ///< seconds since 1970, never negative
  std::uint32_t kind = 0;       ///< 0 to 65535
  Tags tags;
  std::string content;  ///< UTF-8 without U+0000
  Signature sig;
};

/// What an author fills in; sign_event() does the rest. Each member may be left out.
struct EventDraft {
  std::int64_t created_at = 0;
  std::uint32_t kind = 0;
  Tags tags{};
  std::string content{};
};

/// Appends [0,pubkey,created_at,kind,tags,content] exactly as NIP-01 hashes it (spec/01-events.md).
void append_canonical(std::string& out, const Event& event);
[[nodiscard]] EventId compute_id(const Event& event);

/// Appends {"id":…,"pubkey":…,"created_at":…,"kind":…,"tags":…,"content":…,"sig":…}.
void append_json(std::string& out, const Event& event);
[[nodiscard]] std::string to_json(const Event& event);

/// CHECKs created_at >= 0 and kind <= 65535. Tags and content must be is_event_text()
/// (events/text.h): readers refuse all else.
[[nodiscard]] Event sign_event(EventDraft draft, const Keypair& author, Rng& rng);

/// Bounds on one event from outside. Checked while parsing, before anything is allocated for it.
struct EventLimits {
  std::size_t json_bytes_max = 128U << 10;  ///< the object's text
  std::size_t tags_max = 5000;              ///< follow lists of 1,000s are real
  std::size_t tag_elements_max = 256;  ///< elements of one tag; zap requests list relays in one
  std::size_t tag_element_bytes_max = 64U << 10;
  std::size_t content_bytes_max = 100U << 10;
  std::size_t content_chars_max = SIZE_MAX;  ///< what NIP-11 advertises counts characters
  /// Members beside the seven are read past and forgotten, not refused: for relays.
  bool drops_other_members = false;
};

/// An event of the right shape whose id is the hash of its content. Its signature is not checked
/// yet: it may be shown to nobody. Made by parse_event() and check_id() only.
class UnverifiedEvent {
 public:
  [[nodiscard]] const Event& event() const { return event_; }

 private:
  friend Result<UnverifiedEvent, ParseError> check_id(Event event);
  friend class VerifiedEvent;

  explicit UnverifiedEvent(Event event) : event_(std::move(event)) {}

  Event event_;
};

/// Computes the id and compares: ParseError::WrongId when it differs.
[[nodiscard]] Result<UnverifiedEvent, ParseError> check_id(Event event);

/// Strict parse of one event object: all seven members once each in any order, no others (they are
/// not signed, so no reader could trust them) or none that is kept; lowercase hex of exact size;
/// integers written as digits only, in range; tags an array of non-empty arrays of strings; no
/// U+0000; then the id. Threads: any; each keeps about six times the largest text that it has seen.
[[nodiscard]] Result<UnverifiedEvent, ParseError> parse_event(std::string_view json,
                                                              const EventLimits& limits = {});

/// That an event comes from the stream of the relay's own cluster, where those get in that one of
/// its relays has verified, and nobody else may write. Only relay/cluster/cluster.cpp makes one.
class VerifiedByCluster {
  friend class relay::Cluster;

  VerifiedByCluster() = default;
};

/// An event whose id and signature are right. Nothing but verification, here or by a relay of the
/// own cluster, makes one (proven by tests/events/verified_event_nocompile.cpp), so nothing
/// unverified can reach a store or a reader. Immutable and shared: copying costs a reference count.
/// Threads: any.
class VerifiedEvent {
 public:
  [[nodiscard]] static VerifiedEvent from_cluster(UnverifiedEvent&& event,
                                                  VerifiedByCluster /*witness*/) {
    return VerifiedEvent(std::move(event.event_));
  }

  [[nodiscard]] static std::optional<VerifiedEvent> verify(UnverifiedEvent&& event,
                                                           Verifier& verifier);
  /// The same for many; results in the order of `events`, which are moved from.
  [[nodiscard]] static std::vector<std::optional<VerifiedEvent>> verify_all(
      std::span<UnverifiedEvent> events, Verifier& verifier);

  [[nodiscard]] const Event& event() const { return *event_; }

  const Event* operator->() const { return event_.get(); }

 private:
  explicit VerifiedEvent(Event event) : event_(std::make_shared<const Event>(std::move(event))) {}

  std::shared_ptr<const Event> event_;
};

}  // namespace nostril
