#include "client/auto_pay.h"

#include "base/log.h"
#include "client/channel_store.h"
#include "settlement/price.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

Amount spent_of(const StoredChannel& stored) {
  const Uint128 micro = stored.snapshot.micro;
  return Amount::from((micro + settlement::kMicroPerUnit - 1) / settlement::kMicroPerUnit)
      .value_or(Amount());
}

bool is_waiting(const LightningBook& book, const ChannelId& channel) {
  return std::ranges::any_of(book.payments(), [&](const Payment& one) {
    return one.channel == channel && one.outgoing && one.state == PaymentState::Waiting;
  });
}

}  // namespace

AutoPay::AutoPay(Settings settings, PublicKey signer, InferenceClient& client, Journal& journal,
                 net::Loop& loop, Clock& clock, Rng& rng)
    : settings_(std::move(settings)),
      signer_(signer),
      client_(client),
      journal_(journal),
      loop_(loop),
      clock_(clock),
      rng_(rng) {}

AutoPay::~AutoPay() = default;

/// Of one that is paid in advance the user himself decides how much the node may hold.
bool AutoPay::pays(const Offer& offer) {
  return offer.lightning && !offer.lightning->step.is_zero();
}

Result<LightningPayer*, std::string> AutoPay::payer() {
  if (payer_) return payer_.get();
  auto uri = read_wallet_uri(settings_.nwc_file);
  if (!uri) return failure(uri.error());
  payer_ = std::make_unique<LightningPayer>(std::move(*uri), settings_.ca_file, settings_.home,
                                            journal_, loop_, clock_, rng_);
  return payer_.get();
}

void AutoPay::on_receipt(const SharedOffer& offer, const ChannelId& channel, Amount spent) {
  if (!pays(offer->offer())) return;
  const auto rest = resting_.find(offer->offer().node);
  if (rest != resting_.end() && clock_.monotonic_ms() < rest->second.until_ms) return;
  if (const auto made = payer(); !made) return;  // who asks for room is told why
  const Msat debt = owed(payer_->book().sums(channel), spent);
  if (is_near(debt, offer->offer().lightning->step)) queue(offer);
}

void AutoPay::make_room(const SharedOffer& offer, RoomDone done) {
  const auto refuse = [&](std::string problem) {
    (void)loop_.post([done, problem = std::move(problem)] { done(failure(problem)); });
  };
  if (!pays(offer->offer())) return refuse("it is paid in advance");
  const auto rest = resting_.find(offer->offer().node);
  if (rest != resting_.end() && clock_.monotonic_ms() < rest->second.until_ms) {
    return refuse(rest->second.problem);
  }
  queue(offer).waiting.push_back(std::move(done));
}

AutoPay::Job& AutoPay::queue(const SharedOffer& offer) {
  const auto found = std::ranges::find_if(
      queue_, [&](const Job& one) { return one.offer->offer().node == offer->offer().node; });
  if (found != queue_.end()) return *found;
  queue_.push_back({offer, {}});
  // Never inside this call: the caller has not finished.
  (void)loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) next();
  });
  return queue_.back();
}

std::optional<settlement::ChannelTerms> AutoPay::debtor(const Offer& offer,
                                                        const LightningBook& book) const {
  std::optional<settlement::ChannelTerms> out;
  Msat most = 0;
  for (const StoredChannel& stored : all_channels(journal_)) {
    const settlement::ChannelTerms& terms = stored.terms;
    if (!terms.lightning || terms.signer != signer_ || terms.node != offer.node ||
        terms.asset != offer.asset) {
      continue;
    }
    const ChannelId id = settlement::channel_id(terms);
    if (is_waiting(book, id)) return terms;
    const Msat debt = owed(book.sums(id), spent_of(stored));
    if (debt > most) {
      most = debt;
      out = terms;
    }
  }
  return out;
}

Msat AutoPay::debt_to(const Offer& offer) const {
  const auto terms = debtor(offer, payer_->book());
  if (!terms) return 0;
  const ChannelId id = settlement::channel_id(*terms);
  const auto stored = get_channel(journal_, id);
  return stored ? owed(payer_->book().sums(id), spent_of(*stored)) : 0;
}

Result<Msat, std::string> AutoPay::amount(const Offer& offer, const ChannelId& channel,
                                          const LightningBook& book) const {
  const auto stored = get_channel(journal_, channel);
  const Msat debt = stored ? owed(book.sums(channel), spent_of(*stored)) : 0;
  if (debt == 0) return failure(std::string("nothing is owed to it"));
  const Msat out =
      payable(settings_.policy, book.payments(), debt, offer.lightning->most, clock_.unix_s());
  if (out == 0) {
    return failure("what may be paid by itself in a day is used up (lightning.day_max)");
  }
  return out;
}

void AutoPay::next() {
  if (running_ || queue_.empty()) return;
  running_ = true;
  const SharedOffer offer = queue_.front().offer;
  const auto made = payer();
  if (!made) return end(failure(made.error()));
  const auto terms = debtor(offer->offer(), payer_->book());
  if (!terms) return end(failure(std::string("nothing is owed to it")));
  LightningPayer::Wish wish;
  wish.offer = offer;
  wish.terms = *terms;
  wish.purpose = PaymentPurpose::Step;
  wish.amount = [this, offer, id = settlement::channel_id(*terms)](const LightningBook& book) {
    return amount(offer->offer(), id, book);
  };
  payer_->deposit(client_, std::move(wish), [this](const Result<Payment, std::string>& payment) {
    if (!payment) return end(failure(payment.error()));
    log(LogLevel::Info, "lightning: paid {} msat for answers that came, fees {}", payment->amount,
        payment->fees);
    end({});
  });
}

/// A failure lets that node rest: who asks meanwhile gets the same answer, and no wallet is
/// bothered.
void AutoPay::end(const Result<void, std::string>& result) {
  const Job job = std::move(queue_.front());
  queue_.pop_front();
  running_ = false;
  const PublicKey& node = job.offer->offer().node;
  if (result) {
    resting_.erase(node);
    // Receipts were signed meanwhile, or more is owed than may be paid at once.
    if (is_near(debt_to(job.offer->offer()), job.offer->offer().lightning->step)) queue(job.offer);
  } else {
    log(LogLevel::Warning, "lightning: a node was not paid: {}", public_text(result.error()));
    resting_[node] = {clock_.monotonic_ms() + kRestMs, result.error()};
  }
  (void)loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) next();
  });
  for (const RoomDone& done : job.waiting) done(result);
}

}  // namespace nostril::client
