#pragma once

#include "events/amount.h"
#include "schnorr/types.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

/// Who gets how much of what was earned: model owner, operator, relay. Pure, integers only.
/// Threads: any.
namespace nostril::settlement {

struct Share {
  EthereumAddress to;
  std::uint32_t basis_points = 0;  ///< of 10,000

  bool operator==(const Share&) const = default;
};

inline constexpr std::uint32_t kBasisPointsMax = 10'000;

/// "0x<40 hex digits>=<basis points>", 1 to 10,000.
[[nodiscard]] std::optional<Share> parse_share(std::string_view text);

/// 16 at most, nobody twice, 10,000 basis points together at most.
[[nodiscard]] bool is_split(std::span<const Share> shares);

/// What a share is owed now: its part of all that was ever earned, rounded down, less what it was
/// ever paid. Sums of all time, so that rounding never drifts and a payment that is known is not
/// made again. Zero when it has more.
[[nodiscard]] Amount due(const Share& share, Amount earned, Amount paid);

}  // namespace nostril::settlement
