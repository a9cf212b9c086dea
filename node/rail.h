#pragma once

#include "base/result.h"
#include "events/frames.h"
#include "events/inference.h"
#include "settlement/channel.h"

#include <optional>
#include <string>

namespace nostril::node {

/// What stands behind a channel. The meters, statements and receipts of settlement/ know nothing of
/// it: a rail only says which channel a payer means, and how much its receipts can ever be turned
/// into. Another way of settling (a Lightning wallet, x402, Cashu) is another class of this.
/// Threads: the loop's only.
class Rail {
 public:
  Rail() = default;
  virtual ~Rail() = default;
  Rail(const Rail&) = delete;
  Rail& operator=(const Rail&) = delete;

  /// All terms of the channel that `payment` names, or a sentence for the payer.
  [[nodiscard]] virtual Result<settlement::ChannelTerms, std::string> channel(
      const PaymentTerms& payment, const Offer& offer) const = 0;

  /// Most that receipts of this channel are worth, all time; none: no bound, the credit is all that
  /// stands behind them.
  [[nodiscard]] virtual std::optional<Amount> backing(
      const settlement::ChannelTerms& terms) const = 0;
};

/// Nothing is locked anywhere.
class UnsettledRail final : public Rail {
 public:
  [[nodiscard]] Result<settlement::ChannelTerms, std::string> channel(
      const PaymentTerms& payment, const Offer& offer) const override;

  [[nodiscard]] std::optional<Amount> backing(const settlement::ChannelTerms&) const override {
    return std::nullopt;
  }
};

}  // namespace nostril::node
