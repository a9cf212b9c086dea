#pragma once

#include "attestation/verdict.h"
#include "client/evidence_chains.h"

#include <cstdint>
#include <string>

namespace nostril::client {

/// What stands around a verdict on its page.
struct PageContext {
  std::string subject;      ///< what was judged: a file, "model of npub"
  std::string policy;       ///< the policy file; empty: the defaults
  std::int64_t now_s = 0;   ///< when
  ShownChains chains = {};  ///< certificates for the boxes of the chain
};

/// The verdict as one HTML page: verdict, reasons, the chains from their roots (verdict_chains.h),
/// claims, every check with found, wanted and source. No script, nothing loaded: the page forbids
/// both by its Content-Security-Policy. Light and dark, from 320 px on, and on paper. Whatever the
/// evidence says is escaped and isolated (`<bdi>`); simulated evidence is said in red wherever the
/// verdict stands.
[[nodiscard]] std::string verdict_page(const attestation::Verdict& verdict,
                                       const PageContext& context);

}  // namespace nostril::client
