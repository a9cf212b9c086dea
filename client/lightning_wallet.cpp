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
constexpr std::uint64_t kPauseMs = 300;
constexpr std::int64_t kPaymentMsMax = 60'000;
constexpr std::int64_t kNodeMsMax = 30'000;
constexpr const char* kAgain = "; give the command again later";

std::string refund_description(const ChannelId& channel) {
  return "nostril refund " + encode_hex(channel);
}

}  // namespace

LightningWallet::LightningWallet(WalletUri uri, const std::string& ca_file, Journal& journal,
                                 net::Loop& loop, Clock& clock, Rng& rng)
    : journal_(journal),
      loop_(loop),
      clock_(clock),
      rng_(rng),
      book_(journal),
      wallet_(loop, clock, rng, std::move(uri), ca_file) {}

// ---- Steps that run the loop --------------------------------------------------------------------

void LightningWallet::pause(std::uint64_t milliseconds) {
  loop_.after(milliseconds, [this] { loop_.stop(); });
  loop_.run();
}

WalletReply LightningWallet::ask_wallet(WalletRequest request,
                                        std::optional<std::int64_t> expires_at) {
  std::optional<WalletReply> out;
  wallet_.ask(
      std::move(request),
      [this, &out](const WalletReply& reply) {
        out = reply;
        loop_.stop();
      },
      expires_at);
  while (!out) loop_.run();
  return std::move(*out);
}

Result<void, std::string> LightningWallet::keep(const Payment& payment) {
  std::optional<bool> on_disk;
  book_.put(payment, [this, &on_disk](bool good) {
    on_disk = good;
    loop_.stop();
  });
  while (!on_disk) loop_.run();
  if (!*on_disk) return failure(std::string("the journal failed"));
  return {};
}

Result<DeskState, std::string> LightningWallet::ask_desk(InferenceClient& client,
                                                         const SharedOffer& offer,
                                                         const DeskWish& wish) {
  QueryRequest request;
  request.path = kDeskPath;
  request.body = wish_text(wish);
  request.unpaid = true;
  std::string body;
  std::optional<QueryResult> result;
  QueryCallbacks callbacks;
  callbacks.on_data = [&body](ByteSpan bytes) {
    if (body.size() <= kDeskBytesMax) body += as_text(bytes);
  };
  callbacks.on_end = [this, &result](const QueryResult& ended) {
    result = ended;
    loop_.stop();
  };
  client.start(offer, std::move(request), std::move(callbacks));
  while (!result) loop_.run();
  if (result->failure != QueryFailure::None) {
    return failure(std::string(to_string(result->failure)) + ": " + result->detail);
  }
  auto state = parse_state(body);
  if (!state) return failure(std::string("the node's answer can't be understood"));
  return std::move(*state);
}

Result<Msat, std::string> LightningWallet::balance() {
  const WalletReply reply = ask_wallet(GetBalance{});
  const auto* found = reply.answer ? std::get_if<WalletBalance>(&*reply.answer) : nullptr;
  if (found == nullptr) return failure(reply.problem);
  return found->balance;
}

// ---- One payment --------------------------------------------------------------------------------

/// On the disk first; an answer that does not come, or says nothing sure, leaves it waiting.
Result<void, std::string> LightningWallet::send(Payment& payment) {
  note_sent(payment, clock_.unix_s());
  if (auto kept = keep(payment); !kept) return kept;
  crash_point("deposit-journalled");
  const WalletReply reply = ask_wallet(PayInvoice{payment.invoice}, payment.sent_until);
  crash_point("deposit-answered");
  const auto* paid = reply.answer ? std::get_if<Paid>(&*reply.answer) : nullptr;
  if (paid != nullptr) (void)note_paid(payment, paid->preimage, paid->fees);
  if (reply.error) note_refused(payment, reply.error->code);
  if (auto kept = keep(payment); !kept) return kept;
  if (payment.state == PaymentState::Failed) {
    return failure("the wallet does not pay: " + reply.problem);
  }
  return {};
}

Result<void, std::string> LightningWallet::look_up(Payment& payment) {
  const WalletReply reply = ask_wallet(LookupInvoice{payment.hash});
  const auto* found = reply.answer ? std::get_if<WalletTransaction>(&*reply.answer) : nullptr;
  const Payment before = payment;
  if (found != nullptr) {
    note_lookup(payment, *found, clock_.unix_s());
  } else if (reply.error && reply.error->code == WalletErrorCode::NotFound) {
    const std::int64_t now = clock_.unix_s();
    if (may_send(payment, true, now)) return send(payment);
    note_unknown(payment, now);
    if (payment.outgoing && payment.state == PaymentState::Waiting) {
      return failure("the wallet knows no such payment yet; give the command again in " +
                     std::to_string(payment.sent_until + kClockSlackS + 1 - now) + " s");
    }
  } else {
    return failure(reply.problem);
  }
  if (payment == before) return {};
  return keep(payment);
}

