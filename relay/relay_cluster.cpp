// Relay as the host of its part of a cluster: moderators' decisions in the order of the stream.
#include "base/log.h"
#include "relay/cluster/codec.h"
#include "relay/cluster/rules.h"
#include "relay/relay.h"
#include "relay/store_search.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace nostril::relay {

namespace {

// What is banned now goes whenever it came. Of the rest, what a decision has erased that is told
// again goes up to then: since then its author may have written what all others keep.
template <typename Id, typename Banned>
void add_filters(std::vector<Filter>& out, std::optional<std::vector<Id>> Filter::*member,
                 const std::vector<Id>& ids, const Banned& banned, const ModerationMessage& from) {
  std::vector<Id> whenever;
  std::vector<Id> until_then;
  for (const Id& id : ids) {
    (from.is_again && !banned.contains(id) ? until_then : whenever).push_back(id);
  }
  for (auto* some : {&whenever, &until_then}) {
    if (some->empty()) continue;
    Filter filter;
    if (some == &until_then) filter.until = from.decided_at_s;
    filter.*member = std::move(*some);
    filter.normalize();
    out.push_back(std::move(filter));
  }
}

template <typename Id>
void add_banned(std::vector<Id>& out, const ModerationMessage& message, ModerationList list) {
  for (const ModerationChange& change : message.changes) {
    const auto id =
        change.list == list && change.text ? Id::from(as_bytes(change.item)) : std::optional<Id>();
    if (id && std::ranges::find(out, *id) == out.end()) out.push_back(*id);
  }
}

// With a ban that is told again goes what came since it should have been told: the erasure that was
// decided with it may have been told, in its place.
std::vector<Filter> erased_by(const ModerationMessage& message, const ModerationLists& lists) {
  std::vector<PublicKey> authors = message.erased_authors;
  std::vector<EventId> ids = message.erased_ids;
  if (message.is_again) {
    add_banned(authors, message, ModerationList::BannedKeys);
    add_banned(ids, message, ModerationList::BannedEvents);
  }
  std::vector<Filter> out;
  add_filters(out, &Filter::authors, authors, *lists.banned_keys, message);
  add_filters(out, &Filter::ids, ids, *lists.banned_events, message);
  return out;
}

}  // namespace

// On every relay of the cluster, at the same place between two events: what one of them has stored
// before a ban and removed by it, no other keeps.
Result<void, std::string> Relay::decide(ModerationMessage message) {
  SystemRng rng;
  message.id = new_message_id(rng);
  message.relay = cluster_->subjects().relay();
  message.decided_at_s = clock_.unix_s();
  return cluster_->moderate(message.id, to_json(message));
}

Result<void, std::string> Relay::change_lists(std::span<const ModerationChange> changes) {
  if (cluster_) {
    ModerationMessage message;
    message.changes.assign(changes.begin(), changes.end());
    return decide(std::move(message));
  }
  if (auto applied = moderation_->apply(changes, clock_.unix_s()); !applied) return applied;
  use_lists();
  await_stored(announce_members());
  return {};
}

Result<std::size_t, std::string> Relay::erase_events(const Filter& filter) {
  if (!cluster_) {
    return relay::erase_events(*store_, ingest_->writer(), filter, clock_.unix_s());
  }
  ModerationMessage message;
  if (filter.authors) message.erased_authors = *filter.authors;
  if (filter.ids) message.erased_ids = *filter.ids;
  if (auto done = decide(std::move(message)); !done) return failure(std::move(done.error()));
  return erased_by_decision_.load();
}

ClusterHost::Applied Relay::apply_moderation(std::string_view body, Decided decided,
                                             std::string& why) {
  auto message = parse_moderation(body);
  if (!message) {
    why = to_string(message.error());
    return Applied::Senseless;
  }
  if (decisions_->has(message->id)) return Applied::Done;  // the stream was read anew
  if (decided.is_late) {
    auto still = decisions_->still_decided(*message);
    if (!still) {
      why = std::move(still.error());
      return Applied::NotNow;
    }
    *message = std::move(*still);
  }
  if (!message->changes.empty()) {
    if (auto applied = moderation_->apply(message->changes, message->decided_at_s); !applied) {
      why = std::move(applied.error());
      return Applied::NotNow;
    }
    use_lists();
    if (decided.is_own) announce_members();  // one of the relays says so, not each
  }
  std::size_t erased = 0;
  for (const Filter& filter : erased_by(*message, *moderation_->lists())) {
    const auto done = relay::erase_events(*store_, ingest_->writer(), filter, clock_.unix_s());
    if (!done) {
      why = done.error();
      return Applied::NotNow;
    }
    erased += *done;
  }
  if (auto noted = decisions_->put(*message); !noted) {
    why = std::move(noted.error());
    return Applied::NotNow;
  }
  erased_by_decision_.store(erased);
  log(LogLevel::Info, "cluster: decision {} of {}{}: {} changes, {} events removed",
      public_text(message->id), public_text(message->relay),
      public_text(message->is_again ? ", told again" : ""), message->changes.size(), erased);
  return Applied::Done;
}

bool Relay::fetch_snapshot(const std::string& /*why*/) {
  member_->fetch_snapshot();
  return true;
}

void Relay::publish_again(const std::vector<EventId>& ids) {
  for (std::span<const EventId> rest = ids; !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), kAskedAgainMax));
    (void)member_->repair().publish_again({some.begin(), some.end()});
    rest = rest.subspan(some.size());
  }
}

bool Relay::is_snapshot_offered() {
  return member_->is_snapshot_offered();
}

ClusterMemberParts Relay::member_parts() {
  return {*cluster_,
          *decisions_,
          *store_,
          ingest_->writer(),
          *moderation_,
          gate_,
          clock_,
          present_config().data,
          [this] { return digest_of_rules(present_config()); },
          [this] { return open_connections(); },
          [this] { return std::uint64_t{cluster_->outbox_events()}; }};
}

// What the relay itself publishes waits for the cluster.
void Relay::caught_up() {
  announce_members();
}

}  // namespace nostril::relay
