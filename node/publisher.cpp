#include "node/publisher.h"

#include "attestation/pack.h"
#include "attestation/statement.h"
#include "attestation/tee_tag.h"
#include "attestation/verify.h"
#include "attestation/verity.h"
#include "base/hex.h"
#include "base/log.h"
#include "events/document.h"
#include "events/kinds.h"
#include "node/collateral.h"
#include "node/endpoint.h"

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

/// Offers made anew after a refusal, in a row.
constexpr int kRefusalsMax = 5;
/// An offer ends so long before its key, or a tenth of the key's life: who comes late is still
/// told.
constexpr std::int64_t kLastCallS = 60;
/// What a vendor's service does not have it may never have: each try waits twice as long.
constexpr std::int64_t kCollateralRetryS = 60;
constexpr std::int64_t kCollateralRetryMaxS = 1920;
constexpr std::size_t kDeletedByIdMax = 16;
/// Relays keep a vendor's document so long; a new event takes its place long before.
constexpr std::int64_t kDocumentLifeS = std::int64_t{7} * 86'400;
constexpr std::int64_t kDocumentRenewS = 86'400;

/// An operator learns from the log, not from absent clients, what a client's default policy
/// refuses.
void warn_of_refusals(const attestation::Evidence& evidence, std::int64_t now_s) {
  const bool simulated = evidence.kind.starts_with("sim-");
  if (simulated) return;
  const auto verdict = attestation::verify(evidence, evidence.statement,
                                           attestation::TrustRoots::vendors(), now_s, {});
  if (verdict.accepted) return;
  log(LogLevel::Warning, "clients with the default policy will refuse this evidence: {}",
      public_text(attestation::summary(verdict)));
}

}  // namespace

struct Publisher::Making {
  attestation::Statement statement;
  std::int64_t beacon_at_s = 0;  ///< 0: the nonce is random
  std::string manifest;
  bool lacks_collateral = false;
  Result<EventEvidence, std::string> evidence = failure(std::string("not made"));
};

Publisher::Publisher(const NodeConfig& config, const Keypair& identity, EncryptionKeys& keys,
                     EvidenceSource& source, Background& background, client::RelayPool& pool,
                     const BeaconFeed& beacons, PublishTimes& times, const DirectPath& direct,
                     Clock& clock, Rng& rng)
    : config_(config),
      identity_(identity),
      keys_(keys),
      source_(source),
      background_(background),
      pool_(pool),
      beacons_(beacons),
      times_(times),
      direct_(direct),
      clock_(clock),
      rng_(rng) {}

void Publisher::set_engine(const FoundEngine& engine, const EngineModel& model,
                           std::string manifest, NodeConfig::OfferSettings terms) {
  engine_ = engine;
  terms_ = std::move(terms);
  model_ = model;
  manifest_ = std::move(manifest);
  weights_ = manifest_.empty() ? Digest{} : attestation::weights_digest(manifest_);
}

void Publisher::change_terms(NodeConfig::OfferSettings terms) {
  terms_ = std::move(terms);
  if (offering_) publish();  // one that is being made takes them, too
}

Offer Publisher::make_offer(const EncryptionKeys::Entry& key,
                            const AttestationEvent& attestation) const {
  const NodeConfig::OfferSettings& terms = terms_;
  const auto price = [](PriceUnit unit, std::int64_t amount) {
    return PriceTag{unit, Amount::of(static_cast<std::uint64_t>(amount))};
  };
  Offer offer;
  offer.node = identity_.public_key();
  offer.model = model_.id;
  offer.profile = terms.profile;
  offer.encryption_key = key.key.public_key();
  offer.encryption_key_expires_at = key.expires_at;
  offer.attestation = attestation.digest;
  if (!weights_.is_zero()) offer.weights = weights_;
  offer.asset = terms.asset;
  offer.prices = {price(PriceUnit::Input, terms.input_price),
                  price(PriceUnit::Cached, terms.cached_price),
                  price(PriceUnit::Output, terms.output_price)};
  const auto price_too = [&](PriceUnit unit, std::int64_t amount) {
    if (amount > 0) offer.prices.push_back(price(unit, amount));
  };
  price_too(PriceUnit::Second, terms.second_price);
  price_too(PriceUnit::Request, terms.request_price);
  price_too(PriceUnit::Session, terms.session_price);
  offer.credit = Amount::of(static_cast<std::uint64_t>(terms.credit));
  offer.rail = config_.rail();
  offer.lightning = config_.lightning_rail();
  offer.context_tokens =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, model_.context_tokens));
  offer.output_tokens_max = static_cast<std::uint64_t>(terms.output_tokens_max);
  offer.features = {"stream"};
  if (terms.auditable && !weights_.is_zero() && engine_->version != kUnknownVersion) {
    offer.features.emplace_back("seed");
  }
  for (const std::string_view path : own_paths(engine_->name, terms.paths)) {
    offer.features.push_back("path:" + std::string(path));
  }
  offer.engine = engine_->name;
  offer.engine_version = engine_->version;
  offer.tee = attestation.tee;
  offer.relays = config_.relays;
  offer.load = load_;
  if (!direct_.url.empty()) offer.url = direct_.url;
  if (!terms.operator_key.empty()) offer.operator_key = from_hex<PublicKey>(terms.operator_key);
  offer.expires_at = key.expires_at - std::min(kLastCallS, config_.limits.key_life_s / 10);
  return offer;
}

