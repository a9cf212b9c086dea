#include "relay/verified_ids.h"

#include <utility>

namespace nostril::relay {

void VerifiedIds::add_pending(const VerifiedEvent& event) {
  Shard& shard = shard_of(event->id);
  const std::lock_guard lock(shard.mutex);
  shard.pending.emplace(event->id, event);
}

std::optional<VerifiedEvent> VerifiedIds::find_pending(const EventId& id) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.pending.find(id);
  if (found == shard.pending.end()) return std::nullopt;
  return found->second;
}

void VerifiedIds::settle(const EventId& id, PutResult result) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  shard.pending.erase(id);
  if (result == PutResult::Deleted || result == PutResult::Vanished) remember(shard, id, result);
}

bool VerifiedIds::claim_ephemeral(const EventId& id) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  return remember(shard, id, PutResult::Duplicate);
}

void VerifiedIds::forget_ephemeral(const EventId& id) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  shard.settled.erase(id);
  shard.previous.erase(id);
}

std::optional<PutResult> VerifiedIds::find_settled(const EventId& id) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  for (const Settled* generation : {&shard.settled, &shard.previous}) {
    const auto found = generation->find(id);
    if (found != generation->end()) return found->second;
  }
  return std::nullopt;
}

bool VerifiedIds::remember(Shard& shard, const EventId& id, PutResult result) const {
  if (shard.previous.contains(id) || shard.settled.contains(id)) return false;
  if (shard.settled.size() >= settled_a_generation_max_) {
    shard.previous = std::exchange(shard.settled, {});
  }
  return shard.settled.emplace(id, result).second;
}

}  // namespace nostril::relay
