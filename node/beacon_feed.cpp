#include "node/beacon_feed.h"

#include "base/log.h"
#include "events/kinds.h"

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

/// A witness' clock may be so much ahead of this machine's.
constexpr std::int64_t kClockSkewS = 900;
/// Of each witness, what its relays have stored: only the newest counts.
constexpr std::uint64_t kStoredMax = 16;

}  // namespace

BeaconFeed::BeaconFeed(client::RelayPool& pool, std::vector<PublicKey> witnesses,
                       std::int64_t age_s_max, Clock& clock)
    : pool_(pool), witnesses_(std::move(witnesses)), age_s_max_(age_s_max), clock_(clock) {}

BeaconFeed::~BeaconFeed() {
  if (subscription_ != client::SubscriptionId::None) pool_.unsubscribe(subscription_);
}

void BeaconFeed::start() {
  std::vector<Filter> filters;
  for (const PublicKey& witness : witnesses_) {
    Filter filter;
    filter.kinds = {kinds::kBeacon};
    filter.authors = {witness};
    filter.limit = kStoredMax;
    filters.push_back(std::move(filter));
  }
  if (filters.empty()) return;
  client::SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_event(event.event()); };
  callbacks.on_closed = [](const std::string& relay, const std::string& reason) {
    log(LogLevel::Warning, "{} refuses to send beacons: {}", public_text(relay),
        public_text(reason));
  };
  subscription_ = pool_.subscribe(std::move(filters), std::move(callbacks));
}

void BeaconFeed::on_event(const Event& event) {
  const auto beacon = parse_beacon(event);
  if (!beacon || beacon->created_at > clock_.unix_s() + kClockSkewS) return;
  const auto known = newest_.find(beacon->witness);
  if (known != newest_.end() && known->second.created_at >= beacon->created_at) return;
  newest_.insert_or_assign(beacon->witness, *beacon);
}

std::optional<Beacon> BeaconFeed::newest() const {
  const std::int64_t oldest = clock_.unix_s() - age_s_max_;
  for (const PublicKey& witness : witnesses_) {
    const auto found = newest_.find(witness);
    if (found != newest_.end() && found->second.created_at >= oldest) return found->second;
  }
  return std::nullopt;
}

void BeaconFeed::watch() {
  if (!wanted()) return;
  const auto beacon = newest();
  if (beacon.has_value() == heard_) return;
  heard_ = beacon.has_value();
  if (heard_) {
    log(LogLevel::Info, "evidence is made over beacons, the newest of {} s ago",
        clock_.unix_s() - beacon->created_at);
  } else {
    log(LogLevel::Warning,
        "no beacon for more than {} s: the offers go on, but clients that require one refuse them",
        age_s_max_);
  }
}

}  // namespace nostril::node
