#pragma once

#include "events/event.h"
#include "events/inference.h"

#include <cstdint>

namespace nostril::settlement::evm {

/// Kind 1473: the signer's word to lock `total` in a channel, out of the payer's pool. Exactly
/// ["d",channel],["amount",total],["expiration",time] in this order, content "": the contract
/// rebuilds it. spec/12-contract.md, "Events". Not published before it is to be used.
struct ChannelOrder {
  EventId id;
  PublicKey signer;
  std::int64_t created_at = 0;  ///< 10^9 to 2^32 - 1, as expires_at

  ChannelId channel;
  Amount total;  ///< of the channel, not of this order; above zero
  std::int64_t expires_at = 0;

  bool operator==(const ChannelOrder&) const = default;
};

/// CHECKs that what it writes would parse. Threads: any.
[[nodiscard]] EventDraft build_order(const ChannelOrder& order);
[[nodiscard]] Result<ChannelOrder, InferenceError> parse_order(const Event& event);

}  // namespace nostril::settlement::evm
