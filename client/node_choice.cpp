#include "client/node_choice.h"

#include "schnorr/hash.h"
#include "settlement/price.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <tuple>

namespace nostril::client {

namespace {

constexpr Uint128 kPriceSteps = 50;  // of 2 %
constexpr Uint128 kPriceClassMax = 1U << 20;
constexpr std::uint32_t kQuickMs = 100;

/// In steps above the cheapest; who costs something where another one is free is last.
std::uint32_t price_class(Uint128 price, Uint128 cheapest) {
  if (price <= cheapest) return 0;
  if (cheapest == 0) return static_cast<std::uint32_t>(kPriceClassMax);
  const Uint128 more = price - cheapest;
  constexpr Uint128 kSafe = ~Uint128{0} / kPriceSteps;
  if (more > kSafe) return static_cast<std::uint32_t>(kPriceClassMax);
  return static_cast<std::uint32_t>(std::min(more * kPriceSteps / cheapest, kPriceClassMax));
}

int doublings(std::uint32_t value) {
  return static_cast<int>(std::bit_width(value));
}

/// Of what is below zero none.
int doublings_of(int value) {
  return doublings(static_cast<std::uint32_t>(std::max(value, 0)));
}

}  // namespace

Uint128 price_rank(const Offer& offer) {
  const settlement::PriceTable prices = settlement::PriceTable::of(offer);
  return prices.amount(PriceUnit::Input).value() + prices.amount(PriceUnit::Output).value() +
         prices.amount(PriceUnit::Request).value();
}

std::vector<std::size_t> order_nodes(std::span<const NodeCandidate> candidates,
                                     const Digest& seed) {
  using Rank = std::tuple<bool, bool, int, int, std::uint32_t, int, std::uint32_t, int, Digest>;
  std::vector<std::size_t> out(candidates.size());
  std::iota(out.begin(), out.end(), std::size_t{0});
  if (candidates.empty()) return out;
  const Uint128 cheapest = std::ranges::min_element(candidates, {}, &NodeCandidate::price)->price;
  std::vector<Rank> ranks;
  ranks.reserve(candidates.size());
  for (const NodeCandidate& one : candidates) {
    ranks.emplace_back(one.tried, one.simulated, doublings_of(-one.reputation),
                       doublings(one.failures), price_class(one.price, cheapest),
                       doublings(one.first_byte_ms.value_or(0) / kQuickMs), one.load,
                       -doublings_of(one.reputation),
                       Sha256().update(seed.span()).update(one.node.span()).finish());
  }
  std::ranges::sort(out, [&](std::size_t a, std::size_t b) { return ranks[a] < ranks[b]; });
  return out;
}

}  // namespace nostril::client
