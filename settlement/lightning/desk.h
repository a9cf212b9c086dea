#pragma once

#include "events/inference.h"
#include "settlement/channel.h"
#include "settlement/lightning/payment.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

/// What a payer and a node say about deposits: JSON bodies of requests for kDeskPath in a session,
/// and of their answers. spec/13-lightning.md.
namespace nostril::settlement::lightning {

/// A request for it is answered by the node itself, for nothing, and over no channel.
inline constexpr std::string_view kDeskPath = "/nostril/lightning";
inline constexpr std::size_t kDeskBytesMax = 8192;

/// Kind 1473 of another form: the signer's word to pay `amount` of a channel's deposits back.
/// Exactly ["d",channel],["refund",amount],["bolt11",invoice], content "".
struct RefundOrder {
  PublicKey signer;
  std::int64_t created_at = 0;
  ChannelId channel;
  Msat amount = 0;  ///< the invoice's
  std::string invoice;

  bool operator==(const RefundOrder&) const = default;
};

[[nodiscard]] EventDraft build_refund(const RefundOrder& order);
[[nodiscard]] std::optional<RefundOrder> parse_refund(const Event& event);

/// Which channel: with the node's key and the offer's asset these are its terms.
struct DeskChannel {
  PublicKey signer;
  std::array<std::uint8_t, 16> salt{};

  bool operator==(const DeskChannel&) const = default;
};

/// How much stands behind it.
struct AskState {
  DeskChannel channel;
};

/// An invoice for so much. The same wish gets the same invoice while it can be paid.
struct AskDeposit {
  DeskChannel channel;
  Msat amount = 0;
};

/// `order`: signed; the node checks it.
struct AskRefund {
  DeskChannel channel;
  Event order;
};

using DeskWish = std::variant<AskState, AskDeposit, AskRefund>;

[[nodiscard]] std::string wish_text(const DeskWish& wish);
[[nodiscard]] std::optional<DeskWish> parse_wish(std::string_view text);

/// The node's word; its record signs it.
struct DeskState {
  ChannelSums sums;
  Amount spent;
  std::optional<std::string> invoice;   ///< to a deposit
  std::optional<PaymentState> payment;  ///< of that invoice, or of the refund

  bool operator==(const DeskState&) const = default;
};

[[nodiscard]] std::string state_text(const DeskState& state);
[[nodiscard]] std::optional<DeskState> parse_state(std::string_view text);

/// The description of a deposit's invoice: whoever pays it can show what for.
[[nodiscard]] std::string deposit_description(const ChannelId& channel);

/// That invoice is one that a payer may pay for this wish, and why not.
[[nodiscard]] std::optional<std::string> problem_of_deposit(const Invoice& invoice,
                                                            const ChannelId& channel, Msat amount,
                                                            std::string_view network,
                                                            std::int64_t now);

}  // namespace nostril::settlement::lightning
