#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/relay_pool.h"
#include "events/inference.h"
#include "node/background.h"
#include "node/beacon_feed.h"
#include "node/config.h"
#include "node/engine.h"
#include "node/event_evidence.h"
#include "node/evidence_source.h"
#include "node/node_keys.h"
#include "node/publish_times.h"
#include "settlement/price.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::node {

/// An offer that first frames may name, with what is needed to serve it.
struct LiveOffer {
  Offer offer;
  settlement::PriceTable prices;
};

/// How clients reach this node without a relay. Zero and empty: they don't.
struct DirectPath {
  Digest tls_spki;  ///< SHA-256 of the TLS key's SubjectPublicKeyInfo, for the statement
  std::string url;  ///< for the offer; empty: not told
  std::function<std::size_t()> running = {};  ///< answers under way: a drain waits for them
};

/// Keeps one model's attestation (31471), the vendors' documents that it names (31474) and offer
/// (31470) on its relays: made anew for each encryption key and, with beacons, as they go on; the
/// offer is withdrawn by NIP-09 when the engine is gone or the node stops. Threads: the loop's
/// only.
class Publisher {
 public:
  Publisher(const NodeConfig& config, const Keypair& identity, EncryptionKeys& keys,
            EvidenceSource& source, Background& background, client::RelayPool& pool,
            const BeaconFeed& beacons, PublishTimes& times, const DirectPath& direct, Clock& clock,
            Rng& rng);

  /// What is served from now on, and for what. `manifest`: of its weights, text; empty: no claim
  /// is made.
  void set_engine(const FoundEngine& engine, const EngineModel& model, std::string manifest,
                  NodeConfig::OfferSettings terms);

  /// Other terms, or relays, from now on: offered anew when something is on offer. Offers that are
  /// out keep theirs until they expire.
  void change_terms(NodeConfig::OfferSettings terms);

  /// Publishes for the newest encryption key once the background thread has its evidence. Nothing,
  /// with a line in the log, when there is none: a node that can't prove itself offers nothing.
  /// `on_offered` is called once a relay has taken the offer. While one is under way a second call
  /// does nothing.
  void publish();

  /// The last publish() came to nothing, or to evidence without its collateral a while ago; or the
  /// beacon that it is over has become old.
  [[nodiscard]] bool due() const;

  /// An offer is being made.
  [[nodiscard]] bool making() const { return making_ != nullptr; }

  /// The newest offer and its attestation once more, as they are: a relay that was away, or lost
  /// what it stored, has them again.
  void publish_again();

  /// How busy the engine is now. Offers say so; when it has come to another load_rank(), a new one
  /// is made for that alone, over the same evidence, `offer.load_s` after the last one at the
  /// earliest. Sessions go on under the older ones.
  void note_load(const LoadTag& load);

  void on_offered(std::function<void(const Offer&)> callback) { offered_ = std::move(callback); }

  /// Takes the offers back; the attestation expires by itself, for offers of other models over the
  /// same beacon lean on it, too. `done` comes when a relay took that, or none can.
  void withdraw(const std::function<void()>& done = {});

  [[nodiscard]] bool offering() const { return offering_; }

  /// When the evidence of the newest offer was made, Unix seconds.
  [[nodiscard]] std::int64_t evidence_at_s() const { return evidence_at_s_; }

  /// No relay took the newest offer: a new one, made later, may be taken.
  [[nodiscard]] bool refused() const { return refused_; }

  /// The newest, while it may be used; nullptr: withdrawn, or none yet.
  [[nodiscard]] const LiveOffer* newest() const;

  /// The offer of that id while it may still be used: not expired, not withdrawn.
  [[nodiscard]] const LiveOffer* find(const EventId& id) const;

 private:
  struct Making;

  [[nodiscard]] Offer make_offer(const EncryptionKeys::Entry& key,
                                 const AttestationEvent& attestation) const;
  [[nodiscard]] attestation::Statement make_statement(const EncryptionKeys::Entry& key);
  void publish_made(const Making& making);
  void sign_documents(const std::vector<attestation::VendorDocument>& documents);
  void sign_offer(Offer offer);

  const NodeConfig& config_;
  const Keypair& identity_;
  EncryptionKeys& keys_;
  EvidenceSource& source_;
  Background& background_;
  client::RelayPool& pool_;
  const BeaconFeed& beacons_;
  PublishTimes& times_;
  const DirectPath& direct_;
  Clock& clock_;
  Rng& rng_;

  std::optional<FoundEngine> engine_;
  EngineModel model_;
  NodeConfig::OfferSettings terms_;
  std::string manifest_;
  Digest weights_;  ///< its digest; zero: none
  std::function<void(const Offer&)> offered_;
  std::optional<LoadTag> load_;
  std::int64_t signed_at_ms_ = 0;  ///< the newest offer; monotonic
  std::deque<LiveOffer> live_;
  std::map<Digest, Event> documents_;  ///< that the attestation names
  std::optional<Event> attestation_event_;
  std::optional<Event> offer_event_;
  bool offering_ = false;
  std::int64_t evidence_at_s_ = 0;
  bool refused_ = false;
  bool due_ = false;
  std::int64_t collateral_wait_s_ = 0;
  std::int64_t complete_at_s_ = 0;  ///< when to try to publish with collateral; 0: it was there
  std::int64_t beacon_at_s_ = 0;    ///< of the beacon under the newest evidence; 0: none
  /// What is being made, and only while it is wanted.
  std::shared_ptr<Making> making_;
  int refused_in_a_row_ = 0;
};

}  // namespace nostril::node
