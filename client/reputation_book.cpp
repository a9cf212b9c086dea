#include "client/reputation_book.h"

#include <algorithm>

namespace nostril::client {

namespace {

constexpr int kTotalMax = 100;
constexpr int kVerifiedMax = 10;
constexpr int kBroken = 20;
constexpr int kOwnApproval = 20;
constexpr int kOwnFlag = 40;
constexpr int kApproval = 5;
constexpr int kFlag = 10;
constexpr int kFollowsMax = 40;
constexpr int kRankMiddle = 50;

/// Entries of a map by (node, other) that are of one node.
template <typename Map, typename Visit>
void each_of(const Map& map, const PublicKey& node, Visit visit) {
  for (auto at = map.lower_bound({node, PublicKey{}}); at != map.end(); ++at) {
    if (at->first.first != node) return;
    visit(at->first.second, at->second);
  }
}

bool signed_by_node(const Event& record, Verifier& verifier) {
  auto checked = check_id(record);
  return checked && VerifiedEvent::verify(*std::move(checked), verifier).has_value();
}

}  // namespace

std::string_view to_string(ReputationBook::Outcome outcome) {
  switch (outcome) {
    case ReputationBook::Outcome::Taken:
      return "it counts";
    case ReputationBook::Outcome::Older:
      return "a newer word of its author is here";
    case ReputationBook::Outcome::NotCounted:
      return "its author is nobody whom you follow";
    case ReputationBook::Outcome::Malformed:
      return "it is malformed, or its record is not the node's";
    case ReputationBook::Outcome::TooMany:
      return "too many are kept";
  }
  return "unknown";
}

ReputationBook::Score ReputationBook::score(const PublicKey& node) const {
  Score out;
  if (const auto fraud = frauds_.find(node); fraud != frauds_.end()) out.fraud = fraud->second;
  if (const auto found = results_.find(node); found != results_.end()) {
    out.own += std::min<int>(kVerifiedMax, static_cast<int>(found->second.verified));
    out.own -= kBroken * static_cast<int>(std::min<std::uint32_t>(found->second.broken, kTotalMax));
  }
  each_of(words_, node, [&](const PublicKey& author, const Word& word) {
    if (!word.own && !follows_.contains(author)) return;
    ++(word.approves ? out.approvals : out.flags);
    if (word.own) {
      out.own += word.approves ? kOwnApproval : -kOwnFlag;
    } else {
      out.follows += word.approves ? kApproval : -kFlag;
    }
  });
  out.follows = std::clamp(out.follows, -kFollowsMax, kFollowsMax);
  int ranks = 0;
  int sum = 0;
  each_of(ranks_, node, [&](const PublicKey& provider, const Rank& rank) {
    if (!providers_.contains(provider)) return;
    ++ranks;
    sum += static_cast<int>(rank.rank);
  });
  if (ranks > 0) out.providers = (sum / ranks - kRankMiddle) / 2;
  out.total = std::clamp(out.own + out.follows + out.providers, -kTotalMax, kTotalMax);
  if (out.fraud) out.total = -kTotalMax;
  return out;
}

bool ReputationBook::add_fraud(const PublicKey& node, std::string reason) {
  if (frauds_.size() >= kNodesMax && !frauds_.contains(node)) return false;
  return frauds_.emplace(node, std::move(reason)).second;
}

void ReputationBook::set_follows(std::vector<PublicKey> follows) {
  follows_ = {follows.begin(), follows.end()};
}

void ReputationBook::set_providers(std::vector<PublicKey> providers) {
  providers_ = {providers.begin(), providers.end()};
}

ReputationBook::Outcome ReputationBook::add_opinion(const VerifiedEvent& event, bool own,
                                                    Verifier& verifier) {
  if (!own && !follows_.contains(event->pubkey)) return Outcome::NotCounted;
  const auto opinion = parse_opinion(event.event());
  if (!opinion || !signed_by_node(opinion->record, verifier)) return Outcome::Malformed;
  const Pair key(opinion->node, opinion->author);
  const auto known = words_.find(key);
  if (known != words_.end() && known->second.created_at >= opinion->created_at) {
    return Outcome::Older;
  }
  if (known == words_.end() && words_.size() >= kOpinionsMax) return Outcome::TooMany;
  words_[key] = {opinion->created_at, !opinion->flag, own};
  return Outcome::Taken;
}

ReputationBook::Outcome ReputationBook::add_assertion(const VerifiedEvent& event) {
  if (!providers_.contains(event->pubkey)) return Outcome::NotCounted;
  const auto assertion = parse_assertion(event.event());
  if (!assertion) return Outcome::Malformed;
  const Pair key(assertion->subject, assertion->provider);
  const auto known = ranks_.find(key);
  if (known != ranks_.end() && known->second.created_at >= assertion->created_at) {
    return Outcome::Older;
  }
  if (known == ranks_.end() && ranks_.size() >= kAssertionsMax) return Outcome::TooMany;
  ranks_[key] = {assertion->created_at, assertion->rank};
  return Outcome::Taken;
}

ReputationBook::Results& ReputationBook::results_of(const PublicKey& node) {
  // Full: whoever has done nothing wrong makes room.
  if (results_.size() >= kNodesMax && !results_.contains(node)) {
    results_.erase(std::ranges::min_element(results_, {},
                                            [](const auto& entry) { return entry.second.broken; }));
  }
  return results_[node];
}

void ReputationBook::note_verified(const PublicKey& node) {
  ++results_of(node).verified;
}

void ReputationBook::note_broken(const PublicKey& node) {
  ++results_of(node).broken;
}

}  // namespace nostril::client
