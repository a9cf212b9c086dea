#pragma once

#include "net/loop.h"
#include "node/background.h"
#include "node/beacon_feed.h"
#include "node/config.h"
#include "node/engine.h"
#include "node/evidence_source.h"
#include "node/node_keys.h"
#include "node/node_parts.h"
#include "node/publish_times.h"
#include "node/publisher.h"
#include "node/serving.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::node {

/// What the node lends to each of its engines. Borrowed; outlives them.
struct SiteParts : NodeParts {
  EncryptionKeys& keys;
  EvidenceSource& source;
  Background& background;
  const BeaconFeed& beacons;
  PublishTimes& times;
  const DirectPath& direct;
};

struct SiteCallbacks {
  /// A relay took an offer.
  std::function<void(const Offer&)> on_offered;
  /// Nothing of this engine can be offered as it is configured: a line for the operator.
  std::function<void(std::string)> on_problem;
  /// No other engine offers that model.
  std::function<bool(const std::string& model)> may_offer;
};

/// What one engine has to do at this moment, for metrics.
struct SiteFigures {
  std::string engine;  ///< its address
  std::size_t running = 0;
  std::size_t waiting = 0;
  std::size_t limit = 0;
  std::optional<EngineLoad> load;  ///< as it last said; nothing: it does not
  std::vector<std::pair<std::string, std::int64_t>> offers;  ///< model, when its evidence was made
};

/// One engine of the node: watched, warmed up, each of its models under an offer of its own. It is
/// asked for its models every 3 s; two misses withdraw its offers, and from then on the pauses
/// double up to 30 s. While requests are inside, it is asked each second how it bears them, so that
/// admission learns. Threads: the loop's only.
class EngineSite {
 public:
  /// `engine`: kept until reconfigure(). Nothing happens before check().
  EngineSite(SiteParts parts, NodeConfig::EngineSettings engine, SiteCallbacks callbacks);
  ~EngineSite();
  EngineSite(const EngineSite&) = delete;
  EngineSite& operator=(const EngineSite&) = delete;

  /// The engine runs elsewhere from now on. Sessions hold on to this object, so it stays.
  void move_to(EngineAddress address);

  /// The node's configuration has changed; `engine`: this engine's part of it, at the same url.
  void reconfigure(NodeConfig::EngineSettings engine);

  [[nodiscard]] const std::string& configured_url() const { return settings_.url; }

  /// Weights of an engine that the node itself started, when none are configured.
  void set_own_weights(std::filesystem::path file) { own_weights_ = std::move(file); }

  /// Asks the engine now, and from then on by itself.
  void check();
  /// The engine is known to be gone: its offers are withdrawn.
  void lost();
  /// No further check and no new request; what is inside the engine ends. Withdraws the offers.
  void close(const std::function<void()>& withdrawn = {});

  /// Offers made anew: for a new key, or what was due.
  void renew(bool key_is_new);
  /// What relays may have lost, once more.
  void publish_again();

  [[nodiscard]] bool offers_model(const std::string& model) const;

  /// An offer was under way once, so that sessions may name it.
  [[nodiscard]] bool served() const { return !models_.empty(); }

  /// The newest offers, of one model or of all.
  [[nodiscard]] const LiveOffer* find_model(std::string_view model) const;
  [[nodiscard]] std::vector<const LiveOffer*> offered() const;

  /// The offer of that id while it may still be used.
  [[nodiscard]] const LiveOffer* find(const EventId& offer) const;

  [[nodiscard]] SiteFigures figures() const;

  [[nodiscard]] bool closed() const { return closed_; }

  [[nodiscard]] Services& services() { return services_; }

  [[nodiscard]] EngineQueue& queue() { return queue_; }

 private:
  struct Model {
    std::unique_ptr<Publisher> publisher;
    bool warm = false;
    Engine::Call warming = Engine::Call::None;
  };

  void on_checked(std::optional<FoundEngine> found);
  void arm();
  void start_manifest(const std::shared_ptr<const FoundEngine>& found);
  void read_version(FoundEngine found);
  void serve(const FoundEngine& found);
  void offer(const FoundEngine& found, const EngineModel& model);
  void warm_up(const std::string& name);
  void stop_warming();
  void report(std::string problem);
  void poll_load();
  void tell_load();
  [[nodiscard]] bool is_wanted(const FoundEngine& found, const EngineModel& model) const;
  [[nodiscard]] Model& model_of(const std::string& name);

  SiteParts parts_;
  NodeConfig::EngineSettings settings_;
  SiteCallbacks callbacks_;
  std::filesystem::path own_weights_;
  Engine engine_;
  EngineQueue queue_;
  Services services_;
  std::map<std::string, Model> models_;
  std::optional<std::string> manifest_;  ///< text; empty: no claim; none: not made yet
  bool hashing_ = false;
  /// Read by the background thread, which may outlive this object by a moment.
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::string problem_;  ///< told last
  bool reading_version_ = false;
  bool closed_ = false;
  bool checking_ = false;
  int failed_checks_ = 0;
  std::uint64_t pause_ms_;
  net::TimerId timer_ = net::TimerId::None;
  net::TimerId load_timer_ = net::TimerId::None;
  int load_misses_ = 0;  ///< in a row
  bool asking_load_ = false;
  std::optional<EngineLoad> load_;
  /// For callbacks that this object can't cancel.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::node
