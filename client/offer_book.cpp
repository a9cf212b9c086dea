#include "client/offer_book.h"

#include "attestation/pack.h"
#include "attestation/policy_digest.h"
#include "base/hex.h"
#include "client/expected_statement.h"
#include "events/kinds.h"
#include "events/sampling.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

std::string address_of(const Offer& offer) {
  return encode_hex(offer.node) + ":" + offer.model + "@" + offer.profile;
}

}  // namespace

attestation::Policy policy_for_offer(const VerifyPolicy& policy, const Offer& offer) {
  attestation::Policy out = policy_for_model(policy, offer.model, records_sampling(offer));
  out.offered_tee = offer.tee;
  return out;
}

OfferBook::OfferBook(RelayPool& pool, const TrustSettings& trust, Clock& clock)
    : pool_(pool),
      trust_(trust),
      clock_(clock),
      documents_(pool, clock),
      roots_digest_(trust.roots.digest()) {
  Filter offers;
  offers.kinds = {kinds::kOffer, kinds::kAttestation};
  Filter deletions;
  deletions.kinds = {kinds::kDeletion};
  deletions.tags.push_back({'k', {std::to_string(kinds::kOffer)}});
  // Older ones were obeyed by the relay; an hour is more than clocks differ.
  deletions.since = clock.unix_s() - 3600;
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_event(event); };
  callbacks.on_stored_end = [this](const std::string&) {
    ++stored_ends_;
    want_documents();
    if (changed_) changed_();
  };
  documents_.on_document([this](const Digest& digest) { on_document(digest); });
  documents_.on_stored_end([this] {
    if (changed_) changed_();
  });
  subscription_ = pool_.subscribe({std::move(offers), std::move(deletions)}, std::move(callbacks));
}

OfferBook::~OfferBook() {
  pool_.unsubscribe(subscription_);
}

void OfferBook::on_event(const VerifiedEvent& event) {
  if (event->kind == kinds::kOffer) {
    on_offer(event);
  } else if (event->kind == kinds::kAttestation) {
    on_attestation(event);
  } else {
    on_deletion(event.event());
  }
  if (changed_) changed_();
}

void OfferBook::on_offer(const VerifiedEvent& event) {
  auto offer = parse_offer(event.event());
  if (!offer) return;
  const std::int64_t now_s = clock_.unix_s();
  std::erase_if(offers_,
                [now_s](const auto& entry) { return entry.second.offer.expires_at <= now_s; });
  const std::size_t ended = std::erase_if(attestations_, [this, now_s](const auto& entry) {
    const Attestation& old = entry.second;
    if (old.event.expires_at > now_s) return false;
    evidence_bytes_ -= old.published->content.size();
    return true;
  });
  if (ended > 0) want_documents();
  const std::string address = address_of(*offer);
  if (offer->expires_at <= now_s) return;
  const auto found = offers_.find(address);
  if (found != offers_.end() && found->second.offer.created_at >= offer->created_at) return;
  if (found == offers_.end() && offers_.size() >= kOffersMax && !make_room_for(offer->node)) return;
  Entry entry{std::move(*offer), event, nullptr, {}, nullptr};
  judge(entry);
  const auto evidence = attestations_.find({entry.offer.node, entry.offer.attestation});
  offers_.insert_or_assign(address, std::move(entry));
  if (evidence != attestations_.end() && !evidence->second.documents.empty()) want_documents();
}

/// Takes out an offer of the node that has the most; false when that is `node`.
bool OfferBook::make_room_for(const PublicKey& node) {
  // Addresses begin with their node: its offers stand together.
  auto most = offers_.end();
  std::size_t most_count = 0;
  std::size_t own_count = 0;
  for (auto first = offers_.begin(); first != offers_.end();) {
    const PublicKey& whose = first->second.offer.node;
    std::size_t count = 0;
    auto next = first;
    for (; next != offers_.end() && next->second.offer.node == whose; ++next) ++count;
    if (whose == node) own_count = count;
    if (count > most_count) {
      most = first;
      most_count = count;
    }
    first = next;
  }
  if (most_count <= own_count + 1) return false;
  offers_.erase(most);
  return true;
}

