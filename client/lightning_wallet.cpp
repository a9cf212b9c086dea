#include "client/lightning_wallet.h"

#include "base/crash_point.h"
#include "base/hex.h"
#include "client/channel_store.h"
#include "settlement/price.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace nostril::client {

namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

constexpr std::int64_t kRefundExpiryS = 3'600;

std::string refund_description(const ChannelId& channel) {
  return "nostril refund " + encode_hex(channel);
}

}  // namespace

LightningWallet::LightningWallet(WalletUri uri, const std::string& ca_file,
                                 const std::filesystem::path& home, Journal& journal,
                                 net::Loop& loop, Clock& clock, Rng& rng)
    : journal_(journal),
      loop_(loop),
      clock_(clock),
      rng_(rng),
      payer_(std::move(uri), ca_file, home, journal, loop, clock, rng) {}

// ---- Steps that run the loop --------------------------------------------------------------------

template <typename T>
T LightningWallet::wait_for(const std::function<void(std::function<void(const T&)>)>& begin) {
  std::optional<T> out;
  begin([this, &out](const T& value) {
    out = value;
    loop_.stop();
  });
  while (!out) loop_.run();
  return std::move(*out);
}

WalletReply LightningWallet::ask_wallet(WalletRequest request) {
  return wait_for<WalletReply>([&](auto done) { payer_.wallet().ask(std::move(request), done); });
}

Result<void, std::string> LightningWallet::keep(const Payment& payment) {
  const bool on_disk =
      wait_for<bool>([&](auto done) { payer_.keep(payment, [done](bool good) { done(good); }); });
  if (!on_disk) return failure(std::string("the journal failed"));
  return {};
}

Result<DeskState, std::string> LightningWallet::ask_desk(InferenceClient& client,
                                                         const SharedOffer& offer,
                                                         const DeskWish& wish) {
  return wait_for<Result<DeskState, std::string>>(
      [&](auto done) { payer_.ask_desk(client, offer, wish, done); });
}

Result<Msat, std::string> LightningWallet::balance() {
  const WalletReply reply = ask_wallet(GetBalance{});
  const auto* found = reply.answer ? std::get_if<WalletBalance>(&*reply.answer) : nullptr;
  if (found == nullptr) return failure(reply.problem);
  return found->balance;
}

const LightningWallet::Payment* LightningWallet::waiting(const ChannelId& channel,
                                                         bool outgoing) const {
  const auto found = std::ranges::find_if(book().payments(), [&](const Payment& one) {
    return one.channel == channel && one.outgoing == outgoing && one.state == PaymentState::Waiting;
  });
  return found == book().payments().end() ? nullptr : &*found;
}

// ---- Channels -----------------------------------------------------------------------------------

Amount LightningWallet::spent(Journal& journal, const ChannelId& channel) {
  const auto stored = get_channel(journal, channel);
  if (!stored) return {};
  const settlement::Micro micro = stored->snapshot.micro;
  return Amount::from((micro + settlement::kMicroPerUnit - 1) / settlement::kMicroPerUnit)
      .value_or(Amount());
}

/// The one that is in use; else one whose deposits are not all back.
std::optional<settlement::ChannelTerms> LightningWallet::channel_of(const Offer& offer,
                                                                    const PublicKey& signer) const {
  std::optional<Terms> out;
  for (const StoredChannel& stored : all_channels(journal_)) {
    const Terms& terms = stored.terms;
    if (!terms.lightning || terms.signer != signer || terms.node != offer.node ||
        terms.asset != offer.asset) {
      continue;
    }
    const ChannelId id = settlement::channel_id(terms);
    const bool has_money = Amount::of(book().sums(id).left()) > spent(journal_, id);
    if (!stored.open || has_money) out = terms;
    if (!stored.open && has_money) return out;
  }
  return out;
}

