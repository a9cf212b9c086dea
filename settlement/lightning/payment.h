#pragma once

#include "events/inference.h"
#include "settlement/lightning/bolt11.h"
#include "settlement/lightning/nwc.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// One payment over Lightning as its journal knows it, and what news of it mean. It is in the
/// journal before anything is sent, it is looked up before it is sent again, and its payment hash
/// stays the same: so a crash at any moment pays nothing twice.
namespace nostril::settlement::lightning {

enum class PaymentState : std::uint8_t {
  Waiting,  ///< may have been paid, may be paid yet
  Settled,
  Failed,  ///< was not paid and never will be: under this hash nothing is sent any more
};
std::string_view to_string(PaymentState state);
[[nodiscard]] std::optional<PaymentState> parse_payment_state(std::string_view text);

enum class PaymentPurpose : std::uint8_t {
  Deposit,
  Refund,
  Step,  ///< a deposit that the payer's program made by itself, for what it has had (PayPolicy)
};
std::string_view to_string(PaymentPurpose purpose);
[[nodiscard]] std::optional<PaymentPurpose> parse_payment_purpose(std::string_view text);

/// Deposits go from the payer to the node, refunds back. Both keep the same row; of a step the node
/// knows only that it is a deposit.
struct Payment {
  PaymentHash hash;
  ChannelId channel;
  PaymentPurpose purpose = PaymentPurpose::Deposit;
  bool outgoing = false;
  PaymentState state = PaymentState::Waiting;
  Msat amount = 0;
  Msat fees = 0;  ///< that we paid
  std::string invoice;
  std::int64_t created_at = 0;
  std::int64_t expires_at = 0;  ///< the invoice's
  /// Outgoing: no request of ours that a wallet may still act on, later than this. 0: none was
  /// sent.
  std::int64_t sent_until = 0;

  bool operator==(const Payment&) const = default;
};

/// How long a wallet may take up a request to pay (its `expiration` tag), and how long clocks may
/// differ.
inline constexpr std::int64_t kPayRequestS = 60;
inline constexpr std::int64_t kClockSlackS = 30;

/// A request to pay may be sent now: none was, or none can be acted on any more and the wallet has
/// just said that it knows of no such payment (`unknown`).
[[nodiscard]] bool may_send(const Payment& payment, bool unknown, std::int64_t now);
/// It is about to be sent, once this is on the disk.
void note_sent(Payment& payment, std::int64_t now);

/// The wallet says that it has paid. False, and nothing changes, when the preimage is not that of
/// the invoice.
bool note_paid(Payment& payment, const Digest& preimage, Msat fees);

/// The wallet refused for a reason that says that it did not pay; nothing changes for any other.
void note_refused(Payment& payment, WalletErrorCode code);

/// What the wallet knows of it. Outgoing: settled by its preimage only, failed when no request can
/// be acted on any more. Incoming: our own wallet's word.
void note_lookup(Payment& payment, const WalletTransaction& found, std::int64_t now);

/// The wallet knows no such payment, and it is too late for one.
void note_unknown(Payment& payment, std::int64_t now);

/// What a channel's payments come to.
struct ChannelSums {
  Msat deposited = 0;  ///< settled
  Msat refunded = 0;   ///< settled, or perhaps paid

  [[nodiscard]] Msat left() const { return deposited > refunded ? deposited - refunded : 0; }

  bool operator==(const ChannelSums&) const = default;
};

[[nodiscard]] ChannelSums sums_of(std::span<const Payment> payments, const ChannelId& channel);

/// Most that receipts of a channel are worth: what is left of its deposits, and what the node gives
/// on trust.
[[nodiscard]] Amount backing_of(const ChannelSums& sums, Msat step);

/// What a payer's program may pay by itself, to nodes that are paid after the fact (an offer's step
/// above 0). It never pays more than its receipts owe.
struct PayPolicy {
  Msat payment_max = 0;  ///< of one payment; 0: it pays nothing by itself
  Msat day_max = 0;      ///< in 24 hours, to all nodes

  [[nodiscard]] bool pays() const { return payment_max > 0 && day_max > 0; }
};

/// What the channel's receipts come to beyond its deposits.
[[nodiscard]] Msat owed(const ChannelSums& sums, Amount spent);

/// Half of what the node gives on trust is used up: time to pay, while the rest still serves.
[[nodiscard]] bool is_near(Msat owed, Amount step);

/// What was paid by itself in the last 24 hours, or may still be.
[[nodiscard]] Msat paid_in_a_day(std::span<const Payment> payments, std::int64_t now);

/// How much of `owed` to pay now; 0: the policy allows nothing more today. `most`: that the node
/// takes at once.
[[nodiscard]] Msat payable(const PayPolicy& policy, std::span<const Payment> payments, Msat owed,
                           Amount most, std::int64_t now);

/// What a payer may ask back when the channel has come to `spent`.
[[nodiscard]] Msat refundable(const ChannelSums& sums, Amount spent);

}  // namespace nostril::settlement::lightning
