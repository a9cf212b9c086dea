#pragma once

#include "base/clock.h"
#include "client/relay_pool.h"
#include "events/beacon.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace nostril::node {

/// Follows the beacons (kind 1474) of witnesses on the node's relays: evidence of offers is made
/// over the newest, so that a client can bound its age from the other side. A beacon is a hint
/// here: clients judge it by their own clock and their own list of witnesses.
/// Threads: the loop's only.
class BeaconFeed {
 public:
  /// Of `witnesses` the first that is heard counts; none: asks nothing. A beacon older than
  /// `age_s_max` is as good as none.
  BeaconFeed(client::RelayPool& pool, std::vector<PublicKey> witnesses, std::int64_t age_s_max,
             Clock& clock);
  ~BeaconFeed();
  BeaconFeed(const BeaconFeed&) = delete;
  BeaconFeed& operator=(const BeaconFeed&) = delete;

  /// Call after the pool has its relays.
  void start();

  /// There are witnesses to follow.
  [[nodiscard]] bool wanted() const { return !witnesses_.empty(); }

  /// What new evidence should be over.
  [[nodiscard]] std::optional<Beacon> newest() const;

  /// Writes to the log when the beacons have stopped or are back. Call every second or so.
  void watch();

 private:
  void on_event(const Event& event);

  client::RelayPool& pool_;
  const std::vector<PublicKey> witnesses_;
  const std::int64_t age_s_max_;
  Clock& clock_;
  client::SubscriptionId subscription_ = client::SubscriptionId::None;
  std::map<PublicKey, Beacon> newest_;  ///< of each witness
  bool heard_ = false;                  ///< as the log has it
};

}  // namespace nostril::node
