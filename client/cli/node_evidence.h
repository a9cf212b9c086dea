#pragma once

#include "attestation/verdict.h"
#include "client/cli/commands.h"
#include "client/evidence_chains.h"
#include "events/inference.h"

#include <memory>
#include <string>

namespace nostril::client::cli {

/// A node's offer as the relays have it, judged as `chat` would before it sends anything.
struct JudgedOffer {
  Offer offer;
  /// Null when the evidence was not reached; `reason` then says why.
  std::shared_ptr<const attestation::Verdict> verdict;
  std::string reason;
  ShownChains chains;  ///< for pages
};

/// The newest offer of `npub` (of `model`, when it is not empty) on the settings' relays. Throws
/// std::runtime_error when there is none.
[[nodiscard]] JudgedOffer judge_from_relays(Process& process, const ClientSettings& settings,
                                            const std::string& npub, const std::string& model);

}  // namespace nostril::client::cli
