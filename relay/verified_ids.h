#pragma once

#include "events/event.h"
#include "relay/store/store.h"

#include <array>
#include <cstddef>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace nostril::relay {

/// Events whose signature has passed lately, so that a second copy costs no second verification.
/// Only verified events get in: whoever sends a known id with a false signature first can't keep
/// the true event out. Two parts:
/// - on the way to the disk: the event itself; a copy joins the original's queue and gets its
///   answer only after the original is durable;
/// - settled: the answer, where it stays true: ephemeral events that were delivered, and deleted
///   ones. What is stored is the store's to know.
///
/// Threads: all members from any. Memory: what is under way, and 100 bytes a settled id.
class VerifiedIds {
 public:
  explicit VerifiedIds(std::size_t settled_max = 65'536)
      : settled_a_generation_max_(settled_max / kShards / 2 + 1) {}

  void add_pending(const VerifiedEvent& event);
  [[nodiscard]] std::optional<VerifiedEvent> find_pending(const EventId& id);

  /// What the store did with it. Ends its being pending.
  void settle(const EventId& id, PutResult result);

  /// False when this ephemeral event was seen before.
  [[nodiscard]] bool claim_ephemeral(const EventId& id);
  /// Nobody got it: its author may try again.
  void forget_ephemeral(const EventId& id);

  /// The lasting answer to a copy, if there is one.
  [[nodiscard]] std::optional<PutResult> find_settled(const EventId& id);

 private:
  static constexpr std::size_t kShards = 16;
  using Settled = std::unordered_map<EventId, PutResult, FixedBytesHash>;

  struct Shard {
    std::mutex mutex;
    // Guarded by mutex.
    std::unordered_map<EventId, VerifiedEvent, FixedBytesHash> pending;
    Settled settled;  // when full it becomes `previous`, and that is forgotten
    Settled previous;
  };

  Shard& shard_of(const EventId& id) { return shards_[id.bytes[16] % kShards]; }

  bool remember(Shard& shard, const EventId& id, PutResult result) const;

  const std::size_t settled_a_generation_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace nostril::relay
