#include "client/trust_feed.h"

#include "base/hex.h"
#include "base/log.h"
#include "events/beacon.h"
#include "events/kinds.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

TrustFeed::TrustFeed(RelayPool& pool, TrustSettings& trust, Clock& clock,
                     std::filesystem::path folder)
    : pool_(pool),
      trust_(trust),
      clock_(clock),
      folder_(std::move(folder)),
      book_(trust.policy.lists) {
  add_files(book_, trust.policy.lists, clock.unix_s());
  add_folder(book_, folder_, clock.unix_s());
  book_.apply_to(trust_.policy);
  subscribe();
}

TrustFeed::~TrustFeed() {
  if (subscription_ != SubscriptionId::None) pool_.unsubscribe(subscription_);
}

void TrustFeed::subscribe() {
  const VerifyPolicy& policy = trust_.policy;
  std::vector<Filter> filters;
  if (!policy.lists.trusted.empty()) {
    Filter lists;
    lists.kinds = {kinds::kKnownGood};
    lists.authors = policy.lists.trusted;
    std::ranges::sort(*lists.authors);
    filters.push_back(std::move(lists));
  }
  if (!policy.beacons.empty()) {
    Filter beacons;
    beacons.kinds = {kinds::kBeacon};
    beacons.authors = policy.beacons;
    std::ranges::sort(*beacons.authors);
    beacons.since = clock_.unix_s() - policy.tdx.acceptance.beacon_age_s_max;
    beacons.limit = kBeaconsMax;
    filters.push_back(std::move(beacons));
  }
  if (filters.empty()) return;
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) {
    if (event.event().kind == kinds::kKnownGood) {
      on_list(event);
    } else {
      on_beacon(event.event());
    }
  };
  callbacks.on_stored_end = [this](const std::string&) {
    ++stored_ends_;
    if (changed_) changed_();
  };
  subscription_ = pool_.subscribe(std::move(filters), std::move(callbacks));
}

void TrustFeed::on_list(const VerifiedEvent& event) {
  const auto outcome = book_.add(event, clock_.unix_s());
  if (outcome == KnownGoodBook::Outcome::Older) return;
  if (outcome != KnownGoodBook::Outcome::Taken) {
    log(LogLevel::Warning, "known-good list {} is not taken: {}",
        public_text(encode_hex(event.event().id)), outcome);
    return;
  }
  for (const auto& [key, kept] : book_.lists()) {
    if (kept.event.id != event.event().id) continue;
    if (!save_list(folder_, kept))
      log(LogLevel::Warning, "{}: lists can't be kept", public_text(folder_.string()));
  }
  book_.apply_to(trust_.policy);
  if (changed_) changed_();
}

void TrustFeed::on_beacon(const Event& event) {
  auto& beacons = trust_.policy.tdx.acceptance.beacons;
  const std::int64_t oldest = clock_.unix_s() - trust_.policy.tdx.acceptance.beacon_age_s_max;
  std::erase_if(beacons, [oldest](const auto& beacon) { return beacon.at < oldest; });
  // Any other event of the key could have been foreseen.
  if (event.created_at < oldest || !parse_beacon(event)) return;
  if (beacons.size() >= kBeaconsMax) {
    beacons.erase(std::ranges::min_element(beacons, {}, &attestation::Beacon::at));
  }
  beacons.push_back({event.id.bytes, event.created_at});
  if (changed_) changed_();
}

}  // namespace nostril::client
