#include "client/fraud_watch.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace nostril::client {

void FraudWatch::on_offer(const VerifiedEvent& offer) {
  if (!offers_.emplace(offer->id, offer.event()).second) return;
  offers_by_age_.push_back(offer->id);
  if (offers_by_age_.size() <= kOffersMax) return;
  offers_.erase(offers_by_age_.front());
  offers_by_age_.pop_front();
}

std::optional<ProvenFraud> FraudWatch::try_proof(FraudProof proof) {
  FraudVerdict verdict = check_fraud_proof(proof, roots_, verifier_);
  if (!verdict.proven) return std::nullopt;
  return ProvenFraud{std::move(proof), std::move(verdict.reason)};
}

std::optional<ProvenFraud> FraudWatch::on_refused(const VerifiedEvent& offer,
                                                  const VerifiedEvent& attestation) {
  return try_proof({FraudKind::Evidence, offer->pubkey, {offer.event(), attestation.event()}});
}

std::optional<ProvenFraud> FraudWatch::on_record(const Event& event) {
  auto record = parse_record(event);
  if (!record) return std::nullopt;
  const Statement statement{event, std::move(*record)};
  Channel& channel = channel_of(statement.record);
  auto found = compare_answers(statement);
  if (!found) found = compare_statements(channel, statement);
  if (!found) found = compare_price(channel, statement);
  // Answers may end out of order: the one after may have waited for this one.
  if (const auto next = channel.statements.find(statement.record.n + 1);
      !found && next != channel.statements.end()) {
    const Statement after = next->second;
    keep(channel, statement);
    return compare_price(channel, after);
  }
  keep(channel, statement);
  return found;
}

std::optional<ProvenFraud> FraudWatch::compare_answers(const Statement& statement) {
  if (statement.record.status != RecordStatus::Ok) return std::nullopt;
  const auto key = std::pair(statement.record.node, statement.record.request);
  const auto [known, added] = answers_.emplace(key, statement.event);
  if (!added) {
    if (known->second.id == statement.event.id) return std::nullopt;
    return try_proof({FraudKind::TwoAnswers, key.first, {known->second, statement.event}});
  }
  answers_by_age_.push_back(key);
  if (answers_by_age_.size() > kRequestsMax) {
    answers_.erase(answers_by_age_.front());
    answers_by_age_.pop_front();
  }
  return std::nullopt;
}

/// With the nearest known ones: the same number, the one before, the one after.
std::optional<ProvenFraud> FraudWatch::compare_statements(const Channel& channel,
                                                          const Statement& statement) {
  const auto compare = [&](const Statement& other) -> std::optional<ProvenFraud> {
    if (other.event.id == statement.event.id) return std::nullopt;
    return try_proof({FraudKind::Rollback, statement.record.node, {other.event, statement.event}});
  };
  const auto at = channel.statements.lower_bound(statement.record.n);
  if (at != channel.statements.end()) {
    if (auto found = compare(at->second)) return found;
  }
  return at == channel.statements.begin() ? std::nullopt : compare(std::prev(at)->second);
}

std::optional<ProvenFraud> FraudWatch::compare_price(const Channel& channel,
                                                     const Statement& statement) {
  const ResponseRecord& record = statement.record;
  const auto offer = offers_.find(record.offer);
  if (offer == offers_.end()) return std::nullopt;
  std::vector<Event> events = {offer->second, statement.event};
  const auto previous = channel.statements.find(record.n - 1);
  if (record.n > 1) {
    if (previous == channel.statements.end()) return std::nullopt;
    events.push_back(previous->second.event);
  }
  // The newest part of the same answer that was stated.
  const auto part = std::find_if(
      channel.statements.rbegin(), channel.statements.rend(), [&](const auto& numbered) {
        const ResponseRecord& other = numbered.second.record;
        return other.n < record.n && other.request == record.request &&
               other.status == RecordStatus::Partial &&
               other.accepted_at_ms == record.accepted_at_ms && other.offer == record.offer;
      });
  if (part != channel.statements.rend() && part->first + 1 != record.n) {
    events.push_back(part->second.event);
  }
  if (auto found = try_proof({FraudKind::Price, record.node, events})) return found;
  return try_proof({FraudKind::Cost, record.node, std::move(events)});
}

FraudWatch::Channel& FraudWatch::channel_of(const ResponseRecord& record) {
  const auto key = std::pair(record.node, record.channel);
  if (channels_.size() >= kChannelsMax && !channels_.contains(key)) {
    channels_.erase(std::ranges::min_element(channels_, {},
                                             [](const auto& entry) { return entry.second.used; }));
  }
  Channel& out = channels_[key];
  out.used = ++turn_;
  return out;
}

void FraudWatch::keep(Channel& channel, const Statement& statement) {
  channel.statements.emplace(statement.record.n, statement);  // the first of a number stays
  if (channel.statements.size() > kStatementsMax) {
    channel.statements.erase(channel.statements.begin());
  }
}

}  // namespace nostril::client
