#include "settlement/lightning/payment.h"

#include "base/enum_names.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <array>

namespace nostril::settlement::lightning {

namespace {

constexpr std::array<std::string_view, 3> kStateNames = {"waiting", "settled", "failed"};
constexpr std::array<std::string_view, 3> kPurposeNames = {"deposit", "refund", "step"};

/// Nothing that is paid to an invoice can be under way so long after its end.
constexpr std::int64_t kLateS = 14LL * 86'400;

constexpr std::int64_t kDayS = 86'400;

/// No request of ours can be acted on any more.
bool is_over(const Payment& payment, std::int64_t now) {
  return now > payment.sent_until + kClockSlackS;
}

}  // namespace

std::string_view to_string(PaymentState state) {
  return kStateNames.at(static_cast<std::size_t>(state));
}

std::optional<PaymentState> parse_payment_state(std::string_view text) {
  return enum_of<PaymentState>(kStateNames, text);
}

std::string_view to_string(PaymentPurpose purpose) {
  return kPurposeNames.at(static_cast<std::size_t>(purpose));
}

std::optional<PaymentPurpose> parse_payment_purpose(std::string_view text) {
  return enum_of<PaymentPurpose>(kPurposeNames, text);
}

bool may_send(const Payment& payment, bool unknown, std::int64_t now) {
  if (!payment.outgoing || payment.state != PaymentState::Waiting || now >= payment.expires_at) {
    return false;
  }
  return payment.sent_until == 0 || (unknown && is_over(payment, now));
}

void note_sent(Payment& payment, std::int64_t now) {
  payment.sent_until = std::min(now + kPayRequestS, payment.expires_at);
}

bool note_paid(Payment& payment, const Digest& preimage, Msat fees) {
  if (!payment.outgoing || sha256(preimage.bytes) != payment.hash) return false;
  payment.state = PaymentState::Settled;
  payment.fees = fees;
  return true;
}

void note_refused(Payment& payment, WalletErrorCode code) {
  if (!payment.outgoing || payment.state != PaymentState::Waiting) return;
  switch (code) {
    case WalletErrorCode::NotImplemented:
    case WalletErrorCode::InsufficientBalance:
    case WalletErrorCode::QuotaExceeded:
    case WalletErrorCode::Restricted:
    case WalletErrorCode::Unauthorized:
    case WalletErrorCode::UnsupportedEncryption:
    case WalletErrorCode::RateLimited:
      payment.state = PaymentState::Failed;
      return;
    case WalletErrorCode::PaymentFailed:  // perhaps only for now: parts may be under way
    case WalletErrorCode::Internal:
    case WalletErrorCode::NotFound:
    case WalletErrorCode::Other:
      return;
  }
}

void note_lookup(Payment& payment, const WalletTransaction& found, std::int64_t now) {
  if (found.payment_hash != payment.hash || payment.state == PaymentState::Settled) return;
  const bool dead =
      found.state == TransactionState::Failed || found.state == TransactionState::Expired;
  if (payment.outgoing) {
    if (found.state == TransactionState::Settled && found.preimage) {
      note_paid(payment, *found.preimage, found.fees);
    } else if (dead && is_over(payment, now)) {
      payment.state = PaymentState::Failed;
    }
    return;
  }
  if (found.state == TransactionState::Settled && found.amount >= payment.amount) {
    payment.state = PaymentState::Settled;  // late or not: the money is here
  } else if (dead ? now > payment.expires_at + kClockSlackS : now > payment.expires_at + kLateS) {
    payment.state = PaymentState::Failed;
  }
}

void note_unknown(Payment& payment, std::int64_t now) {
  const bool over = is_over(payment, now) && now > payment.expires_at + kClockSlackS;
  if (payment.state == PaymentState::Waiting && over) payment.state = PaymentState::Failed;
}

ChannelSums sums_of(std::span<const Payment> payments, const ChannelId& channel) {
  ChannelSums out;
  for (const Payment& one : payments) {
    if (one.channel != channel) continue;
    if (one.purpose != PaymentPurpose::Refund) {
      if (one.state == PaymentState::Settled) out.deposited += one.amount;
    } else if (one.state != PaymentState::Failed) {
      out.refunded += one.amount;
    }
  }
  return out;
}

Amount backing_of(const ChannelSums& sums, Msat step) {
  return *Amount::from(Uint128{sums.left()} + step);
}

Msat owed(const ChannelSums& sums, Amount spent) {
  const Uint128 left = sums.left();
  return spent.value() > left ? static_cast<Msat>(std::min(spent.value() - left, Uint128{kMsatMax}))
                              : 0;
}

bool is_near(Msat owed, Amount step) {
  return owed > 0 && Uint128{owed} * 2 >= step.value();
}

Msat paid_in_a_day(std::span<const Payment> payments, std::int64_t now) {
  Uint128 sum = 0;
  for (const Payment& one : payments) {
    const bool counts =
        one.purpose == PaymentPurpose::Step && one.outgoing && one.state != PaymentState::Failed;
    // A time to come: the clock was set back. Such a payment counts until its day is over.
    if (counts && one.created_at > now - kDayS) sum += one.amount;
  }
  return static_cast<Msat>(std::min(sum, Uint128{kMsatMax}));
}

Msat payable(const PayPolicy& policy, std::span<const Payment> payments, Msat owed, Amount most,
             std::int64_t now) {
  const Msat today = paid_in_a_day(payments, now);
  if (!policy.pays() || today >= policy.day_max) return 0;
  const Msat allowed = std::min({owed, policy.payment_max, policy.day_max - today});
  return static_cast<Msat>(std::min(Uint128{allowed}, most.value()));
}

Msat refundable(const ChannelSums& sums, Amount spent) {
  const Uint128 left = sums.left();
  return left > spent.value() ? static_cast<Msat>(left - spent.value()) : 0;
}

}  // namespace nostril::settlement::lightning
