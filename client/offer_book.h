#pragma once

#include "attestation/verify.h"
#include "base/clock.h"
#include "client/document_book.h"
#include "client/policy_file.h"
#include "client/relay_pool.h"
#include "client/verdict_cache.h"
#include "events/event.h"
#include "events/inference.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace nostril::client {

/// What a client trusts. Constant after it is made.
struct TrustSettings {
  attestation::TrustRoots roots;
  VerifyPolicy policy;
};

/// What the policy demands of the node behind this offer.
[[nodiscard]] attestation::Policy policy_for_offer(const VerifyPolicy& policy, const Offer& offer);

/// An offer whose evidence passed the client's policy. Only OfferBook makes one, so a prompt can't
/// be sealed to a node that did not prove itself: InferenceClient takes nothing else.
class VerifiedOffer {
 public:
  [[nodiscard]] const Offer& offer() const { return offer_; }

  [[nodiscard]] const attestation::Verdict& verdict() const { return *verdict_; }

  /// The offer as its node signed it.
  [[nodiscard]] const VerifiedEvent& event() const { return event_; }

  /// The event that carried the evidence, as published.
  [[nodiscard]] const EventId& attestation_event() const { return attestation_event_; }

 private:
  friend class OfferBook;

  VerifiedOffer(Offer offer, VerifiedEvent event,
                std::shared_ptr<const attestation::Verdict> verdict,
                const EventId& attestation_event)
      : offer_(std::move(offer)),
        event_(std::move(event)),
        verdict_(std::move(verdict)),
        attestation_event_(attestation_event) {}

  Offer offer_;
  VerifiedEvent event_;
  std::shared_ptr<const attestation::Verdict> verdict_;
  EventId attestation_event_;
};

/// An offer that may not be used, and why: one line, and the verdict when it got that far.
struct RejectedOffer {
  Offer offer;
  std::string reason;
  std::shared_ptr<const attestation::Verdict> verdict;
};

/// Reads offers (31470), attestations (31471) and the vendors' documents that these name (31474)
/// from the pool and judges each pair: anew only when its verdict has ended or the trust has
/// changed. Keeps the newest offer of an address; forgets what expires or is withdrawn (NIP-09),
/// and when it is full an offer of the node that has the most. Threads: the loop's only.
class OfferBook {
 public:
  static constexpr std::size_t kOffersMax = 10'000;
  static constexpr std::size_t kPoliciesMax = 256;             ///< made ready; full: made anew
  static constexpr std::size_t kEvidenceBytesMax = 64U << 20;  ///< of all attestations together

  OfferBook(RelayPool& pool, const TrustSettings& trust, Clock& clock);
  ~OfferBook();
  OfferBook(const OfferBook&) = delete;
  OfferBook& operator=(const OfferBook&) = delete;

  /// Called after anything changed.
  void on_change(std::function<void()> callback) { changed_ = std::move(callback); }

  /// Called with each offer whose evidence is refused, for who looks whether that proves fraud; it
  /// may call exclude().
  using Refused = std::function<void(const VerifiedEvent& offer, const VerifiedEvent& attestation)>;

  void on_refused(Refused callback) { refused_ = std::move(callback); }

  /// No offer of this node is usable from now on, whatever its evidence shows.
  void exclude(const PublicKey& node, std::string reason);

  /// True once a relay has sent all that it stores, vendors' documents included.
  [[nodiscard]] bool complete() const { return stored_ends_ > 0 && documents_.complete(); }

  /// Usable now, any model; newest first. Shared: a running session keeps its offer.
  [[nodiscard]] std::vector<std::shared_ptr<const VerifiedOffer>> usable() const;
  [[nodiscard]] std::vector<RejectedOffer> rejected() const;

  /// The evidence of an offer, with the documents that it names as far as they are here; nothing
  /// when it has not arrived or can't be read.
  [[nodiscard]] std::optional<attestation::Evidence> evidence_of(const Offer& offer) const;
  /// SHA-256 of the evidence as its node published it; nothing when it has not arrived.
  [[nodiscard]] std::optional<Digest> evidence_digest_of(const Offer& offer) const;

  /// The trust given to the constructor has other lists or beacons now: every pair is looked at
  /// again.
  void on_trust_changed();

  [[nodiscard]] const VerdictCache& verdicts() const { return verdicts_; }

 private:
  struct Entry {
    Offer offer;
    VerifiedEvent event;
    std::shared_ptr<const VerifiedOffer> verified;  // or none, and then a reason
    std::string reason;
    std::shared_ptr<const attestation::Verdict> verdict;
  };

  struct Attestation {
    AttestationEvent event;  ///< without the evidence, which is the content below
    VerifiedEvent published;
    Digest evidence_digest;
    std::vector<Digest> documents;  ///< that it names
  };

  /// The policy for an offer, with the name that verdicts are kept under.
  struct ModelPolicy {
    attestation::Policy policy;
    Digest digest;
  };

  void on_event(const VerifiedEvent& event);
  void on_offer(const VerifiedEvent& event);
  void on_attestation(const VerifiedEvent& event);
  void on_deletion(const Event& event);
  void on_document(const Digest& digest);
  void want_documents();
  [[nodiscard]] bool make_room_for(const PublicKey& node);
  void put_documents(attestation::Evidence& evidence) const;
  void judge(Entry& entry);
  std::shared_ptr<const attestation::Verdict> verdict_on(const attestation::Statement& expected,
                                                         const Attestation& attestation,
                                                         Entry& entry);
  const ModelPolicy& policy_of(const Offer& offer);

  RelayPool& pool_;
  const TrustSettings& trust_;
  Clock& clock_;
  SubscriptionId subscription_ = SubscriptionId::None;
  std::function<void()> changed_;
  Refused refused_;
  std::map<PublicKey, std::string> excluded_;  ///< and why
  std::size_t stored_ends_ = 0;
  std::size_t evidence_bytes_ = 0;
  // By "node:d" of the offer, and by node and digest of the attestation.
  std::map<std::string, Entry> offers_;
  std::map<std::pair<PublicKey, Digest>, Attestation> attestations_;
  DocumentBook documents_;
  VerdictCache verdicts_;
  Digest roots_digest_;
  /// By model, "seed" and the machine that is claimed.
  std::map<std::tuple<std::string, bool, std::string>, ModelPolicy> policies_;
};

}  // namespace nostril::client
