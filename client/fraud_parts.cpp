#include "client/fraud_parts.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

Result<std::optional<CarriedProof>, InferenceError> FraudParts::add(const Event& event) {
  const auto part = parse_fraud_part(event);
  if (!part) return failure(part.error());
  auto found = std::ranges::find_if(proofs_, [&](const Gathered& one) {
    return one.author == part->author && one.whole == part->whole;
  });
  if (found == proofs_.end()) {
    if (proofs_.size() == kProofsMax) proofs_.pop_front();
    proofs_.push_back({part->author, part->whole, {}});
    found = std::prev(proofs_.end());
  }
  found->parts.insert_or_assign(part->number, event);
  if (found->parts.size() < part->count) return std::optional<CarriedProof>();
  CarriedProof out;
  std::vector<FraudPart> parts;
  for (auto& [number, one] : found->parts) {
    parts.push_back(*parse_fraud_part(one));
    out.carriers.push_back(std::move(one));
  }
  proofs_.erase(found);
  auto proof = join_fraud_parts(parts);
  if (!proof) return failure(proof.error());
  out.proof = *std::move(proof);
  return std::optional(std::move(out));
}

Result<CarriedProof, InferenceError> whole_proof(std::vector<Event> events) {
  if (events.size() == 1) {
    auto proof = parse_fraud_proof(events.front());
    if (!proof) return failure(proof.error());
    return CarriedProof{*std::move(proof), std::move(events)};
  }
  FraudParts parts;
  for (std::size_t i = 0; i < events.size(); ++i) {
    auto added = parts.add(events[i]);
    if (!added) return failure(added.error());
    if (added->has_value() && i + 1 == events.size()) return **std::move(added);
  }
  return failure(InferenceError::BadContent);
}

}  // namespace nostril::client
