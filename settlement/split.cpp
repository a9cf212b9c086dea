#include "settlement/split.h"

#include "settlement/evm/asset.h"

#include <algorithm>

namespace nostril::settlement {

std::optional<Share> parse_share(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const auto to = evm::parse_address(text.substr(0, equals));
  const auto points = parse_decimal_u64(text.substr(equals + 1), kBasisPointsMax);
  if (!to || to->is_zero() || !points || *points == 0) return std::nullopt;
  return Share{*to, static_cast<std::uint32_t>(*points)};
}

bool is_split(std::span<const Share> shares) {
  constexpr std::size_t kSharesMax = 16;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    sum += shares[i].basis_points;
    const auto before = shares.first(i);
    if (std::ranges::find(before, shares[i].to, &Share::to) != before.end()) return false;
  }
  return shares.size() <= kSharesMax && sum <= kBasisPointsMax;
}

Amount due(const Share& share, Amount earned, Amount paid) {
  const Uint128 part = earned.value() * share.basis_points / kBasisPointsMax;
  if (part <= paid.value()) return {};
  return Amount::from(part - paid.value()).value_or(Amount());
}

}  // namespace nostril::settlement
