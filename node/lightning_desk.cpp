#include "node/lightning_desk.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "base/metrics_text.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kPollMs = 500;
/// How often a payment is looked up while somebody waits for it, and later.
constexpr std::int64_t kLookupMs = 1'000;
constexpr std::int64_t kLateLookupMs = 30'000;
constexpr std::int64_t kFreshS = 180;
constexpr std::size_t kLookupsMax = 16;
constexpr std::size_t kMakingMax = 16;
constexpr std::int64_t kDepositExpiryS = 600;
/// An invoice that is about to end is not given out again.
constexpr std::int64_t kReuseS = 60;
constexpr std::int64_t kRefundTimeS = 30;

WalletUri must_read(const std::string& file) {
  auto uri = client::read_wallet_uri(file);
  if (!uri) throw std::runtime_error("lightning: " + uri.error());
  return std::move(*uri);
}

AnswerRefusal refusal(ErrorCode code, std::string message) {
  return {code, std::move(message), code == ErrorCode::Busy ? 2'000 : 0};
}

}  // namespace

Result<settlement::ChannelTerms, std::string> DepositRail::channel(const PaymentTerms& payment,
                                                                   const Offer& offer) const {
  settlement::ChannelTerms out{payment.signer, offer.node, offer.asset, payment.salt};
  out.lightning = true;
  return out;
}

std::optional<Amount> DepositRail::backing(const settlement::ChannelTerms& terms) const {
  if (!terms.lightning) return std::nullopt;  // of a free offer, or of an account with a budget
  const ChannelSums sums =
      book_ == nullptr ? ChannelSums{} : book_->sums(settlement::channel_id(terms));
  return backing_of(sums, step_);
}

LightningDesk::LightningDesk(const NodeConfig& config, client::Journal& journal,
                             const PublicKey& node, net::Loop& loop, Clock& clock, Rng& rng,
                             Callbacks callbacks)
    : config_(config),
      node_(node),
      loop_(loop),
      clock_(clock),
      callbacks_(std::move(callbacks)),
      book_(journal),
      wallet_(loop, clock, rng, must_read(config.lightning.nwc_file), config.ca_file) {
  if (!config.lightning.refund_nwc_file.empty()) {
    refunds_ = std::make_unique<client::WalletConnect>(
        loop, clock, rng, must_read(config.lightning.refund_nwc_file), config.ca_file);
  }
  wallet_.on_news([this](const WalletNotification& news) {
    next_lookup_ms_.erase(news.transaction.payment_hash);
    poll();
  });
  timer_ = loop_.every(kPollMs, [this] { poll(); });
}

LightningDesk::~LightningDesk() {
  loop_.cancel(timer_);
}

client::WalletConnect& LightningDesk::wallet_for(const Payment& payment) {
  return payment.outgoing && refunds_ ? *refunds_ : wallet_;
}

std::string LightningDesk::state_of(const settlement::ChannelTerms& terms,
                                    const Payment* payment) const {
  DeskState state{book_.sums(settlement::channel_id(terms)), callbacks_.spent(terms), {}, {}};
  if (payment != nullptr) {
    state.payment = payment->state;
    if (payment->purpose == PaymentPurpose::Deposit) state.invoice = payment->invoice;
  }
  return state_text(state);
}

void LightningDesk::handle(std::string_view body, Done done) {
  const auto wish = parse_wish(body);
  if (!wish) {
    done(failure(refusal(ErrorCode::BadRequest, "not a wish for the Lightning desk")));
    return;
  }
  const DeskChannel& channel =
      std::visit([](const auto& one) -> const DeskChannel& { return one.channel; }, *wish);
  settlement::ChannelTerms terms{channel.signer, node_, std::string(kLightningAsset), channel.salt};
  terms.lightning = true;
  if (const auto* wanted = std::get_if<AskDeposit>(&*wish)) {
    deposit(terms, *wanted, std::move(done));
  } else if (const auto* back = std::get_if<AskRefund>(&*wish)) {
    refund(terms, *back, std::move(done));
  } else {
    done(state_of(terms, nullptr));
  }
}

