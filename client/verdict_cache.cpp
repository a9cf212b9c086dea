#include "client/verdict_cache.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

std::shared_ptr<const attestation::Verdict> VerdictCache::find(const VerdictKey& key,
                                                               std::int64_t now_s) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  // A clock that was set back must not revive what may not have been valid then.
  if (now_s > found->second.until || now_s < found->second.from) {
    entries_.erase(found);
    return nullptr;
  }
  ++hits_;
  return found->second.verdict;
}

void VerdictCache::put(const VerdictKey& key, std::shared_ptr<const attestation::Verdict> verdict,
                       std::int64_t now_s) {
  const attestation::Check* freshness = verdict->find("freshness");
  if (verdicts_max_ == 0 || (freshness != nullptr && refuses(*freshness))) return;
  const std::int64_t until =
      verdict->accepted ? verdict->holds_until : std::min(verdict->holds_until, now_s + kRefusedS);
  if (until <= now_s) return;
  if (entries_.size() >= verdicts_max_ && !entries_.contains(key)) {
    entries_.erase(std::ranges::min_element(entries_, {},
                                            [](const auto& entry) { return entry.second.until; }));
  }
  entries_.insert_or_assign(key, Entry{std::move(verdict), now_s, until});
}

}  // namespace nostril::client