attestation::Statement Publisher::make_statement(const EncryptionKeys::Entry& key) {
  attestation::Statement statement;
  statement.node = identity_.public_key();
  statement.encryption_key = key.key.public_key();
  statement.encryption_key_expires_at = key.expires_at;
  statement.tls_spki = direct_.tls_spki;
  statement.model_manifest = weights_;
  rng_.fill(statement.nonce);
  return statement;
}

bool Publisher::due() const {
  if (due_ || (complete_at_s_ != 0 && clock_.unix_s() >= complete_at_s_)) return true;
  const auto beacon = beacons_.newest();
  return beacon && beacon->created_at >= beacon_at_s_ + config_.freshness.refresh_s;
}

void Publisher::publish() {
  if (!engine_ || making_) return;
  due_ = true;
  auto making = std::make_shared<Making>();
  making->statement = make_statement(keys_.newest());
  if (const auto beacon = beacons_.newest()) {
    making->statement.nonce = beacon->id.bytes;
    making->beacon_at_s = beacon->created_at;
  }
  making->manifest = manifest_;
  const bool taken = background_.run(
      [making, &source = source_, now_s = clock_.unix_s()] {
        auto evidence = whole_evidence(source, making->statement, now_s);
        if (!evidence) {
          making->evidence = failure(evidence.error());
          return;
        }
        evidence->manifest = making->manifest;
        warn_of_refusals(*evidence, now_s);
        making->lacks_collateral = lacks_collateral(*evidence);
        making->evidence = evidence_for_event(*evidence);
      },
      [this, making] {
        if (making != making_) return;  // withdrawn meanwhile
        making_.reset();
        publish_made(*making);
      });
  if (taken) making_ = std::move(making);
}

void Publisher::publish_made(const Making& making) {
  const auto& evidence = making.evidence;
  if (!evidence) {
    log(LogLevel::Error, "no evidence, so no offer: {}", public_text(evidence.error()));
    return;
  }
  const EncryptionKeys::Entry& key = keys_.newest();
  if (key.key.public_key() != making.statement.encryption_key) return;  // due for the next key
  if (const auto problem = too_large(evidence->evidence, evidence->packed.size(),
                                     InferenceLimits::kEvidenceBytesMax)) {
    log(LogLevel::Error, "no offer: {}", public_text(*problem));
    return;
  }
  sign_documents(evidence->documents);
  const AttestationEvent attestation = attestation_event(*evidence, times_.next());
  attestation_event_ = sign_event(build_attestation(attestation), identity_, rng_);

  sign_offer(make_offer(key, attestation));
  const std::int64_t now_s = clock_.unix_s();
  offering_ = true;
  evidence_at_s_ = now_s;
  refused_ = false;
  due_ = false;
  beacon_at_s_ = making.beacon_at_s;
  collateral_wait_s_ = making.lacks_collateral ? std::clamp(2 * collateral_wait_s_,
                                                            kCollateralRetryS, kCollateralRetryMaxS)
                                               : 0;
  complete_at_s_ = collateral_wait_s_ == 0 ? 0 : now_s + collateral_wait_s_;
  publish_again();
}

