#pragma once

#include "settlement/evm/channel.h"
#include "settlement/evm/log.h"

#include <cstdint>
#include <map>
#include <optional>

namespace nostril::settlement::evm {

/// A channel as the contract's log tells it.
struct MirroredChannel {
  Channel terms;
  Amount locked;
  Amount claimed;
  std::uint64_t close_at = 0;  ///< seconds since 1970; 0: no close was requested
  bool returned = false;       ///< something went back to the payer once

  bool operator==(const MirroredChannel&) const = default;
};

/// The contract's channels, as a fold over its log entries in their order. An entry of a channel
/// whose opening is not in the log, or whose name is not that of its terms, changes nothing.
/// Threads: one at a time.
class Mirror {
 public:
  /// With `payee`: only the channels that pay it.
  explicit Mirror(const ContractPlace& place, std::optional<EthereumAddress> payee = std::nullopt)
      : place_(place), payee_(payee) {}

  void apply(const ContractLog& log);

  [[nodiscard]] const std::map<ChannelId, MirroredChannel>& channels() const { return channels_; }

  [[nodiscard]] const MirroredChannel* find(const ChannelId& id) const;

 private:
  ContractPlace place_;
  std::optional<EthereumAddress> payee_;
  std::map<ChannelId, MirroredChannel> channels_;
};

}  // namespace nostril::settlement::evm
