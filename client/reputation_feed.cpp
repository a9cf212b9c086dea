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
      folder_(std::move(folder)) {
  book_.set_follows(settings_.follows);
  book_.set_providers(settings_.providers);
  load(kProofs, [this](const VerifiedEvent& event) { on_proof_event(event, true); });
  load(kOpinions,
       [this](const VerifiedEvent& event) { book_.add_opinion(event, true, verifier_); });
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
                          const std::function<void(const VerifiedEvent&)>& take) {
  std::error_code missing;
  std::size_t count = 0;
  for (const auto& file : fs::directory_iterator(folder_ / folder, missing)) {
    if (++count > kFilesMax) break;
    try {
      take(read_event_file(file.path(), verifier_));
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
  for (Filter& filter : out) filter.normalize();
  return out;
}

void ReputationFeed::on_event(const VerifiedEvent& event) {
  if (claims_fraud(event.event())) {
    on_proof_event(event, false);
  } else if (event->kind == kinds::kFollows) {
    on_follow_list(event.event());
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

void ReputationFeed::on_proof_event(const VerifiedEvent& event, bool own_file) {
  const Digest name = sha256(event->content);
  if (refused_.contains(name)) {
    ++counters_.proofs_refused;
    return;
  }
  auto proof = parse_fraud_proof(event.event());
  if (proof && book_.score(proof->node).fraud) return;
  if (!own_file && proof && !may_check()) return;
  const FraudVerdict verdict =
      proof ? check_fraud_proof(*proof, roots_, verifier_) : FraudVerdict{};
  if (!verdict.proven) {
    ++counters_.proofs_refused;
    remember_refused(name);
    return;
  }
  ++counters_.proofs_taken;
  if (!own_file) save(kProofs, event.event());
  take(*proof, verdict.reason);
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
  const auto draft = build_fraud_proof(fraud.proof, clock_.unix_s());
  if (draft) {
    const Event event = sign_event(*draft, Keypair::generate(rng_), rng_);
    save(kProofs, event);
    if (settings_.publish_proofs || is_public(fraud.proof)) publish(event);
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
  save(kOpinions, opinion);
  book_.add_opinion(*verified, true, verifier_);
}

void ReputationFeed::save(const char* folder, const Event& event) const {
  const fs::path file = folder_ / folder / (encode_hex(event.id) + ".json");
  const std::string text = to_json(event) + "\n";
  if (const auto written = replace_file(file, as_bytes(text), 0600); !written) {
    log(LogLevel::Warning, "{}", public_text(written.error()));
  }
}

}  // namespace nostril::client