void Publisher::sign_documents(const std::vector<attestation::VendorDocument>& documents) {
  const std::int64_t now_s = clock_.unix_s();
  std::map<Digest, Event> signed_before = std::exchange(documents_, {});
  for (const attestation::VendorDocument& document : documents) {
    const Digest& digest = document.named.sha256;
    const auto found = signed_before.find(digest);
    if (found != signed_before.end() && found->second.created_at + kDocumentRenewS > now_s) {
      documents_.insert(signed_before.extract(found));
      continue;
    }
    DocumentEvent out;
    out.created_at = now_s;  // another model's publisher says the very same
    out.digest = digest;
    out.name = document.named.name;
    out.expires_at = now_s + kDocumentLifeS;
    out.document = attestation::pack_bytes(document.bytes);
    documents_.emplace(digest, sign_event(build_document(out), identity_, rng_));
  }
}

void Publisher::sign_offer(Offer offer) {
  offer.created_at = times_.next();
  offer_event_ = sign_event(build_offer(offer), identity_, rng_);
  offer.id = offer_event_->id;
  signed_at_ms_ = clock_.monotonic_ms();
  const std::int64_t now_s = clock_.unix_s();
  std::erase_if(live_, [now_s](const LiveOffer& live) { return live.offer.expires_at <= now_s; });
  const settlement::PriceTable prices = settlement::PriceTable::of(offer);
  live_.push_back({std::move(offer), prices});
}

void Publisher::note_load(const LoadTag& load) {
  load_ = load;
  if (!offering_ || making_ || config_.offer.load_s == 0) return;
  const Offer& newest = live_.back().offer;
  if (load_rank(load_) == load_rank(newest.load)) return;
  if (clock_.monotonic_ms() < signed_at_ms_ + config_.offer.load_s * 1000) return;
  Offer offer = newest;
  offer.load = load_;
  sign_offer(std::move(offer));
  pool_.publish(*offer_event_);
}

void Publisher::publish_again() {
  if (!offering_) return;
  for (const auto& [digest, document] : documents_) pool_.publish(document);
  pool_.publish(*attestation_event_);
  const Offer& offer = live_.back().offer;
  pool_.publish(*offer_event_, [this, offer](const client::PublishResult& result) {
    if (result.accepted) {
      refused_in_a_row_ = 0;
      refused_ = false;
      if (offered_) offered_(offer);
      return;
    }
    for (const std::string& refusal : result.refusals) {
      log(LogLevel::Warning, "offer not taken by {}", public_text(refusal));
    }
    // A node that has just stopped withdrew offers up to a moment that may not be over: a later one
    // is taken. A relay that refuses for good is not asked for ever.
    refused_ = ++refused_in_a_row_ <= kRefusalsMax;
  });
}

void Publisher::withdraw(const std::function<void()>& done) {
  making_.reset();
  due_ = false;
  complete_at_s_ = 0;
  if (!std::exchange(offering_, false) || live_.empty()) {
    if (done) done();
    return;
  }
  const Offer& newest = live_.back().offer;
  const std::string node = encode_hex(identity_.public_key());
  EventDraft deletion;
  deletion.kind = kinds::kDeletion;
  deletion.created_at = times_.next();
  deletion.tags.add({"a", "31470:" + node + ":" + newest.model + "@" + newest.profile});
  // The address takes them all with it; the newest by id, too, for relays that read only those.
  for (std::size_t i = live_.size() - std::min(live_.size(), kDeletedByIdMax); i < live_.size();
       ++i) {
    deletion.tags.add({"e", encode_hex(live_[i].offer.id)});
  }
  deletion.tags.add({"k", "31470"});
  live_.clear();
  const bool sent = pool_.publish(sign_event(std::move(deletion), identity_, rng_),
                                  [done](const client::PublishResult&) {
                                    if (done) done();
                                  });
  if (!sent && done) done();
}

const LiveOffer* Publisher::newest() const {
  if (!offering_ || live_.empty() || live_.back().offer.expires_at <= clock_.unix_s()) {
    return nullptr;
  }
  return &live_.back();
}

const LiveOffer* Publisher::find(const EventId& id) const {
  const std::int64_t now_s = clock_.unix_s();
  const auto found = std::ranges::find_if(live_, [&](const LiveOffer& live) {
    return live.offer.id == id && live.offer.expires_at > now_s;
  });
  return found == live_.end() ? nullptr : &*found;
}

}  // namespace nostril::node
