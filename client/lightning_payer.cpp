#include "client/lightning_payer.h"

#include "base/check.h"
#include "base/crash_point.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace nostril::client {

namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kPauseMs = 300;
constexpr std::int64_t kPaymentMsMax = 60'000;
constexpr std::int64_t kNodeMsMax = 30'000;
constexpr const char* kAgain = "; give the command again later";

}  // namespace

struct LightningPayer::Job {
  InferenceClient* client = nullptr;  ///< none: a payment is watched, nothing else
  Wish wish;
  Done done;
  Payment payment;
  std::int64_t until_ms = 0;
  std::optional<FileLock> lock;
};

LightningPayer::LightningPayer(WalletUri uri, const std::string& ca_file,
                               const std::filesystem::path& home, Journal& journal, net::Loop& loop,
                               Clock& clock, Rng& rng)
    : lock_file_(home / "lightning.lock"),
      loop_(loop),
      clock_(clock),
      book_(journal),
      wallet_(loop, clock, rng, std::move(uri), ca_file) {}

LightningPayer::~LightningPayer() {
  loop_.cancel(timer_);
}

Result<FileLock, std::string> LightningPayer::lock() {
  auto taken = FileLock::take(lock_file_);
  if (taken) {
    book_.reload();
    return std::move(*taken);
  }
  if (taken.error() == EWOULDBLOCK) {
    return failure(std::string("another process of this home pays over Lightning") + kAgain);
  }
  return failure(lock_file_.string() + ": " + std::generic_category().message(taken.error()));
}

void LightningPayer::ask_desk(InferenceClient& client, const SharedOffer& offer,
                              const DeskWish& wish, StateDone done) {
  QueryRequest request;
  request.path = kDeskPath;
  request.body = wish_text(wish);
  request.unpaid = true;
  const auto body = std::make_shared<std::string>();
  QueryCallbacks callbacks;
  callbacks.on_data = [body](ByteSpan bytes) {
    if (body->size() <= kDeskBytesMax) *body += as_text(bytes);
  };
  callbacks.on_end = [body, done = std::move(done),
                      alive = std::weak_ptr(alive_)](const QueryResult& ended) {
    if (alive.expired()) return;
    if (ended.failure != QueryFailure::None) {
      return done(failure(std::string(to_string(ended.failure)) + ": " + ended.detail));
    }
    auto state = parse_state(*body);
    if (!state) return done(failure(std::string("the node's answer can't be understood")));
    done(std::move(*state));
  };
  client.start(offer, std::move(request), std::move(callbacks));
}

// ---- A deposit ----------------------------------------------------------------------------------

void LightningPayer::deposit(InferenceClient& client, Wish wish, Done done) {
  CHECK(!busy());
  job_ = std::make_shared<Job>();
  job_->client = &client;
  job_->wish = std::move(wish);
  job_->done = std::move(done);
  // Never inside this call: the caller has not finished.
  (void)loop_.post([this, job = job_, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) begin(job);
  });
}

const Payment* LightningPayer::begun(const ChannelId& channel) const {
  const auto found = std::ranges::find_if(book_.payments(), [&](const Payment& one) {
    return one.channel == channel && one.outgoing && one.state == PaymentState::Waiting;
  });
  return found == book_.payments().end() ? nullptr : &*found;
}

void LightningPayer::begin(const SharedJob& job) {
  auto locked = lock();
  if (!locked) return fail(job, locked.error());
  job->lock = std::move(*locked);
  const settlement::ChannelTerms& terms = job->wish.terms;
  job->until_ms = clock_.monotonic_ms() + kPaymentMsMax;
  if (const Payment* known = begun(settlement::channel_id(terms))) {
    job->payment = *known;
    return look_up(job);
  }
  const auto amount = job->wish.amount(book_);
  if (!amount) return fail(job, amount.error());
  ask_desk(*job->client, job->wish.offer,
           AskDeposit{DeskChannel{terms.signer, terms.salt}, *amount},
           [this, job, amount = *amount](const auto& state) { on_invoice(job, amount, state); });
}

void LightningPayer::on_invoice(const SharedJob& job, Msat amount,
                                const Result<DeskState, std::string>& state) {
  if (!state) return fail(job, state.error());
  const ChannelId id = settlement::channel_id(job->wish.terms);
  const auto invoice = parse_bolt11(state->invoice.value_or(""));
  if (!invoice) return fail(job, "the node gave no invoice");
  const std::string& network = job->wish.offer->offer().lightning->network;
  const auto problem = problem_of_deposit(*invoice, id, amount, network, clock_.unix_s());
  if (problem) return fail(job, "the node's invoice is not paid: " + *problem);
  if (book_.find(invoice->payment_hash) != nullptr) {
    return fail(job, std::string("the node has not seen your last deposit yet") + kAgain);
  }
  job->payment.hash = invoice->payment_hash;
  job->payment.channel = id;
  job->payment.purpose = job->wish.purpose;
  job->payment.outgoing = true;
  job->payment.amount = amount;
  job->payment.invoice = *state->invoice;
  job->payment.created_at = clock_.unix_s();
  job->payment.expires_at = invoice->expires_at();
  send(job);
}

