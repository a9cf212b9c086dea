#pragma once

#include "events/amount.h"
#include "settlement/evm/rpc.h"

#include <cstdint>
#include <optional>

/// What a transaction may cost: EIP-1559 fees. Pure. Threads: any.
namespace nostril::settlement::evm {

struct FeePolicy {
  Uint128 fee_max = 0;  ///< most wei a unit of gas, tip included; above, nothing is sent
  Uint128 tip_min = 0;  ///< wei a unit of gas
};

struct Fees {
  Uint128 fee_max = 0;
  Uint128 tip = 0;

  bool operator==(const Fees&) const = default;
};

/// The median tip of the last blocks, tip_min at least, and room for the base fee to double (six
/// full blocks), all within the policy. Nothing when the next block's base fee alone is above it.
[[nodiscard]] std::optional<Fees> fees_now(const FeeHistory& history, const FeePolicy& policy);

/// Of the same transaction once more: both at least 12.5 % higher, so that nodes take it in place
/// of the first (they ask for 10), and not below what is usual now. Nothing when that is above the
/// policy: the first one waits.
[[nodiscard]] std::optional<Fees> fees_for_replacement(const Fees& before,
                                                       const FeeHistory& history,
                                                       const FeePolicy& policy);

/// Gas to allow when an estimate said `estimate`: a quarter more, as state may change until then.
[[nodiscard]] std::uint64_t gas_limit(std::uint64_t estimate);

}  // namespace nostril::settlement::evm
