#pragma once

#include "attestation/snp_verify.h"
#include "attestation/verify.h"
#include "schnorr/types.h"

namespace nostril::attestation {

/// Names a policy with all its lists, so that a verdict is kept under the policy that gave it and
/// under no other. Of this process only: not stored, not sent. Beacons are left out: they are facts
/// about time, and Verdict::holds_until bounds what was accepted by one.
///
/// Each struct is taken apart by all its members: a new one does not compile before it is fed here.
Digest policy_digest(const Policy& policy);
Digest policy_digest(const SnpPolicy& policy);

}  // namespace nostril::attestation