Result<settlement::ChannelTerms, std::string> LightningWallet::make_channel(
    const Offer& offer, const PublicKey& signer) {
  Terms terms{signer, offer.node, offer.asset, {}};
  terms.lightning = true;
  rng_.fill(terms.salt);
  const settlement::PayerChannel book(terms, Amount());
  std::optional<bool> on_disk;
  const bool queued = journal_.commit({put_channel({terms, book.snapshot(), {}, {}, false})},
                                      [this, &on_disk](bool good) {
                                        on_disk = good;
                                        loop_.stop();
                                      });
  while (queued && !on_disk) loop_.run();
  if (!on_disk.value_or(false)) return failure(std::string("the journal failed"));
  return terms;
}

// ---- Deposits and refunds -----------------------------------------------------------------------

Result<Payment, std::string> LightningWallet::deposit(InferenceClient& client,
                                                      const SharedOffer& offer,
                                                      const Keypair& signer, Msat amount,
                                                      Msat most) {
  const Offer& what = offer->offer();
  if (!what.lightning) return failure(std::string("this node takes no deposits over Lightning"));
  auto found = channel_of(what, signer.public_key());
  if (!found) {
    auto made = make_channel(what, signer.public_key());
    if (!made) return failure(made.error());
    found = *made;
  }
  const ChannelId id = settlement::channel_id(*found);
  if (const Payment* begun = waiting(id, true); begun != nullptr && begun->amount != amount) {
    return failure("a deposit of " + std::to_string(begun->amount) +
                   " msat is not decided yet; give the command with that amount");
  }
  LightningPayer::Wish wish;
  wish.offer = offer;
  wish.terms = *found;
  wish.amount = [amount, most, id](const LightningBook& book) -> Result<Msat, std::string> {
    if (amount > most || book.sums(id).left() > most - amount) {
      return failure(std::string("the node would hold more than the budget allows"));
    }
    return amount;
  };
  return wait_for<Result<Payment, std::string>>(
      [&](auto done) { payer_.deposit(client, std::move(wish), done); });
}

Result<Payment, std::string> LightningWallet::refund(InferenceClient& client,
                                                     const SharedOffer& offer,
                                                     const Keypair& signer) {
  const auto terms = channel_of(offer->offer(), signer.public_key());
  if (!terms) return failure(std::string("nothing was deposited with this node"));
  const ChannelId id = settlement::channel_id(*terms);
  const DeskChannel channel{terms->signer, terms->salt};
  const auto lock = payer_.lock();
  if (!lock) return failure(lock.error());
  if (waiting(id, true) != nullptr) {
    return failure(std::string("a deposit is not decided yet; end it first"));
  }
  Payment payment;
  if (const Payment* begun = waiting(id, false)) {
    payment = *begun;
  } else {
    const auto state = ask_desk(client, offer, AskState{channel});
    if (!state) return failure(state.error());
    const Msat ours = refundable(book().sums(id), spent(journal_, id));
    const Msat amount = std::min(ours, refundable(state->sums, state->spent));
    if (amount == 0) return failure(std::string("nothing is left of the deposits"));
    const WalletReply reply =
        ask_wallet(MakeInvoice{amount, refund_description(id), kRefundExpiryS});
    const auto* made = reply.answer ? std::get_if<WalletTransaction>(&*reply.answer) : nullptr;
    const auto invoice = parse_bolt11(made == nullptr ? "" : made->invoice);
    if (!invoice || invoice->amount != amount) {
      return failure("your wallet made no invoice: " + reply.problem);
    }
    payment.hash = invoice->payment_hash;
    payment.channel = id;
    payment.purpose = PaymentPurpose::Refund;
    payment.amount = amount;
    payment.invoice = made->invoice;
    payment.created_at = clock_.unix_s();
    payment.expires_at = invoice->expires_at();
    if (auto kept = keep(payment); !kept) return failure(kept.error());
  }
  crash_point("refund-wanted");
  const RefundOrder order{signer.public_key(), clock_.unix_s(), id, payment.amount,
                          payment.invoice};
  const AskRefund wish{channel, sign_event(build_refund(order), signer, rng_)};
  if (const auto state = ask_desk(client, offer, wish); !state) return failure(state.error());
  return wait_for<Result<Payment, std::string>>([&](auto done) { payer_.watch(payment, done); });
}

}  // namespace nostril::client
