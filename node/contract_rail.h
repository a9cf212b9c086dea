#pragma once

#include "base/clock.h"
#include "node/rail.h"
#include "settlement/evm/mirror.h"

#include <cstdint>
#include <memory>

namespace nostril::node {

/// The contract's channels at one moment. Immutable once made.
struct ChainView {
  settlement::evm::Mirror confirmed;
  settlement::evm::Mirror newest;  ///< with the blocks that may still go
  std::uint64_t head_time = 0;     ///< of the chain's end, seconds since 1970
};

/// Channels of the contract: their backing is what is locked in blocks that are deep enough.
/// Nothing backs a channel that is closing, or that the chain has no news of: with a view older
/// than a quarter of the grace period a close could end unseen (spec/12-contract.md, "Times").
/// Threads: the loop's only.
class ContractRail final : public Rail {
 public:
  static constexpr std::int64_t kViewAgeSMax = 86'400 / 4;

  explicit ContractRail(Clock& clock) : clock_(clock) {}

  void update(std::shared_ptr<const ChainView> view) { view_ = std::move(view); }

  [[nodiscard]] Result<settlement::ChannelTerms, std::string> channel(
      const PaymentTerms& payment, const Offer& offer) const override;
  [[nodiscard]] std::optional<Amount> backing(const settlement::ChannelTerms& terms) const override;

  /// The view is there and young enough.
  [[nodiscard]] bool fresh() const;

 private:
  Clock& clock_;
  std::shared_ptr<const ChainView> view_;
};

}  // namespace nostril::node
