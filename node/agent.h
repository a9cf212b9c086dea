#pragma once

#include "base/clock.h"
#include "base/metrics_text.h"
#include "base/rng.h"
#include "client/frame_inbox.h"
#include "client/journal.h"
#include "client/relay_pool.h"
#include "net/loop.h"
#include "node/answer_store.h"
#include "node/background.h"
#include "node/beacon_feed.h"
#include "node/config.h"
#include "node/demo_engine_process.h"
#include "node/engine.h"
#include "node/engine_site.h"
#include "node/evidence_source.h"
#include "node/https_face.h"
#include "node/journal_sweep.h"
#include "node/node_keys.h"
#include "node/node_metrics.h"
#include "node/pickup_outbox.h"
#include "node/serving.h"
#include "schnorr/verify.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nostril::node {

/// Counts for the operator; loop thread.
struct AgentCounters {
  std::uint64_t first_frames = 0;
  std::uint64_t unreadable = 0;  ///< frames to us that did not open
  std::uint64_t refused = 0;     ///< first frames answered with an error
  std::uint64_t repeated = 0;    ///< first frames of a request id already known
};

/// The node: finds its engines, keeps their offers published, and turns first frames into sessions,
/// each at the engine whose offer it names. Threads: the loop's only. Destroying it drops all
/// sessions without a word; stop() is the clean way.
class Agent final : public ModelDirectory {
 public:
  /// `rail`: none is "unsettled", where nothing but the credit stands behind a channel.
  Agent(const NodeConfig& config, Keypair identity, std::unique_ptr<EvidenceSource> source,
        std::unique_ptr<client::Journal> journal, net::Loop& loop, Clock& clock, Rng& rng,
        std::shared_ptr<const Rail> rail = nullptr);
  ~Agent() override;
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// What the HTTPS face works with; borrowed, it goes before the agent does.
  [[nodiscard]] HttpsParts https_parts();

  /// Told in offers and proven by their attestations. Before start().
  void set_direct_path(DirectPath direct) { direct_ = std::move(direct); }

  std::optional<ModelPlace> find_model(std::string_view model) override;
  std::vector<Offer> offered() override;

  /// `on_serving` gets one line for standard output when the first offer was taken; `on_fatal` a
  /// line for the operator when the node can't go on.
  void start(std::function<void(std::string)> on_serving,
             std::function<void(std::string)> on_fatal);
  /// Withdraws the offers, ends running answers with a record, then calls `done`.
  void stop(std::function<void()> done);
  /// Withdraws the offers and begins nothing new. `done` comes when all answers have ended and are
  /// paid for, or after `limits.drain_s`: stop() then.
  void drain(std::function<void()> done);

  /// The configuration that was lent to this object has new values (plan_reload(); `before`: the
  /// old ones). Offers that are out keep their terms; a relay that is gone is left after
  /// kRelayLeaveMs, when clients know the offers that no longer name it.
  void reconfigured(const NodeConfig& before);
  static constexpr std::uint64_t kRelayLeaveMs = 60'000;

  /// For Prometheus: counts and states, no word of a client.
  [[nodiscard]] std::string metrics_text() const;

  /// Answers requests for its path; borrowed, it goes before the agent does. Before start().
  void set_lightning(LightningDesk& desk) { lightning_ = &desk; }

  /// What a channel's statements come to.
  [[nodiscard]] Amount spent(const settlement::ChannelTerms& terms) {
    return books_.open(terms, {})->channel().spent();
  }

  /// What the rail says of channels has changed.
  void backing_changed() { books_.refresh_backing(); }

  /// Outlives what others make of it until the agent goes.
  [[nodiscard]] client::Journal& journal() { return *journal_; }

  [[nodiscard]] const AgentCounters& counters() const { return counters_; }

 private:
  // Engines.
  void find_engines();
  EngineSite& add_site(NodeConfig::EngineSettings engine);
  void start_demo_engine();
  void demo_engine_ended(const std::string& why);
  void reconfigure_engines();
  void leave_relay(const std::string& url);
  void site_problem(const std::string& problem);
  [[nodiscard]] std::pair<EngineSite*, const LiveOffer*> find_offer(const EventId& id) const;

  void write_exposure(MetricsText& out) const;
  void write_sites(MetricsText& out) const;

  // Keys and offers.
  void told_offer(const Offer& offer);
  void rotate_keys();

  // Frames.
  void subscribe();
  void on_first_frame(const VerifiedEvent& event);
  void on_session_frame(const Event& event);
  void drop_sessions(const std::function<bool(const Serving&)>& which);
  void on_first_frame(const Event& event, const Keypair& encryption);
  void refuse(const NodeHandshake& handshake, ErrorCode code, std::string message);
  [[nodiscard]] Result<std::shared_ptr<ChannelBook>, std::string> book_for(
      const NodeHandshake& handshake, const LiveOffer& offer);
  void sweep();
  void sweep_journal();

  const NodeConfig& config_;
  const Keypair identity_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  std::unique_ptr<EvidenceSource> source_;
  std::unique_ptr<client::Journal> journal_;
  TurnEnd turn_end_;
  client::RelayPool pool_;
  client::FrameInbox inbox_;  ///< of the sessions
  AnswerStore answers_;
  PickupOutbox pickup_;
  Verifier verifier_;
  EncryptionKeys keys_;
  Background background_;
  BeaconFeed beacons_;
  PublishTimes times_;
  DirectPath direct_;
  LightningDesk* lightning_ = nullptr;  ///< none: not paid so
  AgentCounters counters_;
  NodeMetrics metrics_;

  std::unique_ptr<DemoEngineProcess> demo_;
  std::int64_t demo_restart_ms_ = 1000;
  bool stopping_ = false;
  std::function<void()> on_drained_;  ///< draining
  /// For callbacks that this object can't cancel.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::vector<std::unique_ptr<EngineSite>> sites_;
  std::unordered_map<PublicKey, std::shared_ptr<Serving>, FixedBytesHash> sessions_;
  const std::shared_ptr<const Rail> rail_;
  ChannelBooks books_;
  JournalSweep journal_sweep_;
  client::SubscriptionId first_frames_ = client::SubscriptionId::None;
  std::vector<net::TimerId> timers_;

  std::function<void(std::string)> on_serving_;
  std::function<void(std::string)> on_fatal_;
};

}  // namespace nostril::node