void OfferBook::on_attestation(const VerifiedEvent& event) {
  auto attestation = parse_attestation(event.event());
  if (!attestation || attestation->expires_at <= clock_.unix_s()) return;
  const auto key = std::pair(attestation->node, attestation->digest);
  if (attestations_.contains(key)) return;  // the digest names it: another one says nothing else
  if (evidence_bytes_ + attestation->evidence.size() > kEvidenceBytesMax) return;
  evidence_bytes_ += attestation->evidence.size();
  Attestation added{std::move(*attestation), event, {}, {}};
  added.event.evidence.clear();
  added.evidence_digest = sha256(event->content);
  if (const auto evidence = attestation::unpack_evidence(event->content)) {
    for (const auto& document : evidence->documents) added.documents.push_back(document.sha256);
  }
  attestations_.emplace(key, std::move(added));
  want_documents();
  for (auto& [address, entry] : offers_) {
    if (entry.offer.node == key.first && entry.offer.attestation == key.second) judge(entry);
  }
}

/// Asked for once a relay has sent what it stores: one question for all that is stored. Evidence
/// without an offer need not be judged.
void OfferBook::want_documents() {
  if (stored_ends_ == 0) return;
  NamedBy named;
  for (const auto& [address, entry] : offers_) {
    const auto found = attestations_.find({entry.offer.node, entry.offer.attestation});
    if (found == attestations_.end()) continue;
    const std::vector<Digest>& documents = found->second.documents;
    named[entry.offer.node].insert(documents.begin(), documents.end());
  }
  documents_.want(std::move(named));
}

void OfferBook::on_document(const Digest& digest) {
  for (auto& [address, entry] : offers_) {
    const auto found = attestations_.find({entry.offer.node, entry.offer.attestation});
    if (found == attestations_.end() || entry.verified) continue;
    const auto& named = found->second.documents;
    if (std::ranges::find(named, digest) != named.end()) judge(entry);
  }
  if (changed_) changed_();
}

void OfferBook::on_deletion(const Event& event) {
  const std::string prefix = std::to_string(kinds::kOffer) + ":" + encode_hex(event.pubkey) + ":";
  for (const Tags::View tag : event.tags) {
    const auto value = tag.value();
    if (!value || tag.name() != "a" || !value->starts_with(prefix)) continue;
    const std::string address = std::string(value->substr(value->find(':') + 1));
    const auto found = offers_.find(address);
    if (found != offers_.end() && found->second.offer.created_at <= event.created_at) {
      offers_.erase(found);
    }
  }
}

void OfferBook::judge(Entry& entry) {
  entry.verified.reset();
  entry.verdict.reset();
  if (const auto excluded = excluded_.find(entry.offer.node); excluded != excluded_.end()) {
    entry.reason = excluded->second;
    return;
  }
  const auto found = attestations_.find({entry.offer.node, entry.offer.attestation});
  if (found == attestations_.end()) {
    entry.reason = "its attestation is on none of our relays";
    return;
  }
  const Attestation& attestation = found->second;
  const attestation::Statement expected = expected_statement(entry.offer, attestation.event);
  if (attestation::statement_digest(expected) != entry.offer.attestation) {
    entry.reason = "the offer and its attestation name different keys, times or weights";
    if (refused_) refused_(entry.event, attestation.published);
    return;
  }
  entry.verdict = verdict_on(expected, attestation, entry);
  if (!entry.verdict) return;
  if (!entry.verdict->accepted) {
    const attestation::Check* documents = entry.verdict->find("documents");
    entry.reason = documents != nullptr && attestation::refuses(*documents)
                       ? "vendors' documents are " + documents->found
                       : attestation::summary(*entry.verdict);
    if (refused_) refused_(entry.event, attestation.published);
    return;
  }
  entry.reason.clear();
  entry.verified = std::make_shared<const VerifiedOffer>(
      VerifiedOffer(entry.offer, entry.event, entry.verdict, attestation.event.id));
}

