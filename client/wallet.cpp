#include "client/wallet.h"

#include "base/log.h"
#include "client/funded_channel.h"
#include "client/lightning_book.h"
#include "events/event.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

/// Records of one channel that wait for the one before them.
constexpr std::size_t kEarlyMax = settlement::NodeChannel::kUnpaidStatementsMax;

/// What may stand behind the channel: a payment that is not decided here may be with the node.
Amount most_backed(const LightningBook& book, const ChannelId& channel, const LightningRail& rail) {
  using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)
  ChannelSums sums = book.sums(channel);
  for (const Payment& one : book.payments()) {
    if (one.channel == channel && one.outgoing && one.state == PaymentState::Waiting) {
      sums.deposited += one.amount;
    }
  }
  return backing_of(sums, static_cast<Msat>(rail.step.value()));
}

}  // namespace

Wallet::Wallet(Journal& journal, Keypair signer, Amount budget, Clock& clock, Rng& rng)
    : journal_(journal), signer_(std::move(signer)), budget_(budget), clock_(clock), rng_(rng) {
  for (StoredChannel& stored : all_channels(journal_)) {
    if (stored.terms.signer != signer_.public_key()) continue;
    const Key key(stored.terms.node, stored.terms.asset);
    Channel channel{settlement::PayerChannel(stored.terms, budget_, stored.snapshot),
                    std::move(stored.record),
                    std::move(stored.paid),
                    0,
                    stored.open,
                    std::nullopt,
                    {}};
    const ChannelId id = channel.book.id();
    channels_.emplace(id, std::move(channel));
    if (!stored.open && !stored.terms.chain && !stored.terms.lightning) current_.emplace(key, id);
  }
}

/// One that is open on the chain with this node as its payee. Other processes of this home open and
/// close them, so the journal is looked at each time.
std::optional<ChannelId> Wallet::funded(const Offer& offer) {
  std::optional<ChannelId> out;
  for (const FundedChannel& row : funded_channels(journal_)) {
    if (row.state != FundedState::Open || row.terms.signer != signer_.public_key() ||
        row.terms.node != offer.node || row.terms.asset != offer.asset ||
        row.terms.chain != settlement::chain_terms(offer, row.terms.chain->payer)) {
      continue;
    }
    settlement::PayerChannel book(row.terms, budget_);
    const ChannelId id = book.id();
    Channel& channel =
        channels_
            .try_emplace(id, Channel{std::move(book), std::nullopt, std::nullopt, 0, false, {}, {}})
            .first->second;
    channel.locked = row.locked;
    if (!channel.retired && channel.book.spent() < row.locked) out = id;
  }
  return out;
}

/// One with deposits left, or with what the node gives on trust. Other processes of this home pay
/// deposits, so the journal is looked at each time.
std::optional<ChannelId> Wallet::deposited(const Offer& offer) {
  const LightningBook book(journal_);
  const auto suits = [&](const settlement::ChannelTerms& terms) {
    return terms.lightning && terms.signer == signer_.public_key() && terms.node == offer.node &&
           terms.asset == offer.asset;
  };
  for (StoredChannel& stored : all_channels(journal_)) {
    if (!suits(stored.terms)) continue;
    Channel fresh{settlement::PayerChannel(stored.terms, budget_, stored.snapshot),
                  std::move(stored.record),
                  std::move(stored.paid),
                  0,
                  stored.open,
                  std::nullopt,
                  {}};
    const ChannelId id = fresh.book.id();
    channels_.try_emplace(id, std::move(fresh));
  }
  std::optional<ChannelId> out;
  bool usable = false;
  for (auto& [id, channel] : channels_) {
    if (!suits(channel.book.terms())) continue;
    channel.locked = settlement::lightning::backing_of(
        book.sums(id), static_cast<std::uint64_t>(offer.lightning->step.value()));
    if (channel.retired) continue;
    usable = true;
    if (channel.book.spent() < *channel.locked) out = id;
  }
  // One that is at its bound is paid first: who takes a new one each time pays nobody.
  if (usable || !steps_allowed_ || offer.lightning->step.is_zero()) return out;
  return make_channel(offer, true);
}

ChannelId Wallet::make_channel(const Offer& offer, bool lightning) {
  settlement::ChannelTerms terms{signer_.public_key(), offer.node, offer.asset, {}};
  terms.lightning = lightning;
  rng_.fill(terms.salt);
  settlement::PayerChannel book(terms, budget_);
  const ChannelId id = book.id();
  Channel channel{std::move(book), std::nullopt, std::nullopt, 0, false, {}, {}};
  if (lightning) channel.locked = offer.lightning->step;
  channels_.emplace(id, std::move(channel));
  return id;
}

std::optional<Wallet::Ticket> Wallet::open(const Offer& offer) {
  const Key key(offer.node, offer.asset);
  std::optional<ChannelId> id;
  if (offer.rail && !settlement::PriceTable::of(offer).free()) {
    id = funded(offer);
    if (!id) return std::nullopt;
  } else if (offer.lightning && !settlement::PriceTable::of(offer).free()) {
    id = deposited(offer);
    if (!id) return std::nullopt;
  } else if (const auto current = current_.find(key); current != current_.end()) {
    id = current->second;
  } else {
    id = make_channel(offer, false);
    current_.emplace(key, *id);
  }
  Channel& channel = channels_.at(*id);
  if (++channel.answers == 1) store(channel);
  const settlement::ChannelTerms& terms = channel.book.terms();
  PaymentTerms payment{terms.signer, terms.salt};
  if (terms.chain) payment.payer = terms.chain->payer;
  return Ticket{*id, payment};
}

