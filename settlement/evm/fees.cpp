#include "settlement/evm/fees.h"

#include <algorithm>
#include <vector>

namespace nostril::settlement::evm {

namespace {

/// Beyond it the sums below could wrap; no chain has such fees.
constexpr Uint128 kFeeBound = Uint128{1} << 100U;

Uint128 median(std::vector<Uint128> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

Uint128 one_eighth_more(Uint128 value) {
  constexpr Uint128 kEighths = 8;
  return value + (value + kEighths - 1) / kEighths + 1;
}

}  // namespace

std::optional<Fees> fees_now(const FeeHistory& history, const FeePolicy& policy) {
  if (history.next_base_fee > policy.fee_max || history.next_base_fee > kFeeBound) {
    return std::nullopt;
  }
  const Uint128 room = policy.fee_max - history.next_base_fee;
  const Uint128 tip = std::min(std::max(median(history.tips), policy.tip_min), room);
  return Fees{std::min(policy.fee_max, 2 * history.next_base_fee + tip), tip};
}

std::optional<Fees> fees_for_replacement(const Fees& before, const FeeHistory& history,
                                         const FeePolicy& policy) {
  if (before.fee_max > kFeeBound) return std::nullopt;
  Fees out{one_eighth_more(before.fee_max), one_eighth_more(before.tip)};
  if (const auto now = fees_now(history, policy)) {
    out.fee_max = std::max(out.fee_max, now->fee_max);
    out.tip = std::max(out.tip, now->tip);
  }
  out.fee_max = std::max(out.fee_max, out.tip);
  if (out.fee_max > policy.fee_max) return std::nullopt;
  return out;
}

std::uint64_t gas_limit(std::uint64_t estimate) {
  constexpr std::uint64_t kEstimateMax = 100'000'000;
  return std::min(estimate, kEstimateMax) * 5 / 4;
}

}  // namespace nostril::settlement::evm
