#include "settlement/channel.h"

#include "base/check.h"
#include "events/big_endian.h"
#include "schnorr/hash.h"
#include "settlement/evm/asset.h"

#include <algorithm>
#include <utility>

namespace nostril::settlement {

namespace {

template <typename Fixed>
void append(Bytes& out, const Fixed& value) {
  out.insert(out.end(), value.bytes.begin(), value.bytes.end());
}

Amount minus(Amount a, Amount b) {
  CHECK(a >= b);
  return *Amount::from(a.value() - b.value());
}

}  // namespace

std::optional<ChainTerms> chain_terms(const Offer& offer, const EthereumAddress& payer) {
  const auto asset = evm::parse_asset(offer.asset);
  if (!offer.rail || !asset) return std::nullopt;
  return ChainTerms{
      {asset->chain_id, offer.rail->contract}, payer, offer.rail->payee, asset->token};
}

evm::Channel on_chain(const ChannelTerms& terms) {
  CHECK(terms.chain.has_value());
  Bytes data;
  append(data, terms.node);
  data.insert(data.end(), terms.salt.begin(), terms.salt.end());
  const Digest salt = tagged_hash("nostril/channel/evm/salt/1", data);
  evm::Channel out{.payer = terms.chain->payer,
                   .signer = terms.signer,
                   .payee = terms.chain->payee,
                   .token = terms.chain->token};
  std::ranges::copy(ByteSpan(salt.bytes).first(out.salt.size()), out.salt.begin());
  return out;
}

ChannelId channel_id(const ChannelTerms& terms) {
  if (terms.chain) return evm::channel_id(terms.chain->place, on_chain(terms));
  Bytes data;
  append(data, terms.signer);
  append(data, terms.node);
  data.insert(data.end(), terms.salt.begin(), terms.salt.end());
  const ByteSpan asset = as_bytes(terms.asset);
  data.insert(data.end(), asset.begin(), asset.end());
  return {tagged_hash(
              terms.lightning ? "nostril/channel/lightning/1" : "nostril/channel/unsettled/1", data)
              .bytes};
}

Digest first_running_hash(const ChannelId& channel) {
  return tagged_hash("nostril/channel/start/1", channel.bytes);
}

Digest next_running_hash(const Digest& previous, std::uint64_t n, const EventId& record,
                         Amount cost, std::uint64_t input, std::uint64_t output) {
  Bytes data;
  append(data, previous);
  append_big_endian(data, n, 8);
  append(data, record);
  append_big_endian(data, cost.value(), 16);
  append_big_endian(data, input, 8);
  append_big_endian(data, output, 8);
  return tagged_hash("nostril/channel/chain/1", data);
}

std::string_view to_string(ReceiptVerdict verdict) {
  switch (verdict) {
    case ReceiptVerdict::Accepted:
      return "accepted";
    case ReceiptVerdict::Repeated:
      return "repeated";
    case ReceiptVerdict::WrongSigner:
      return "another signer";
    case ReceiptVerdict::WrongChannel:
      return "another channel";
    case ReceiptVerdict::UnknownHash:
      return "of no statement that awaits a receipt";
    case ReceiptVerdict::WrongAmount:
      return "hash and amount do not belong together";
  }
  return "unknown";
}

std::string_view to_string(ChargeError error) {
  switch (error) {
    case ChargeError::Overflow:
      return "overflow";
    case ChargeError::WrongAsset:
      return "another asset";
    case ChargeError::UsageFell:
      return "usage fell";
    case ChargeError::TooManyUnpaid:
      return "too many statements await a receipt";
    case ChargeError::TooManyRequests:
      return "too many requests are open";
  }
  return "unknown";
}

std::string_view to_string(PayerRefusal refusal) {
  switch (refusal) {
    case PayerRefusal::WrongNode:
      return "another node";
    case PayerRefusal::WrongChannel:
      return "another channel";
    case PayerRefusal::WrongAsset:
      return "another asset";
    case PayerRefusal::WrongOffer:
      return "another offer";
    case PayerRefusal::WrongRequest:
      return "another request";
    case PayerRefusal::WrongResponseHash:
      return "another response";
    case PayerRefusal::Early:
      return "a statement before it has not come";
    case PayerRefusal::WrongNumber:
      return "its number was used";
    case PayerRefusal::WrongPrevious:
      return "follows another statement";
    case PayerRefusal::UsageFell:
      return "usage fell";
    case PayerRefusal::OverLimit:
      return "more was stated than the request can have used";
    case PayerRefusal::WrongCost:
      return "the cost is not usage times price";
    case PayerRefusal::OverBudget:
      return "over budget";
    case PayerRefusal::Overflow:
      return "overflow";
    case PayerRefusal::TooManyRequests:
      return "too many requests are open";
  }
  return "unknown";
}

// ---- Node ---------------------------------------------------------------------------------------

NodeChannel::NodeChannel(ChannelTerms terms, Amount credit)
    : terms_(std::move(terms)),
      id_(channel_id(terms_)),
      credit_(credit),
      running_hash_(first_running_hash(id_)) {}

NodeChannel::NodeChannel(ChannelTerms terms, Amount credit, const ChannelSnapshot& snapshot)
    : NodeChannel(std::move(terms), credit) {
  restore(snapshot);
}

void NodeChannel::restore(const ChannelSnapshot& snapshot) {
  n_ = snapshot.n;
  last_record_ = snapshot.last_record;
  running_hash_ = snapshot.running_hash;
  previous_hash_ = snapshot.previous_hash;
  CHECK(meter_.add(snapshot.micro));
  session_charged_ = snapshot.session_charged;
  accepted_ = snapshot.accepted;
  paid_record_ = snapshot.paid_record;
  paid_previous_hash_ = snapshot.paid_previous_hash;
  if (last_record_ && meter_.spent() > accepted_) {
    unpaid_.push_back({*last_record_, previous_hash_, running_hash_, meter_.spent()});
  }
}

ChannelSnapshot NodeChannel::snapshot() const {
  return {.n = n_,
          .last_record = last_record_,
          .running_hash = running_hash_,
          .previous_hash = previous_hash_,
          .micro = meter_.micro(),
          .accepted = accepted_,
          .session_charged = session_charged_,
          .paid_record = paid_record_,
          .paid_previous_hash = paid_previous_hash_};
}

Result<Meter, ChargeError> NodeChannel::meter_with(const RequestId& request, const Usage& usage,
                                                   std::uint64_t milliseconds,
                                                   const PriceTable& prices) const {
  if (!prices.free() && prices.asset() != terms_.asset) return failure(ChargeError::WrongAsset);
  const auto charged = prices.charge(usage, milliseconds);
  if (!charged) return failure(ChargeError::Overflow);
  const auto stated = stated_.find(request);
  const Micro before = stated == stated_.end() ? 0 : stated->second;
  if (*charged < before) return failure(ChargeError::UsageFell);
  Meter meter = meter_;
  if (!meter.add(*charged - before)) return failure(ChargeError::Overflow);
  const Micro session = prices.amount(PriceUnit::Session).value() * kMicroPerUnit;
  if (!session_charged_ && !meter.add(session)) return failure(ChargeError::Overflow);
  return meter;
}

Result<Amount, ChargeError> NodeChannel::exposure(const RequestId& request, const Usage& usage,
                                                  std::uint64_t milliseconds,
                                                  const PriceTable& prices) const {
  const auto meter = meter_with(request, usage, milliseconds, prices);
  if (!meter) return failure(meter.error());
  return minus(meter->spent(), accepted_);
}

bool NodeChannel::may_serve(const RequestId& request, const Usage& usage,
                            std::uint64_t milliseconds, const PriceTable& prices) const {
  const auto meter = meter_with(request, usage, milliseconds, prices);
  return meter && minus(meter->spent(), accepted_) <= credit_ &&
         (!backing_ || meter->spent() <= *backing_) && unpaid_.size() < kUnpaidStatementsMax;
}

Result<void, ChargeError> NodeChannel::statement(ResponseRecord& record,
                                                 const PriceTable& prices) const {
  // Requests that are open already may still end, so that each answer gets its record.
  if (unpaid_.size() >= kUnpaidStatementsMax + kOpenRequestsMax) {
    return failure(ChargeError::TooManyUnpaid);
  }
  if (record.status == RecordStatus::Partial && !stated_.contains(record.request) &&
      stated_.size() >= kOpenRequestsMax) {
    return failure(ChargeError::TooManyRequests);
  }
  const auto meter = meter_with(record.request, record.usage, record.milliseconds, prices);
  if (!meter) return failure(meter.error());
  record.channel = id_;
  record.n = n_ + 1;
  record.previous = last_record_;
  record.asset = terms_.asset;
  record.cost = minus(meter->spent(), meter_.spent());
  record.spent = meter->spent();
  record.remainder = meter->remainder();
  return {};
}

void NodeChannel::commit(const ResponseRecord& record, const PriceTable& prices) {
  CHECK(record.channel == id_ && record.n == n_ + 1);
  const auto meter = meter_with(record.request, record.usage, record.milliseconds, prices);
  CHECK(meter && meter->spent() == record.spent && meter->remainder() == record.remainder);
  meter_ = *meter;
  session_charged_ = true;
  if (record.status == RecordStatus::Partial) {
    stated_[record.request] = *prices.charge(record.usage, record.milliseconds);
  } else {
    stated_.erase(record.request);
  }
  n_ = record.n;
  last_record_ = record.id;
  previous_hash_ = running_hash_;
  running_hash_ = next_running_hash(previous_hash_, n_, record.id, record.cost, record.usage.input,
                                    record.usage.output);
  if (meter_.spent() > accepted_) {
    unpaid_.push_back({record.id, previous_hash_, running_hash_, meter_.spent()});
  }
}

ReceiptVerdict NodeChannel::accept(const SignedReceipt& receipt) {
  if (receipt->signer != terms_.signer) return ReceiptVerdict::WrongSigner;
  if (receipt->channel != id_) return ReceiptVerdict::WrongChannel;
  const auto paid = std::ranges::find(unpaid_, receipt->running_hash, &Statement::running_hash);
  if (paid == unpaid_.end()) {
    return receipt->amount <= accepted_ ? ReceiptVerdict::Repeated : ReceiptVerdict::UnknownHash;
  }
  if (receipt->amount != paid->spent) return ReceiptVerdict::WrongAmount;
  // Statements that cost nothing more share an amount: paid by the first of them.
  if (receipt->amount <= accepted_) return ReceiptVerdict::Repeated;
  accepted_ = receipt->amount;
  paid_record_ = paid->record;
  paid_previous_hash_ = paid->previous_hash;
  unpaid_.erase(unpaid_.begin(), paid + 1);
  while (!unpaid_.empty() && unpaid_.front().spent <= accepted_) unpaid_.pop_front();
  return ReceiptVerdict::Accepted;
}

// ---- Payer --------------------------------------------------------------------------------------

PayerChannel::PayerChannel(ChannelTerms terms, Amount budget)
    : terms_(std::move(terms)),
      id_(channel_id(terms_)),
      budget_(budget),
      running_hash_(first_running_hash(id_)) {}

PayerChannel::PayerChannel(ChannelTerms terms, Amount budget, const ChannelSnapshot& snapshot)
    : PayerChannel(std::move(terms), budget) {
  restore(snapshot);
}

void PayerChannel::restore(const ChannelSnapshot& snapshot) {
  n_ = snapshot.n;
  last_record_ = snapshot.last_record;
  running_hash_ = snapshot.running_hash;
  previous_hash_ = snapshot.previous_hash;
  CHECK(meter_.add(snapshot.micro));
  session_charged_ = snapshot.session_charged;
}

ChannelSnapshot PayerChannel::snapshot() const {
  return {.n = n_,
          .last_record = last_record_,
          .running_hash = running_hash_,
          .previous_hash = previous_hash_,
          .micro = meter_.micro(),
          .accepted = meter_.spent(),
          .session_charged = session_charged_,
          .paid_record = last_record_,
          .paid_previous_hash = previous_hash_};
}

std::optional<EventDraft> PayerChannel::receipt(std::int64_t created_at) const {
  if (meter_.spent().is_zero()) return std::nullopt;
  return build_receipt({.id = {},
                        .signer = terms_.signer,
                        .created_at = created_at,
                        .channel = id_,
                        .amount = meter_.spent(),
                        .running_hash = running_hash_});
}

Result<std::optional<EventDraft>, PayerRefusal> PayerChannel::pay(const ResponseRecord& record,
                                                                  const ExpectedAnswer& expected,
                                                                  const PriceTable& prices,
                                                                  std::int64_t created_at) {
  if (record.node != terms_.node) return failure(PayerRefusal::WrongNode);
  if (record.channel != id_) return failure(PayerRefusal::WrongChannel);
  if (record.asset != terms_.asset || (!prices.free() && prices.asset() != terms_.asset)) {
    return failure(PayerRefusal::WrongAsset);
  }
  if (record.offer != expected.offer) return failure(PayerRefusal::WrongOffer);
  if (record.request != expected.request || record.request_hash != expected.request_hash) {
    return failure(PayerRefusal::WrongRequest);
  }
  if (record.response_hash != expected.response_hash) {
    return failure(PayerRefusal::WrongResponseHash);
  }
  if (last_record_ && record.id == *last_record_) return receipt(created_at);
  if (record.n <= n_) return failure(PayerRefusal::WrongNumber);
  if (record.n > n_ + 1) return failure(PayerRefusal::Early);
  if (record.previous != last_record_) return failure(PayerRefusal::WrongPrevious);

  if (!expected.limit.covers(record.usage, record.milliseconds)) {
    return failure(PayerRefusal::OverLimit);
  }
  const auto charged = prices.charge(record.usage, record.milliseconds);
  if (!charged) return failure(PayerRefusal::Overflow);
  const auto stated = stated_.find(record.request);
  const bool is_partial = record.status == RecordStatus::Partial;
  if (is_partial && stated == stated_.end() && stated_.size() >= kOpenRequestsMax) {
    return failure(PayerRefusal::TooManyRequests);
  }
  const Micro before = stated == stated_.end() ? 0 : stated->second;
  if (*charged < before) return failure(PayerRefusal::UsageFell);
  Meter meter = meter_;
  const Micro session = prices.amount(PriceUnit::Session).value() * kMicroPerUnit;
  if (!meter.add(*charged - before) || (!session_charged_ && !meter.add(session))) {
    return failure(PayerRefusal::Overflow);
  }
  if (record.spent != meter.spent() || record.remainder != meter.remainder() ||
      record.cost != minus(meter.spent(), meter_.spent())) {
    return failure(PayerRefusal::WrongCost);
  }
  if (meter.spent() > budget_) return failure(PayerRefusal::OverBudget);

  meter_ = meter;
  session_charged_ = true;
  if (is_partial) {
    stated_[record.request] = *charged;
  } else {
    stated_.erase(record.request);
  }
  n_ = record.n;
  last_record_ = record.id;
  previous_hash_ = running_hash_;
  running_hash_ = next_running_hash(previous_hash_, n_, record.id, record.cost, record.usage.input,
                                    record.usage.output);
  return receipt(created_at);
}

bool PayerChannel::resync(const ResponseRecord& record, const Digest& previous_running_hash,
                          const SignedReceipt& receipt) {
  if (receipt->signer != terms_.signer || receipt->channel != id_) return false;
  if (record.node != terms_.node || record.channel != id_ || record.n <= n_) return false;
  const Digest hash = next_running_hash(previous_running_hash, record.n, record.id, record.cost,
                                        record.usage.input, record.usage.output);
  if (receipt->running_hash != hash || receipt->amount != record.spent) return false;
  const auto meter = Meter::from_record(record.spent, record.remainder);
  if (!meter) return false;
  n_ = record.n;
  last_record_ = record.id;
  previous_hash_ = previous_running_hash;
  running_hash_ = hash;
  meter_ = *meter;
  session_charged_ = true;
  stated_.clear();
  return true;
}

}  // namespace nostril::settlement