std::string LightningDesk::metrics_text() const {
  struct Sum {
    std::uint64_t count = 0;
    Uint128 msat = 0;
  };

  std::map<std::pair<PaymentPurpose, PaymentState>, Sum> sums;
  for (const PaymentPurpose purpose : {PaymentPurpose::Deposit, PaymentPurpose::Refund}) {
    for (const auto state : {PaymentState::Waiting, PaymentState::Settled, PaymentState::Failed}) {
      sums[{purpose, state}] = {};
    }
  }
  Uint128 fees = 0;
  for (const Payment& one : book_.payments()) {
    Sum& sum = sums[{one.purpose, one.state}];
    ++sum.count;
    sum.msat += one.amount;
    fees += one.fees;
  }
  const auto label = [](const auto& key) {
    return metrics_label("purpose", to_string(key.first)) + "," +
           metrics_label("state", to_string(key.second));
  };
  MetricsText out("nostril_node_");
  out.metric("lightning_payments", "gauge", "in the journal, by what became of them");
  for (const auto& [key, sum] : sums) out.sample(sum.count, label(key));
  out.metric("lightning_msat", "gauge", "that they come to");
  for (const auto& [key, sum] : sums) out.sample_decimal(to_decimal(sum.msat), label(key));
  out.metric("lightning_fees_msat", "gauge", "that refunds cost this node");
  out.sample_decimal(to_decimal(fees), {});
  return std::move(out).take();
}

// ---- Deposits -----------------------------------------------------------------------------------

void LightningDesk::deposit(const settlement::ChannelTerms& terms, const AskDeposit& wish,
                            Done done) {
  if (wish.amount > static_cast<Msat>(config_.lightning.deposit_max)) {
    done(failure(refusal(ErrorCode::BadRequest, "more than this node takes at once")));
    return;
  }
  const ChannelId id = settlement::channel_id(terms);
  const std::int64_t now = clock_.unix_s();
  std::size_t waiting = 0;
  std::size_t of_channel = 0;
  for (const Payment& one : book_.payments()) {
    if (one.purpose != PaymentPurpose::Deposit || one.state != PaymentState::Waiting ||
        one.expires_at < now) {
      continue;
    }
    if (one.channel == id && one.amount == wish.amount && one.expires_at > now + kReuseS) {
      done(state_of(terms, &one));
      return;
    }
    ++waiting;
    if (one.channel == id) ++of_channel;
  }
  if (waiting >= kWaitingMax || of_channel >= kChannelWaitingMax || making_ >= kMakingMax) {
    done(failure(refusal(ErrorCode::Busy, "too many deposits wait to be paid")));
    return;
  }
  ++making_;
  wallet_.ask(MakeInvoice{wish.amount, deposit_description(id), kDepositExpiryS},
              [this, terms, amount = wish.amount,
               done = std::move(done)](const client::WalletReply& reply) {
                --making_;
                on_invoice(terms, amount, reply, done);
              });
}

/// The wallet's word is checked as a payer would.
void LightningDesk::on_invoice(const settlement::ChannelTerms& terms, Msat amount,
                               const client::WalletReply& reply, const Done& done) {
  const ChannelId id = settlement::channel_id(terms);
  const auto* made = reply.answer ? std::get_if<WalletTransaction>(&*reply.answer) : nullptr;
  const auto invoice =
      made == nullptr ? failure(Bolt11Error::TooShort) : parse_bolt11(made->invoice);
  std::string problem = reply.problem;
  if (made != nullptr && !invoice) {
    problem = "the wallet's invoice: " + std::string(to_string(invoice.error()));
  } else if (invoice) {
    problem = problem_of_deposit(*invoice, id, amount, config_.lightning.network, clock_.unix_s())
                  .value_or("");
    if (book_.find(invoice->payment_hash) != nullptr) problem = "the wallet's invoice is not new";
  }
  if (!problem.empty() || !invoice) {
    log(LogLevel::Error, "lightning: no invoice: {}", public_text(problem));
    done(failure(refusal(ErrorCode::Internal, "the node's wallet made no invoice; try later")));
    return;
  }
  Payment payment;
  payment.hash = invoice->payment_hash;
  payment.channel = id;
  payment.amount = amount;
  payment.invoice = made->invoice;
  payment.created_at = clock_.unix_s();
  payment.expires_at = invoice->expires_at();
  book_.put(payment, [this, terms, payment, done](bool on_disk) {
    if (on_disk) {
      done(state_of(terms, &payment));
    } else {
      done(failure(refusal(ErrorCode::Internal, "the journal failed")));
    }
  });
}

// ---- Refunds ------------------------------------------------------------------------------------

