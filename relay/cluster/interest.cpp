#include "relay/cluster/interest.h"

#include "base/check.h"
#include "events/kinds.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace nostril::relay {

namespace {

// Of one filter; beyond it the shards are left out.
constexpr std::size_t kPartsMax = 256;

}  // namespace

// An event with too many shards goes to kManyShards, which whoever names a shard takes as well. A
// value of #p that is no key says nothing of the event's shards.
std::set<Interest::Part> Interest::parts_of(const Filter& filter) const {
  if (filter.matches_nothing()) return {};
  std::vector<std::optional<std::uint32_t>> kinds;
  if (!filter.kinds) {
    kinds.emplace_back();
  } else {
    for (const std::uint32_t kind : *filter.kinds) {
      if (kind_class(kind) == KindClass::Ephemeral) kinds.emplace_back(kind);
    }
  }
  std::set<std::optional<std::string>> shards;
  const auto p = std::ranges::find(filter.tags, 'p', &Filter::TagValues::name);
  if (p == filter.tags.end()) {
    shards.emplace();
  } else {
    shards.emplace(ClusterSubjects::kManyShards);
    for (const std::string& value : p->values) {
      auto shard = ClusterSubjects::shard_of(value);
      if (!shard) {
        shards = {std::nullopt};
        break;
      }
      shards.insert(std::move(shard));
    }
  }
  if (kinds.size() * shards.size() > kPartsMax) shards = {std::nullopt};
  if (kinds.size() > kPartsMax) kinds = {std::nullopt};
  std::set<Part> out;
  for (const auto& kind : kinds) {
    for (const auto& shard : shards) out.insert({kind, shard});
  }
  return out;
}

std::string Interest::subject_of(const Part& part) const {
  if (part.kind && part.shard) return subjects_.ephemeral(*part.kind, *part.shard);
  if (part.kind) return subjects_.ephemeral_of_kind(*part.kind);
  if (part.shard) return subjects_.ephemeral_of_shard(*part.shard);
  return subjects_.ephemeral_all();
}

std::set<std::string> Interest::subjects_of(const Filter& filter) const {
  std::set<std::string> out;
  for (const Part& part : parts_of(filter)) out.insert(subject_of(part));
  return out;
}

void Interest::add(std::span<const Filter> filters) {
  for (const Filter& filter : filters) {
    const auto parts = parts_of(filter);
    const std::lock_guard lock(mutex_);
    for (const Part& part : parts) {
      if (counts_[part]++ == 0) is_changed_ = true;
    }
  }
}

void Interest::remove(std::span<const Filter> filters) {
  for (const Filter& filter : filters) {
    const auto parts = parts_of(filter);
    const std::lock_guard lock(mutex_);
    for (const Part& part : parts) {
      const auto found = counts_.find(part);
      CHECK(found != counts_.end());
      if (--found->second > 0) continue;
      counts_.erase(found);
      is_changed_ = true;
    }
  }
}

// What all of some subjects' events come by makes those superfluous.
std::optional<std::set<std::string>> Interest::take_changes() {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(is_changed_, false)) return std::nullopt;
  const std::set<std::string> all = {subjects_.ephemeral_all()};
  if (counts_.contains({})) return all;
  std::set<std::string> out;
  for (const auto& [part, count] : counts_) {
    if (part.shard && counts_.contains({part.kind, std::nullopt})) continue;
    if (part.kind && part.shard && counts_.contains({std::nullopt, part.shard})) continue;
    out.insert(subject_of(part));
    if (out.size() > subjects_max_) break;
  }
  if (out.size() <= subjects_max_) return out;
  out.clear();
  for (const auto& [part, count] : counts_) {
    if (!part.kind) return all;
    out.insert(subjects_.ephemeral_of_kind(*part.kind));
    if (out.size() > subjects_max_) return all;
  }
  return out;
}

void Hearing::want(const std::set<std::string>& subjects, std::int64_t now_ms) {
  lingering_ = 0;
  for (auto& [subject, until_ms] : until_ms_) {
    if (subjects.contains(subject)) {
      until_ms = kWanted;
      continue;
    }
    if (until_ms == kWanted) until_ms = now_ms + kLingerMs;
    ++lingering_;
  }
  for (const auto& subject : subjects) {
    if (until_ms_.emplace(subject, kWanted).second) new_.push_back(subject);
  }
}

Hearing::Changes Hearing::take_changes(std::int64_t now_ms) {
  Changes out;
  out.subscribe = std::exchange(new_, {});
  if (lingering_ == 0) return out;
  const bool are_too_many = lingering_ > kLingeringMax;
  for (auto at = until_ms_.begin(); at != until_ms_.end();) {
    if (at->second == kWanted || (!are_too_many && now_ms < at->second)) {
      ++at;
      continue;
    }
    out.unsubscribe.push_back(at->first);
    at = until_ms_.erase(at);
    --lingering_;
  }
  return out;
}

}  // namespace nostril::relay
