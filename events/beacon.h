#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/inference.h"
#include "schnorr/types.h"

#include <cstdint>

/// Kind 1474: a witness says that it is now. Its id could be known to nobody before, so evidence
/// over it is not older. Page: spec/04-attestation.md. parse trusts neither id nor signature: give
/// it the event of a VerifiedEvent. Threads: pure functions, any.
namespace nostril {

struct Beacon {
  EventId id;
  PublicKey witness;
  std::int64_t created_at = 0;

  /// Fresh for each: an id is no hash of the signature, so without it anybody could compute the ids
  /// of all beacons to come.
  Digest random;

  bool operator==(const Beacon&) const = default;
};

/// From created_at to the event's NIP-40 expiration: as long as any policy may take a beacon.
inline constexpr std::int64_t kBeaconLifeS = 86'400;

[[nodiscard]] EventDraft build_beacon(std::int64_t created_at, const Digest& random);
[[nodiscard]] Result<Beacon, InferenceError> parse_beacon(const Event& event);

}  // namespace nostril
