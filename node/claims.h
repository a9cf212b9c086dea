#pragma once

#include "client/journal.h"
#include "events/event.h"
#include "settlement/evm/mirror.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace nostril::node {

/// A channel whose newest receipt is worth more than what was claimed.
struct Claimable {
  ChannelId id;
  Amount worth;
  std::uint64_t close_at = 0;  ///< 0: no close was requested
  settlement::evm::ClaimRow row{};
};

/// Of the channels of `mirror`, by what the journal has of them. Most urgent first: those that are
/// closing, then by worth. Threads: any; the journal is only read.
[[nodiscard]] std::vector<Claimable> find_claimable(client::Journal& journal,
                                                    const settlement::evm::ContractPlace& place,
                                                    const settlement::evm::Mirror& mirror,
                                                    const EthereumAddress& payee,
                                                    const EthereumAddress& token, Amount least);

struct ClaimPolicy {
  Amount at;                 ///< sum that is worth the gas
  std::int64_t after_s = 0;  ///< since the last claim
};

enum class ClaimReason : std::uint8_t { Asked, Closing, Sum, Time };
std::string_view to_string(ClaimReason reason);

/// Why to claim now; nothing: it waits. Pure.
[[nodiscard]] std::optional<ClaimReason> reason_to_claim(std::span<const Claimable> claimable,
                                                         const ClaimPolicy& policy,
                                                         std::int64_t since_last_s, bool asked);

/// Rows of one transaction: about 18,000 gas each, far below any block's limit.
inline constexpr std::size_t kClaimRowsMax = 100;

}  // namespace nostril::node
