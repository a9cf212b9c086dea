#pragma once

#include "attestation/trust_roots.h"
#include "events/reputation.h"
#include "schnorr/verify.h"

#include <cstdint>
#include <string>

namespace nostril::client {

/// What a proof of fraud comes to. Rules, and why an honest node can't be framed:
/// spec/14-reputation.md.
struct FraudVerdict {
  bool proven = false;
  std::string reason;  ///< one sentence, for people: what was proven, or why nothing is
};

/// The span for which a node has promised to give the same request id the same answer
/// (spec/05-session.md).
inline constexpr std::int64_t kAnswersKeptMsMin = 3'600'000;

/// Judges the events in `proof` and nothing else: their signatures, then what they say of each
/// other. The same today and in a year, wherever it is asked: no clock, no network, no policy, no
/// collateral. `roots` may only be more than the vendors' for simulated evidence; what a proof
/// needs of evidence holds under any root. About 0.2 ms, 3 ms with evidence. Never throws on any
/// events.
[[nodiscard]] FraudVerdict check_fraud_proof(const FraudProof& proof,
                                             const attestation::TrustRoots& roots,
                                             Verifier& verifier);

}  // namespace nostril::client
