#pragma once

#include "attestation/rim.h"

#include <optional>
#include <vector>

namespace nostril::attestation::test {

/// One manifest judged by itself: the verdict has its checks and claims.
struct RimVerdict {
  std::optional<VerifiedRim> verified;
  Verdict verdict;

  [[nodiscard]] const Check& check(std::string_view name) const { return *verdict.find(name); }
};

inline RimVerdict judge_rim(ByteSpan bytes, RimKind kind, const TrustRoots& roots, UnixTime now,
                            const RimPolicy& policy = {}) {
  RimVerdict out;
  Checklist checks(out.verdict.checks);
  list_rim_checks(checks, kind);
  out.verified = examine_rim(bytes, kind, roots, now, policy, checks, out.verdict.claims);
  out.verdict.accepted = checks.accepts();
  return out;
}

}  // namespace nostril::attestation::test