void OfferBook::exclude(const PublicKey& node, std::string reason) {
  if (!excluded_.emplace(node, std::move(reason)).second) return;
  for (auto& [address, entry] : offers_) {
    if (entry.offer.node == node) judge(entry);
  }
  if (changed_) changed_();
}

/// From the cache when nothing that it follows from has changed. None: the evidence can't be read.
std::shared_ptr<const attestation::Verdict> OfferBook::verdict_on(
    const attestation::Statement& expected, const Attestation& attestation, Entry& entry) {
  const std::int64_t now_s = clock_.unix_s();
  const ModelPolicy& wanted = policy_of(entry.offer);
  const VerdictKey key{attestation.evidence_digest, entry.offer.attestation, Digest{},
                       wanted.digest, roots_digest_};
  if (auto known = verdicts_.find(key, now_s)) return known;
  auto evidence = attestation::unpack_evidence(attestation.published->content);
  if (!evidence) {
    entry.reason = "evidence: " + std::string(to_string(evidence.error()));
    return nullptr;
  }
  put_documents(*evidence);
  auto verdict = std::make_shared<const attestation::Verdict>(
      attestation::verify(*evidence, expected, trust_.roots, now_s, wanted.policy));
  // The evidence fixes the documents; without them the verdict is of this moment only.
  if (evidence->documents.empty()) verdicts_.put(key, verdict, now_s);
  return verdict;
}

const OfferBook::ModelPolicy& OfferBook::policy_of(const Offer& offer) {
  const auto key = std::tuple(offer.model, records_sampling(offer), offer.tee);
  const auto found = policies_.find(key);
  if (found != policies_.end()) return found->second;
  if (policies_.size() >= kPoliciesMax) policies_.clear();
  attestation::Policy policy = policy_for_offer(trust_.policy, offer);
  const Digest digest = attestation::policy_digest(policy);
  return policies_.emplace(key, ModelPolicy{std::move(policy), digest}).first->second;
}

void OfferBook::on_trust_changed() {
  policies_.clear();
  for (auto& [address, entry] : offers_) judge(entry);
  if (changed_) changed_();
}

std::vector<std::shared_ptr<const VerifiedOffer>> OfferBook::usable() const {
  const std::int64_t now_s = clock_.unix_s();
  std::vector<std::shared_ptr<const VerifiedOffer>> out;
  for (const auto& [address, entry] : offers_) {
    if (!entry.verified || entry.offer.expires_at <= now_s) continue;
    if (entry.verified->verdict().holds_until < now_s) continue;
    if (entry.offer.encryption_key_expires_at > now_s) out.push_back(entry.verified);
  }
  std::ranges::sort(out, std::greater(),
                    [](const auto& verified) { return verified->offer().created_at; });
  return out;
}

std::vector<RejectedOffer> OfferBook::rejected() const {
  std::vector<RejectedOffer> out;
  for (const auto& [address, entry] : offers_) {
    if (!entry.verified) out.push_back({entry.offer, entry.reason, entry.verdict});
  }
  return out;
}

std::optional<attestation::Evidence> OfferBook::evidence_of(const Offer& offer) const {
  const auto found = attestations_.find({offer.node, offer.attestation});
  if (found == attestations_.end()) return std::nullopt;
  auto evidence = attestation::unpack_evidence(found->second.published->content);
  if (!evidence) return std::nullopt;
  put_documents(*evidence);
  return std::move(*evidence);
}

void OfferBook::put_documents(attestation::Evidence& evidence) const {
  attestation::put_documents(evidence,
                             [this](const Digest& digest) { return documents_.find(digest); });
}

std::optional<Digest> OfferBook::evidence_digest_of(const Offer& offer) const {
  const auto found = attestations_.find({offer.node, offer.attestation});
  if (found == attestations_.end()) return std::nullopt;
  return found->second.evidence_digest;
}

}  // namespace nostril::client