/// On the disk first; an answer that does not come, or says nothing sure, leaves it waiting.
void LightningPayer::send(const SharedJob& job) {
  note_sent(job->payment, clock_.unix_s());
  keep_then(job, [this, job] {
    crash_point("deposit-journalled");
    wallet_.ask(
        PayInvoice{job->payment.invoice},
        [this, job](const WalletReply& reply) { on_paid(job, reply); }, job->payment.sent_until);
  });
}

void LightningPayer::on_paid(const SharedJob& job, const WalletReply& reply) {
  crash_point("deposit-answered");
  const auto* paid = reply.answer ? std::get_if<Paid>(&*reply.answer) : nullptr;
  if (paid != nullptr) (void)note_paid(job->payment, paid->preimage, paid->fees);
  if (reply.error) note_refused(job->payment, reply.error->code);
  keep_then(job, [this, job, problem = reply.problem] {
    if (job->payment.state == PaymentState::Failed) {
      return fail(job, "the wallet does not pay: " + problem);
    }
    if (job->payment.state == PaymentState::Settled) return on_decided(job);
    look_up(job);
  });
}

// ---- What became of it --------------------------------------------------------------------------

void LightningPayer::watch(const Payment& payment, Done done) {
  CHECK(!busy());
  job_ = std::make_shared<Job>();
  job_->done = std::move(done);
  job_->payment = payment;
  job_->until_ms = clock_.monotonic_ms() + kPaymentMsMax;
  look_up(job_);
}

void LightningPayer::look_up(const SharedJob& job) {
  wallet_.ask(LookupInvoice{job->payment.hash},
              [this, job](const WalletReply& reply) { on_lookup(job, reply); });
}

void LightningPayer::on_lookup(const SharedJob& job, const WalletReply& reply) {
  const std::int64_t now = clock_.unix_s();
  Payment& payment = job->payment;
  const auto* found = reply.answer ? std::get_if<WalletTransaction>(&*reply.answer) : nullptr;
  if (found != nullptr) {
    note_lookup(payment, *found, now);
  } else if (reply.error && reply.error->code == WalletErrorCode::NotFound) {
    if (may_send(payment, true, now)) return send(job);
    note_unknown(payment, now);
    if (payment.outgoing && payment.state == PaymentState::Waiting) {
      return fail(job, "the wallet knows no such payment yet; give the command again in " +
                           std::to_string(payment.sent_until + kClockSlackS + 1 - now) + " s");
    }
  } else {
    return fail(job, reply.problem);
  }
  keep_then(job, [this, job] {
    if (job->payment.state != PaymentState::Waiting) return on_decided(job);
    if (clock_.monotonic_ms() >= job->until_ms) {
      return fail(job, std::string("the payment is not decided yet") + kAgain);
    }
    pause([this, job] { look_up(job); });
  });
}

void LightningPayer::keep_then(const SharedJob& job, std::function<void()> next) {
  if (const Payment* known = book_.find(job->payment.hash);
      known != nullptr && *known == job->payment) {
    return next();
  }
  book_.put(job->payment,
            [this, job, next = std::move(next), alive = std::weak_ptr(alive_)](bool on_disk) {
              if (alive.expired()) return;
              if (!on_disk) return fail(job, "the journal failed");
              next();
            });
}

void LightningPayer::on_decided(const SharedJob& job) {
  if (job->payment.state == PaymentState::Failed) {
    return fail(job, "the payment failed; nothing was paid");
  }
  if (job->client == nullptr) return end(job, job->payment);
  job->until_ms = clock_.monotonic_ms() + kNodeMsMax;
  wait_for_node(job);
}

/// The node looks for itself; until it has, it would refuse to serve.
void LightningPayer::wait_for_node(const SharedJob& job) {
  const settlement::ChannelTerms& terms = job->wish.terms;
  ask_desk(*job->client, job->wish.offer, AskState{DeskChannel{terms.signer, terms.salt}},
           [this, job](const Result<DeskState, std::string>& state) {
             const Msat ours = book_.sums(job->payment.channel).deposited;
             if (state && state->sums.deposited >= ours) return end(job, job->payment);
             if (clock_.monotonic_ms() >= job->until_ms) {
               return fail(
                   job, "paid, but the node does not say so: " +
                            (state ? std::string("it has not seen the payment") : state.error()));
             }
             pause([this, job] { wait_for_node(job); });
           });
}

void LightningPayer::pause(std::function<void()> next) {
  timer_ = loop_.after(kPauseMs, [this, next = std::move(next)] {
    timer_ = net::TimerId::None;
    next();
  });
}

void LightningPayer::fail(const SharedJob& job, std::string problem) {
  end(job, failure(std::move(problem)));
}

/// The lock goes first: who is told may begin another.
void LightningPayer::end(const SharedJob& job, const Result<Payment, std::string>& result) {
  if (job_ == job) job_ = nullptr;
  job->lock.reset();
  const Done done = std::exchange(job->done, {});
  if (done) done(result);
}

}  // namespace nostril::client
