#include "relay/cluster/cluster_member.h"

#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#ifndef NOSTRIL_VERSION
#define NOSTRIL_VERSION "unknown"
#endif

namespace nostril::relay {

namespace {

constexpr std::int64_t kWhoWaitMs = 1'000;

RelayState state_of(const ClusterFigures& figures) {
  switch (figures.phase) {
    case ClusterPhase::Joining:
      return RelayState::Joining;
    case ClusterPhase::Waiting:
    case ClusterPhase::CatchingUp:
      return RelayState::CatchingUp;
    case ClusterPhase::Serving:
      return figures.is_away ? RelayState::Away : RelayState::Serving;
    case ClusterPhase::Stuck:
      return RelayState::Stuck;
  }
  return RelayState::Stuck;
}

SnapshotDeskParts desk_parts(const ClusterMemberParts& parts) {
  return {parts.cluster.bus(),
          parts.cluster.subjects(),
          {parts.store, parts.writer, parts.moderation, parts.cluster.subjects().relay(), {}, {}},
          parts.data,
          parts.clock,
          [&parts] {
            return parts.cluster.figures().phase == ClusterPhase::Serving &&
                   parts.gate.state() == ServiceGate::State::Open;
          },
          [&parts] { return parts.cluster.figures().stream_first; }};
}

// Only while it serves: then what it was told is what it has.
RepairParts repair_parts(const ClusterMemberParts& parts) {
  return {parts.cluster.bus(),
          parts.cluster.subjects(),
          parts.store,
          parts.writer.in_tables(),
          parts.cluster.applied_ids(),
          parts.decisions,
          parts.clock,
          [&parts]() -> std::optional<StreamPosition> {
            const ClusterFigures figures = parts.cluster.figures();
            if (figures.phase != ClusterPhase::Serving) return std::nullopt;
            return StreamPosition{figures.stream, figures.position};
          }};
}

}  // namespace

ClusterMember::ClusterMember(ClusterMemberParts parts)
    : parts_(std::move(parts)),
      started_at_ms_(parts_.clock.unix_ms()),
      snapshots_(desk_parts(parts_)),
      control_(parts_.cluster.bus(), parts_.cluster.subjects(),
               {[this] { return status(); }, [this] { return drain(); },
                [this] { return resnapshot(); }}),
      repair_(repair_parts(parts_)) {}

ClusterMember::~ClusterMember() {
  stop();
}

void ClusterMember::start() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = false;
  }
  snapshots_.start();
  control_.start();
  repair_.start();
  if (is_snapshot_wanted(parts_.data)) fetch_snapshot();
}

void ClusterMember::stop() {
  control_.stop();
  repair_.stop();
  snapshots_.stop();
  std::unique_ptr<SnapshotFetch> fetch;
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    fetch = std::move(fetch_);
  }
}

void ClusterMember::fetch_snapshot() {
  const std::lock_guard lock(mutex_);
  if (is_stopped_ || fetch_) return;
  fetch_ =
      std::make_unique<SnapshotFetch>(parts_.cluster.bus(), parts_.cluster.subjects(), parts_.data,
                                      parts_.clock, [this] { is_renewing_ = true; });
}

bool ClusterMember::is_snapshot_offered() {
  const SnapshotWho who{parts_.cluster.subjects().relay(), {}};
  const auto reply = parts_.cluster.bus().request(parts_.cluster.subjects().snapshot(),
                                                  to_json(SnapshotRequest(who)), kWhoWaitMs);
  const auto offer = reply ? parse_snapshot_offer(*reply) : failure(CodecError::NotJson);
  return offer && offer->events > 0;
}

bool ClusterMember::is_fetching() const {
  const std::lock_guard lock(mutex_);
  return fetch_ != nullptr;
}

ClusterMember::Wish ClusterMember::wish() const {
  if (is_renewing_.load() || parts_.cluster.wants_new_start()) return Wish::Renew;
  const std::int64_t since_ms = draining_since_ms_.load();
  if (since_ms == 0 || parts_.clock.monotonic_ms() - since_ms < kNoticeMs) return Wish::None;
  return parts_.outbox_events() == 0 ? Wish::Leave : Wish::None;
}

Result<void, std::string> ClusterMember::drain() {
  std::int64_t none = 0;
  draining_since_ms_.compare_exchange_strong(
      none, std::max<std::int64_t>(1, parts_.clock.monotonic_ms()));
  parts_.gate.set(ServiceGate::State::Draining);
  return {};
}

// Nothing is lost of what the cluster has acknowledged; what waits here for it would stay behind.
Result<void, std::string> ClusterMember::resnapshot() {
  if (parts_.gate.state() == ServiceGate::State::Draining) {
    return failure(std::string("it is leaving the cluster"));
  }
  if (!want_snapshot(parts_.data)) {
    return failure(std::string("its data directory can't be written"));
  }
  fetch_snapshot();
  return {};
}

SnapshotProgress ClusterMember::fetched() const {
  const std::lock_guard lock(mutex_);
  return fetch_ ? fetch_->progress() : SnapshotProgress();
}

RelayStatus ClusterMember::status() const {
  const ClusterFigures figures = parts_.cluster.figures();
  RelayStatus out;
  out.relay = parts_.cluster.subjects().relay();
  out.version = NOSTRIL_VERSION;
  out.state = state_of(figures);
  out.note = is_fetching() ? fetched().text() : figures.note;
  out.outbox_events = parts_.outbox_events();
  if (draining_since_ms_.load() != 0) {
    out.state = RelayState::Draining;
    if (out.outbox_events > 0) {
      out.note = fmt::format("{} queued events wait for the cluster", out.outbox_events);
    }
  }
  out.stream = figures.stream;
  out.position = figures.position;
  out.stream_last = figures.stream_last;
  out.events = parts_.store.count();
  out.connections = parts_.connections();
  out.rules = parts_.rules();
  out.started_at_ms = started_at_ms_;
  return out;
}

}  // namespace nostril::relay
