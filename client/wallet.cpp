#include "client/wallet.h"

#include "base/log.h"
#include "events/event.h"

#include <utility>

namespace nostril::client {

Wallet::Wallet(Journal& journal, Keypair signer, Amount budget, Clock& clock, Rng& rng)
    : journal_(journal), signer_(std::move(signer)), budget_(budget), clock_(clock), rng_(rng) {
  for (StoredChannel& stored : all_channels(journal_)) {
    if (stored.terms.signer != signer_.public_key()) continue;
    const auto key = std::pair(stored.terms.node, stored.terms.asset);
    channels_.emplace(key, Channel{settlement::PayerChannel(stored.terms, budget_, stored.snapshot),
                                   std::move(stored.record), std::move(stored.paid)});
  }
}

Wallet::Channel& Wallet::channel_for(const Offer& offer) {
  const auto key = std::pair(offer.node, offer.asset);
  if (const auto found = channels_.find(key); found != channels_.end()) return found->second;
  settlement::ChannelTerms terms{signer_.public_key(), offer.node, offer.asset, {}};
  rng_.fill(terms.salt);
  return channels_
      .emplace(key, Channel{settlement::PayerChannel(terms, budget_), std::nullopt, std::nullopt})
      .first->second;
}

PaymentTerms Wallet::terms_for(const Offer& offer) {
  const settlement::ChannelTerms& terms = channel_for(offer).book.terms();
  return {terms.signer, terms.salt};
}

JournalChange Wallet::row(const Channel& channel) const {
  return put_channel({channel.book.terms(), channel.book.snapshot(), channel.record, channel.paid});
}

void Wallet::pay(const Offer& offer, const ResponseRecord& record, const Event& record_event,
                 const settlement::ExpectedAnswer& expected,
                 std::function<void(const Payment&)> done) {
  Channel& channel = channel_for(offer);
  const Digest previous_hash = channel.book.snapshot().running_hash;
  auto judged =
      channel.book.pay(record, expected, settlement::PriceTable::of(offer), clock_.unix_s());
  if (!judged) {
    done({judged.error(), std::nullopt, true});
    return;
  }
  Payment payment;
  channel.record = record_event;
  std::vector<JournalChange> changes = {put_record(record, record_event)};
  if (*judged) {
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
}

void Wallet::resync(const Offer& offer, const ChannelResync& state, Verifier& verifier) {
  // The session has matched both documents' form; signatures are what makes them ours and theirs.
  auto record_event = check_id(state.record);
  auto receipt_event = check_id(state.receipt);
  if (!record_event || !receipt_event) return;
  const auto signed_record = VerifiedEvent::verify(std::move(*record_event), verifier);
  const auto signed_receipt = VerifiedEvent::verify(std::move(*receipt_event), verifier);
  if (!signed_record || !signed_receipt || signed_record->event().pubkey != offer.node) return;
  const auto record = parse_record(signed_record->event());
  if (!record) return;
  Channel& channel = channel_for(offer);
  if (!channel.book.resync(*record, state.previous_hash, *signed_receipt)) return;
  channel.record = state.record;
  channel.paid = state;
  log(LogLevel::Info, "channel state taken over from the node: our own receipt was newer there");
  if (!journal_.commit({row(channel)}, {})) log(LogLevel::Warning, "the journal is busy");
}

}  // namespace nostril::client
