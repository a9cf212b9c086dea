#include "client/reputation_feed.h"

#include "base/hex.h"
#include "base/log.h"
#include "client/event_file.h"
#include "client/private_file.h"
#include "events/kinds.h"
#include "events/nip19.h"
#include "schnorr/hash.h"

#include <stdexcept>
#include <system_error>
#include <utility>

namespace nostril::client {

namespace fs = std::filesystem;

namespace {

constexpr const char* kProofs = "proofs";
constexpr const char* kOpinions = "opinions";
constexpr std::int64_t kMinuteMs = 60'000;

std::vector<std::string> fraud_labels() {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < kFraudKindCount; ++i) {
    out.push_back("fraud/" + std::string(to_string(static_cast<FraudKind>(i))));
  }
  return out;
}

Filter of_ours(std::vector<std::uint32_t> kinds, std::uint64_t limit) {
  Filter out;
  out.kinds = std::move(kinds);
  out.limit = limit;
  return out;
}

std::string excluded_for(const std::string& reason) {
  return "proven fraud: " + reason;
}

/// It shows nothing but what the node has published itself.
bool is_public(const FraudProof& proof) {
  return proof.kind == FraudKind::Evidence;
}

/// What it says, whoever carries it.
Digest name_of(const FraudProof& proof) {
  std::string out(to_string(proof.kind));
  for (const Event& event : proof.events) {
    out += encode_hex(event.id) + encode_hex(event.sig);
  }
  return sha256(out);
}

}  // namespace

ReputationFeed::ReputationFeed(RelayPool& pool, ReputationBook& book, FraudWatch& watch,
                               attestation::TrustRoots roots, Clock& clock, Rng& rng,
                               ReputationSettings settings, fs::path folder)
    : pool_(pool),
      book_(book),
      watch_(watch),
      roots_(std::move(roots)),
      clock_(clock),
      rng_(rng),
      settings_(std::move(settings)),
      named_follows_(settings_.follows),
      named_providers_(settings_.providers),
      folder_(std::move(folder)) {
  book_.set_follows(settings_.follows);
  book_.set_providers(settings_.providers);
  load(kProofs, [this](const std::vector<VerifiedEvent>& events) {
    std::vector<Event> carriers;
    carriers.reserve(events.size());
    for (const VerifiedEvent& one : events) carriers.push_back(one.event());
    if (const auto carried = whole_proof(std::move(carriers))) judge(*carried, true);
  });
  load(kOpinions, [this](const std::vector<VerifiedEvent>& events) {
    for (const VerifiedEvent& one : events) book_.add_opinion(one, true, verifier_);
  });
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_event(event); };
  callbacks.on_stored_end = [this](const std::string&) { ++stored_ends_; };
  subscription_ = pool_.subscribe(filters(), std::move(callbacks));
}

ReputationFeed::~ReputationFeed() {
  if (offers_ != nullptr) offers_->on_refused({});
  if (subscription_ != SubscriptionId::None) pool_.unsubscribe(subscription_);
}

void ReputationFeed::attach(OfferBook& offers) {
  offers_ = &offers;
  offers.on_refused([this](const VerifiedEvent& offer, const VerifiedEvent& attestation) {
    on_refused_offer(offer, attestation);
  });
  for (const auto& [node, reason] : book_.frauds()) offers.exclude(node, excluded_for(reason));
}

/// What can't be read any more is left out.
void ReputationFeed::load(const char* folder,
                          const std::function<void(std::vector<VerifiedEvent>)>& take) {
  std::error_code missing;
  std::size_t count = 0;
  for (const auto& file : fs::directory_iterator(folder_ / folder, missing)) {
    if (++count > kFilesMax) break;
    try {
      take(read_event_lines(file.path(), verifier_, ReputationLimits::kPartsMax));
    } catch (const std::runtime_error& error) {
      log(LogLevel::Warning, "{}", public_text(error.what()));
    }
  }
}

std::vector<Filter> ReputationFeed::filters() const {
  std::vector<Filter> out;
  Filter proofs = of_ours({kinds::kReport}, kProofsAskedMax);
  proofs.tags.push_back({'l', fraud_labels()});
  out.push_back(std::move(proofs));
  if (!settings_.follows.empty()) {
    Filter words = of_ours({kinds::kReport, kinds::kLabel}, kWordsAskedMax);
    words.authors = settings_.follows;
    words.tags.push_back({'L', {std::string(kReputationNamespace)}});
    out.push_back(std::move(words));
  }
  if (!settings_.providers.empty()) {
    Filter ranks = of_ours({kinds::kTrustedAssertion}, kWordsAskedMax);
    ranks.authors = settings_.providers;
    out.push_back(std::move(ranks));
  }
  if (settings_.follows_of) {
    Filter list = of_ours({kinds::kFollows}, 1);
    list.authors = {*settings_.follows_of};
    out.push_back(std::move(list));
  }
  if (settings_.providers_of) {
    Filter list = of_ours({kinds::kTrustedProviders}, 1);
    list.authors = {*settings_.providers_of};
    out.push_back(std::move(list));
  }
  for (Filter& filter : out) filter.normalize();
  return out;
}

