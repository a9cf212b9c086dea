#pragma once

#include "attestation/verdict.h"
#include "events/amount.h"
#include "events/inference.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nostril::client {

/// What a million tokens in, a million out and one request would cost: good enough to rank by.
[[nodiscard]] Uint128 price_rank(const Offer& offer);

/// What is known of a node when one is to be chosen.
struct NodeCandidate {
  PublicKey node;
  bool tried = false;  ///< for this request, and failed
  bool simulated = false;
  int reputation = 0;          ///< -100 to 100 (reputation_book.h)
  std::uint32_t failures = 0;  ///< lately, of requests of ours (node_history.h)
  Uint128 price = 0;
  std::optional<std::uint32_t> first_byte_ms;  ///< measured lately; nothing: unknown
  std::uint32_t load = 0;                      ///< load_rank()
};

/// The order in which nodes are to be asked, as indexes of `candidates`, all of which are verified:
///   1. not tried yet                       6. the first byte sooner, by doublings from 100 ms
///   2. genuine before simulated evidence   7. less busy
///   3. no bad reputation, by doublings     8. a good reputation, by doublings
///   4. fewer failures, by doublings        9. by chance
///   5. cheaper, in steps of 2 % above the cheapest
/// A node that was never measured counts as quick, so that it is measured. Chance is a hash of
/// `seed` and the node's key: the same seed gives the same order whatever other nodes there are, so
/// a seed made of a name keeps requests of that name together, and a random one spreads them. Pure.
[[nodiscard]] std::vector<std::size_t> order_nodes(std::span<const NodeCandidate> candidates,
                                                   const Digest& seed);

}  // namespace nostril::client
