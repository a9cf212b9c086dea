#pragma once

#include "attestation/trust_roots.h"
#include "base/clock.h"
#include "base/rng.h"
#include "client/fraud_parts.h"
#include "client/fraud_watch.h"
#include "client/offer_book.h"
#include "client/relay_pool.h"
#include "client/reputation_book.h"
#include "client/reputation_settings.h"
#include "schnorr/verify.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace nostril::client {

/// Keeps a ReputationBook as relays, this client's own answers, and earlier runs say: proofs of
/// fraud by anybody, words of those who count. A node that is proven a fraud is excluded from the
/// offers at once. HOME/reputation/proofs and /opinions hold the events, one a file, or the parts
/// of one proof, each on a line. Threads: the loop's only. All that it is given outlives it.
class ReputationFeed {
 public:
  static constexpr std::size_t kProofsAskedMax = 1'000;  ///< stored ones, of a relay
  static constexpr std::size_t kWordsAskedMax = 5'000;
  static constexpr std::size_t kFollowsMax = 2'000;
  static constexpr std::size_t kProvidersMax = 32;         ///< of the user's list
  static constexpr std::size_t kFilesMax = 4'096;          ///< read at a start, of each folder
  static constexpr std::size_t kRefusedKept = 4'096;       ///< proofs that were refused; 32 bytes
  static constexpr std::size_t kChecksPerMinuteMax = 600;  ///< of others' proofs: 2 s of work

  struct Counters {
    std::uint64_t proofs_taken = 0;
    std::uint64_t proofs_refused = 0;    ///< malformed, or they prove nothing
    std::uint64_t proofs_unchecked = 0;  ///< beyond kChecksPerMinuteMax
    std::uint64_t words_taken = 0;
    std::uint64_t words_refused = 0;
  };

  /// Asks at once: who makes it before the offer book hears of frauds before it hears of offers, as
  /// far as relays answer in order.
  ReputationFeed(RelayPool& pool, ReputationBook& book, FraudWatch& watch,
                 attestation::TrustRoots roots, Clock& clock, Rng& rng, ReputationSettings settings,
                 std::filesystem::path folder);
  ~ReputationFeed();
  ReputationFeed(const ReputationFeed&) = delete;
  ReputationFeed& operator=(const ReputationFeed&) = delete;

  /// Once: whose nodes are excluded, and whose refused evidence is looked at.
  void attach(OfferBook& offers);

  /// This client has seen it: kept, excluded, and published as the settings say.
  void on_found(const ProvenFraud& fraud);

  /// Called with each new proof, own or others', when it is kept.
  void on_proof(std::function<void(const FraudProof&, const std::string& reason)> callback) {
    proof_ = std::move(callback);
  }

  /// Published and not answered yet: who ends now loses them for others.
  [[nodiscard]] std::size_t publishing() const { return *publishing_; }

  /// The user's own word: counts from now on, and at each later start.
  void keep_own(const Event& opinion);

  /// A relay has sent all that it stores.
  [[nodiscard]] bool complete() const { return stored_ends_ > 0; }

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  void load(const char* folder, const std::function<void(std::vector<VerifiedEvent>)>& take);
  [[nodiscard]] std::vector<Filter> filters() const;
  void on_event(const VerifiedEvent& event);
  void on_follow_list(const Event& event);
  void on_provider_list(const Event& event);
  void on_refused_offer(const VerifiedEvent& offer, const VerifiedEvent& attestation);
  void on_proof_event(const Event& event);
  /// `kept`: from our own files, so it is not bounded and not saved again.
  void judge(const CarriedProof& carried, bool kept);
  void take(const FraudProof& proof, const std::string& reason);
  [[nodiscard]] bool may_check();
  void publish(const Event& event);
  void remember_refused(const Digest& name);
  void save(const char* folder, std::span<const Event> events) const;

  RelayPool& pool_;
  OfferBook* offers_ = nullptr;
  ReputationBook& book_;
  FraudWatch& watch_;
  const attestation::TrustRoots roots_;
  Clock& clock_;
  Rng& rng_;
  ReputationSettings settings_;  ///< follows: with those of the list
  const std::vector<PublicKey> named_follows_;
  const std::vector<PublicKey> named_providers_;
  const std::filesystem::path folder_;
  Verifier verifier_;
  SubscriptionId subscription_ = SubscriptionId::None;
  std::size_t stored_ends_ = 0;
  std::int64_t follows_at_ = -1;
  std::int64_t providers_at_ = -1;
  FraudParts parts_;
  std::set<Digest> refused_;  ///< names of proofs, and of offers looked at
  std::int64_t minute_ = 0;
  std::size_t checks_ = 0;
  Counters counters_;
  std::shared_ptr<std::size_t> publishing_ = std::make_shared<std::size_t>(0);
  std::function<void(const FraudProof&, const std::string&)> proof_;
};

}  // namespace nostril::client