void ReputationFeed::on_event(const VerifiedEvent& event) {
  if (claims_fraud(event.event())) {
    on_proof_event(event.event());
  } else if (event->kind == kinds::kFollows) {
    on_follow_list(event.event());
  } else if (event->kind == kinds::kTrustedProviders) {
    on_provider_list(event.event());
  } else {
    const auto outcome = event->kind == kinds::kTrustedAssertion
                             ? book_.add_assertion(event)
                             : book_.add_opinion(event, false, verifier_);
    ++(outcome == ReputationBook::Outcome::Taken ? counters_.words_taken : counters_.words_refused);
  }
}

/// The newest one, and those that the settings name.
void ReputationFeed::on_follow_list(const Event& event) {
  if (event.created_at <= follows_at_) return;
  follows_at_ = event.created_at;
  settings_.follows = named_follows_;
  for (const PublicKey& key : parse_follows(event, kFollowsMax)) settings_.follows.push_back(key);
  book_.set_follows(settings_.follows);
  pool_.change_filters(subscription_, filters());
}

/// The same of providers, where the user has said whose list counts.
void ReputationFeed::on_provider_list(const Event& event) {
  if (event.pubkey != settings_.providers_of || event.created_at <= providers_at_) return;
  providers_at_ = event.created_at;
  settings_.providers = named_providers_;
  for (const PublicKey& key : parse_providers(event, kProvidersMax)) {
    settings_.providers.push_back(key);
  }
  book_.set_providers(settings_.providers);
  pool_.change_filters(subscription_, filters());
}

/// Others' proofs cost us work, so there is a bound to it, and nothing is looked at twice.
bool ReputationFeed::may_check() {
  const std::int64_t minute = clock_.monotonic_ms() / kMinuteMs;
  if (minute != std::exchange(minute_, minute)) checks_ = 0;
  if (checks_ >= kChecksPerMinuteMax) {
    ++counters_.proofs_unchecked;
    return false;
  }
  ++checks_;
  return true;
}

void ReputationFeed::remember_refused(const Digest& name) {
  if (refused_.size() >= kRefusedKept) refused_.clear();
  refused_.insert(name);
}

void ReputationFeed::on_proof_event(const Event& event) {
  if (is_fraud_part(event)) {
    auto added = parts_.add(event);
    if (!added) {
      ++counters_.proofs_refused;
    } else if (added->has_value()) {
      judge(**added, false);
    }
    return;
  }
  auto proof = parse_fraud_proof(event);
  if (!proof) {
    ++counters_.proofs_refused;
    return;
  }
  judge({*std::move(proof), {event}}, false);
}

void ReputationFeed::judge(const CarriedProof& carried, bool kept) {
  const Digest name = name_of(carried.proof);
  if (refused_.contains(name)) {
    ++counters_.proofs_refused;
    return;
  }
  if (book_.score(carried.proof.node).fraud) return;
  if (!kept && !may_check()) return;
  const FraudVerdict verdict = check_fraud_proof(carried.proof, roots_, verifier_);
  if (!verdict.proven) {
    ++counters_.proofs_refused;
    remember_refused(name);
    return;
  }
  ++counters_.proofs_taken;
  if (!kept) save(kProofs, carried.carriers);
  take(carried.proof, verdict.reason);
}

void ReputationFeed::on_refused_offer(const VerifiedEvent& offer,
                                      const VerifiedEvent& attestation) {
  const Digest name = sha256(offer->id.span());
  if (refused_.contains(name)) return;
  if (const auto fraud = watch_.on_refused(offer, attestation)) {
    on_found(*fraud);
  } else {
    remember_refused(name);
  }
}

void ReputationFeed::on_found(const ProvenFraud& fraud) {
  if (book_.score(fraud.proof.node).fraud) return;
  const Keypair carrier = Keypair::generate(rng_);
  std::vector<Event> events;
  for (EventDraft& draft : build_fraud_proof(fraud.proof, clock_.unix_s())) {
    events.push_back(sign_event(std::move(draft), carrier, rng_));
  }
  if (!events.empty()) save(kProofs, events);
  if (settings_.publish_proofs || is_public(fraud.proof)) {
    for (const Event& event : events) publish(event);
  }
  take(fraud.proof, fraud.reason);
}

void ReputationFeed::publish(const Event& event) {
  const auto count = publishing_;  // a relay may answer when we are gone
  ++*count;
  if (!pool_.publish(event, [count](const PublishResult&) { --*count; })) --*count;
}

void ReputationFeed::take(const FraudProof& proof, const std::string& reason) {
  if (!book_.add_fraud(proof.node, reason)) return;
  log(LogLevel::Warning, "node {} is excluded for proven fraud: {}",
      public_text(nip19::encode(nip19::Npub{proof.node})), public_text(reason));
  if (offers_ != nullptr) offers_->exclude(proof.node, excluded_for(reason));
  if (proof_) proof_(proof, reason);
}

void ReputationFeed::keep_own(const Event& opinion) {
  auto checked = check_id(opinion);
  if (!checked) return;
  const auto verified = VerifiedEvent::verify(*std::move(checked), verifier_);
  if (!verified) return;
  save(kOpinions, {&opinion, 1});
  book_.add_opinion(*verified, true, verifier_);
}

void ReputationFeed::save(const char* folder, std::span<const Event> events) const {
  const fs::path file = folder_ / folder / (encode_hex(events.front().id) + ".json");
  std::string text;
  for (const Event& event : events) text += to_json(event) + "\n";
  if (const auto written = replace_file(file, as_bytes(text), 0600); !written) {
    log(LogLevel::Warning, "{}", public_text(written.error()));
  }
}

}  // namespace nostril::client