void LightningDesk::refund(const settlement::ChannelTerms& terms, const AskRefund& wish,
                           Done done) {
  const ChannelId id = settlement::channel_id(terms);
  const std::int64_t now = clock_.unix_s();
  const auto refuse = [&done](ErrorCode code, std::string message) {
    done(failure(refusal(code, std::move(message))));
  };
  auto event = check_id(wish.order);
  const auto order = parse_refund(wish.order);
  if (!event || !order || order->channel != id || order->signer != terms.signer ||
      !VerifiedEvent::verify(std::move(*event), verifier_)) {
    return refuse(ErrorCode::BadRequest, "the order is not one of this channel's signer");
  }
  const auto invoice = parse_bolt11(order->invoice);
  if (!invoice || invoice->amount != order->amount ||
      to_string(invoice->network) != config_.lightning.network) {
    return refuse(ErrorCode::BadRequest, "the refund's invoice can't be paid here");
  }
  if (const Payment* known = book_.find(invoice->payment_hash)) {
    if (known->outgoing && known->channel == id) return done(state_of(terms, known));
    return refuse(ErrorCode::BadRequest, "this invoice is of another payment");
  }
  if (invoice->expires_at() < now + kRefundTimeS) {
    return refuse(ErrorCode::BadRequest, "the refund's invoice ends too soon");
  }
  if (order->amount > refundable(book_.sums(id), callbacks_.spent(terms))) {
    return refuse(ErrorCode::PaymentRequired, "not so much is left of the deposits");
  }
  Payment payment;
  payment.hash = invoice->payment_hash;
  payment.channel = id;
  payment.purpose = PaymentPurpose::Refund;
  payment.outgoing = true;
  payment.amount = order->amount;
  payment.invoice = order->invoice;
  payment.created_at = now;
  payment.expires_at = invoice->expires_at();
  note_sent(payment, now);
  // From now on it is no longer behind the channel, whatever comes.
  book_.put(payment, [this, terms, payment, done](bool on_disk) {
    if (!on_disk) {
      done(failure(refusal(ErrorCode::Internal, "the journal failed")));
      return;
    }
    crash_point("refund-journalled");
    pay(payment);
    done(state_of(terms, &payment));
  });
  callbacks_.on_backing();
}

void LightningDesk::pay(const Payment& payment) {
  asking_.insert(payment.hash);
  wallet_for(payment).ask(
      PayInvoice{payment.invoice},
      [this, hash = payment.hash](const client::WalletReply& reply) {
        asking_.erase(hash);
        next_lookup_ms_.erase(hash);
        crash_point("refund-answered");
        const Payment* known = book_.find(hash);
        if (known == nullptr) return;
        Payment next = *known;
        const auto* paid = reply.answer ? std::get_if<Paid>(&*reply.answer) : nullptr;
        if (paid != nullptr) {
          (void)note_paid(next, paid->preimage, paid->fees);
        } else if (reply.error) {
          note_refused(next, reply.error->code);
        }
        if (next.state == PaymentState::Settled) {
          log(LogLevel::Info, "lightning: refunded {} msat, fees {}", next.amount, next.fees);
        } else {
          log(LogLevel::Warning, "lightning: a refund is not paid: {}", public_text(reply.problem));
        }
        keep(next);
      },
      payment.sent_until);
}

// ---- What became of them ------------------------------------------------------------------------

void LightningDesk::keep(const Payment& payment) {
  const Payment* known = book_.find(payment.hash);
  if (known != nullptr && *known == payment) return;
  book_.put(payment);
  callbacks_.on_backing();
}

void LightningDesk::poll() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  std::vector<Payment> due;
  for (const Payment& one : book_.payments()) {
    if (asking_.size() + due.size() >= kLookupsMax) break;
    if (one.state != PaymentState::Waiting || asking_.contains(one.hash)) continue;
    std::int64_t& next_ms = next_lookup_ms_[one.hash];
    if (now_ms < next_ms) continue;
    const bool fresh = clock_.unix_s() - one.created_at < kFreshS;
    next_ms = now_ms + (fresh ? kLookupMs : kLateLookupMs);
    due.push_back(one);
  }
  for (const Payment& one : due) look_up(one);
}

void LightningDesk::look_up(const Payment& payment) {
  asking_.insert(payment.hash);
  wallet_for(payment).ask(LookupInvoice{payment.hash},
                          [this, hash = payment.hash](const client::WalletReply& reply) {
                            asking_.erase(hash);
                            on_lookup(hash, reply);
                          });
}

void LightningDesk::on_lookup(const PaymentHash& hash, const client::WalletReply& reply) {
  const Payment* known = book_.find(hash);
  if (known == nullptr) return;
  Payment next = *known;
  const std::int64_t now = clock_.unix_s();
  const auto* found = reply.answer ? std::get_if<WalletTransaction>(&*reply.answer) : nullptr;
  if (found != nullptr) {
    note_lookup(next, *found, now);
    if (next.state != PaymentState::Waiting) {
      next_lookup_ms_.erase(hash);
      log(LogLevel::Info, "lightning: a {} of {} msat is {}", next.purpose, next.amount,
          next.state);
    }
  } else if (reply.error && reply.error->code == WalletErrorCode::NotFound) {
    if (may_send(next, true, now)) {
      note_sent(next, now);
      book_.put(next, [this, next](bool on_disk) {
        if (on_disk) pay(next);
      });
      return;
    }
    note_unknown(next, now);
  }
  keep(next);
}

}  // namespace nostril::node