Result<void, std::string> LightningWallet::finish(Payment& payment, std::int64_t wait_ms_max) {
  const std::int64_t until_ms = clock_.monotonic_ms() + wait_ms_max;
  while (payment.state == PaymentState::Waiting) {
    if (auto looked = look_up(payment); !looked) return looked;
    if (payment.state != PaymentState::Waiting) break;
    if (clock_.monotonic_ms() >= until_ms) {
      return failure(std::string("the payment is not decided yet") + kAgain);
    }
    pause(kPauseMs);
  }
  if (payment.state == PaymentState::Failed) {
    return failure(std::string("the payment failed; nothing was paid"));
  }
  return {};
}

Result<void, std::string> LightningWallet::finish_waiting() {
  const std::vector<Payment> all = book_.payments();
  for (Payment one : all) {
    if (one.state != PaymentState::Waiting) continue;
    if (auto looked = look_up(one); !looked) return looked;
  }
  return {};
}

const LightningWallet::Payment* LightningWallet::waiting(const ChannelId& channel,
                                                         bool outgoing) const {
  const auto found = std::ranges::find_if(book_.payments(), [&](const Payment& one) {
    return one.channel == channel && one.outgoing == outgoing && one.state == PaymentState::Waiting;
  });
  return found == book_.payments().end() ? nullptr : &*found;
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
    const bool has_money = Amount::of(book_.sums(id).left()) > spent(journal_, id);
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
  const Terms& terms = *found;
  const ChannelId id = settlement::channel_id(terms);
  const DeskChannel channel{terms.signer, terms.salt};
  Payment payment;
  if (const Payment* begun = waiting(id, true)) {
    if (begun->amount != amount) {
      return failure("a deposit of " + std::to_string(begun->amount) +
                     " msat is not decided yet; give the command with that amount");
    }
    payment = *begun;
  } else {
    if (amount > most || book_.sums(id).left() > most - amount) {
      return failure(std::string("the node would hold more than the budget allows"));
    }
    const auto state = ask_desk(client, offer, AskDeposit{channel, amount});
    if (!state) return failure(state.error());
    const auto invoice = parse_bolt11(state->invoice.value_or(""));
    if (!invoice) return failure(std::string("the node gave no invoice"));
    const auto problem =
        problem_of_deposit(*invoice, id, amount, what.lightning->network, clock_.unix_s());
    if (problem) return failure("the node's invoice is not paid: " + *problem);
    if (book_.find(invoice->payment_hash) != nullptr) {
      return failure(std::string("the node has not seen your last deposit yet") + kAgain);
    }
    payment.hash = invoice->payment_hash;
    payment.channel = id;
    payment.outgoing = true;
    payment.amount = amount;
    payment.invoice = *state->invoice;
    payment.created_at = clock_.unix_s();
    payment.expires_at = invoice->expires_at();
    if (auto sent = send(payment); !sent) return failure(sent.error());
  }
  if (auto finished = finish(payment, kPaymentMsMax); !finished) {
    return failure(finished.error());
  }
  // The node looks for itself; until it has, it would refuse to serve.
  const std::int64_t until_ms = clock_.monotonic_ms() + kNodeMsMax;
  while (true) {
    const auto state = ask_desk(client, offer, AskState{channel});
    if (state && state->sums.deposited >= book_.sums(id).deposited) return payment;
    if (clock_.monotonic_ms() >= until_ms) {
      return failure("paid, but the node does not say so: " +
                     (state ? std::string("it has not seen the payment") : state.error()));
    }
    pause(kPauseMs);
  }
}

Result<Payment, std::string> LightningWallet::refund(InferenceClient& client,
                                                     const SharedOffer& offer,
                                                     const Keypair& signer) {
  const auto terms = channel_of(offer->offer(), signer.public_key());
  if (!terms) return failure(std::string("nothing was deposited with this node"));
  const ChannelId id = settlement::channel_id(*terms);
  const DeskChannel channel{terms->signer, terms->salt};
  if (waiting(id, true) != nullptr) {
    return failure(std::string("a deposit is not decided yet; end it first"));
  }
  Payment payment;
  if (const Payment* begun = waiting(id, false)) {
    payment = *begun;
  } else {
    const auto state = ask_desk(client, offer, AskState{channel});
    if (!state) return failure(state.error());
    const Msat ours = refundable(book_.sums(id), spent(journal_, id));
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
  if (auto finished = finish(payment, kPaymentMsMax); !finished) {
    return failure(finished.error());
  }
  return payment;
}

}  // namespace nostril::client
