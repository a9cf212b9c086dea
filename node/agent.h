#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/journal.h"
#include "client/relay_pool.h"
#include "net/loop.h"
#include "node/background.h"
#include "node/beacon_feed.h"
#include "node/config.h"
#include "node/demo_engine_process.h"
#include "node/engine.h"
#include "node/evidence_source.h"
#include "node/node_keys.h"
#include "node/publisher.h"
#include "node/serving.h"
#include "schnorr/verify.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace nostril::node {

/// Counts for the operator; loop thread.
struct AgentCounters {
  std::uint64_t first_frames = 0;
  std::uint64_t unreadable = 0;  ///< frames to us that did not open
  std::uint64_t refused = 0;     ///< first frames answered with an error
  std::uint64_t repeated = 0;    ///< first frames of a request id already known
};

/// The node: finds its engine, keeps its offers published, and turns first frames into sessions.
/// Threads: the loop's only. Destroying it drops all sessions without a word; stop() is the clean
/// way.
class Agent {
 public:
  Agent(const NodeConfig& config, Keypair identity, std::unique_ptr<EvidenceSource> source,
        std::unique_ptr<client::Journal> journal, net::Loop& loop, Clock& clock, Rng& rng);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// `on_serving` gets one line for standard output when the first offer was taken; `on_fatal` a
  /// line for the operator when the node can't go on.
  void start(std::function<void(std::string)> on_serving,
             std::function<void(std::string)> on_fatal);
  /// Withdraws the offers, ends running answers with a record, then calls `done`.
  void stop(std::function<void()> done);

  [[nodiscard]] const AgentCounters& counters() const { return counters_; }

 private:
  // Finding and watching the engine.
  void find_engine();
  void start_demo_engine();
  void read_version(FoundEngine found);
  void use_engine(const FoundEngine& found);
  void start_manifest();
  void check_engine();
  void engine_lost();

  // Keys and offers.
  void rotate_keys();

  // Frames.
  void subscribe();
  void on_frame(const VerifiedEvent& event);
  void on_first_frame(const Event& event, const Keypair& encryption);
  void refuse(const NodeHandshake& handshake, ErrorCode code, std::string message);
  [[nodiscard]] std::shared_ptr<ChannelBook> book_for(const NodeHandshake& handshake,
                                                      const LiveOffer& offer);
  void sweep();

  const NodeConfig& config_;
  const Keypair identity_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  std::unique_ptr<EvidenceSource> source_;
  std::unique_ptr<client::Journal> journal_;
  client::RelayPool pool_;
  Verifier verifier_;
  EncryptionKeys keys_;
  Background background_;
  BeaconFeed beacons_;
  Publisher publisher_;
  EngineGate gate_;
  AgentCounters counters_;

  std::unique_ptr<DemoEngineProcess> demo_;
  std::int64_t demo_restart_ms_ = 1000;
  std::unique_ptr<Engine> engine_;
  std::optional<std::string> manifest_;  ///< text; empty: no claim; none: not made yet
  bool hashing_ = false;
  bool reading_version_ = false;
  std::atomic<bool> cancelled_ = false;  ///< read by the background thread
  int failed_checks_ = 0;
  bool stopping_ = false;
  /// For callbacks that this object can't cancel.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::optional<Services> services_;
  std::unordered_map<PublicKey, std::shared_ptr<Serving>, FixedBytesHash> sessions_;
  std::map<ChannelId, std::weak_ptr<ChannelBook>> books_;
  client::SubscriptionId frames_ = client::SubscriptionId::None;
  std::vector<net::TimerId> timers_;

  std::function<void(std::string)> on_serving_;
  std::function<void(std::string)> on_fatal_;
};

}  // namespace nostril::node