void Wallet::close(const Ticket& ticket, bool settled) {
  Channel& channel = channels_.at(ticket.channel);
  --channel.answers;
  if (!settled && !std::exchange(channel.retired, true)) {
    const Key key(channel.book.terms().node, channel.book.terms().asset);
    if (const auto current = current_.find(key);
        current != current_.end() && current->second == ticket.channel) {
      current_.erase(current);
    }
  }
  if (channel.answers == 0) {
    channel.early.clear();
    store(channel);
  }
}

/// What one node may still be owed: the budget less what all its channels have come to.
Amount Wallet::budget_left(const Key& key) const {
  Uint128 spent = 0;
  for (const auto& [id, channel] : channels_) {
    if (Key(channel.book.terms().node, channel.book.terms().asset) == key) {
      spent += channel.book.spent().value();
    }
  }
  const Uint128 budget = budget_.value();
  return Amount::from(spent < budget ? budget - spent : 0).value_or(Amount{});
}

JournalChange Wallet::row(const Channel& channel) const {
  return put_channel({channel.book.terms(), channel.book.snapshot(), channel.record, channel.paid,
                      channel.retired || channel.answers > 0});
}

void Wallet::store(const Channel& channel) {
  if (!journal_.commit({row(channel)}, {})) log(LogLevel::Warning, "the journal is busy");
}

void Wallet::pay(const Offer& offer, const ResponseRecord& record, const Event& record_event,
                 const settlement::ExpectedAnswer& expected,
                 std::function<void(const Payment&)> done) {
  const auto found = channels_.find(record.channel);
  if (found == channels_.end() || found->second.book.terms().node != offer.node ||
      found->second.book.terms().asset != offer.asset) {
    done({settlement::PayerRefusal::WrongChannel, std::nullopt, true});
    return;
  }
  Channel& channel = found->second;
  const Key key(offer.node, offer.asset);
  const Digest previous_hash = channel.book.snapshot().running_hash;
  const auto budget =
      Amount::from(channel.book.spent().value() + budget_left(key).value()).value_or(Amount{});
  if (channel.book.terms().lightning && offer.lightning && channel.locked &&
      record.spent > *channel.locked) {  // a deposit came while it answered
    channel.locked = most_backed(LightningBook(journal_), record.channel, *offer.lightning);
  }
  // What is not locked could never be claimed: who states more has not looked at the chain.
  channel.book.set_budget(std::min(budget, channel.locked.value_or(budget)));
  auto judged =
      channel.book.pay(record, expected, settlement::PriceTable::of(offer), clock_.unix_s());
  if (!judged && judged.error() == settlement::PayerRefusal::Early &&
      channel.early.size() < kEarlyMax) {
    channel.early.emplace(record.n,
                          [this, offer, record, record_event, expected, done = std::move(done)] {
                            pay(offer, record, record_event, expected, done);
                          });
    return;
  }
  if (!judged) {
    done({judged.error(), std::nullopt, true});
    return;
  }
  const bool repeated = channel.record && channel.record->id == record_event.id;
  Payment payment;
  channel.record = record_event;
  std::vector<JournalChange> changes = {put_record(record, record_event)};
  if (*judged && repeated && channel.paid) {
    payment.receipt = channel.paid->receipt;
  } else if (*judged) {
    payment.receipt = sign_event(std::move(**judged), signer_, rng_);
    channel.paid = ChannelResync{record_event, *payment.receipt, previous_hash};
    if (const auto receipt = parse_receipt(*payment.receipt)) {
      changes.push_back(put_receipt(*receipt, *payment.receipt));
    }
  }
  changes.push_back(row(channel));
  const bool queued = journal_.commit(std::move(changes), [payment, done](bool on_disk) mutable {
    if (!on_disk) payment = {std::nullopt, std::nullopt, false};
    done(payment);
  });
  if (!queued) done({std::nullopt, std::nullopt, false});
  catch_up(channel);
}

void Wallet::catch_up(Channel& channel) {
  if (std::exchange(channel.catching_up, true)) return;  // called by what is judged below
  while (!channel.early.empty() && channel.early.begin()->first <= channel.book.snapshot().n + 1) {
    const auto waiting = channel.early.extract(channel.early.begin());
    waiting.mapped()();
  }
  channel.catching_up = false;
}

void Wallet::resync(const Offer& offer, const ChannelResync& state, Verifier& verifier) {
  // The session has matched both documents' form; signatures are what makes them ours and theirs.
  auto record_event = check_id(state.record);
  auto receipt_event = check_id(state.receipt);
  if (!record_event || !receipt_event) return;
  const auto signed_record = VerifiedEvent::verify(std::move(*record_event), verifier);
  auto signed_receipt = VerifiedEvent::verify(std::move(*receipt_event), verifier);
  if (!signed_record || !signed_receipt || signed_record->event().pubkey != offer.node) return;
  const auto record = parse_record(signed_record->event());
  const auto receipt = SignedReceipt::parse(*std::move(signed_receipt));
  if (!record || !receipt) return;
  const auto found = channels_.find(record->channel);
  if (found == channels_.end() || found->second.book.terms().node != offer.node) return;
  Channel& channel = found->second;
  if (!channel.book.resync(*record, state.previous_hash, *receipt)) return;
  channel.record = state.record;
  channel.paid = state;
  log(LogLevel::Info, "channel state taken over from the node: our own receipt was newer there");
  store(channel);
}

}  // namespace nostril::client
