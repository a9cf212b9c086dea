#include "relay/subscription_index.h"

#include "base/check.h"

#include <algorithm>

namespace nostril::relay {

namespace {

template <typename Entries, typename Subscription>
void erase_one(Entries& entries, const Subscription* subscription) {
  const auto found = std::ranges::find_if(
      entries, [&](const auto& entry) { return entry.subscription == subscription; });
  CHECK(found != entries.end());
  *found = entries.back();
  entries.pop_back();
}

}  // namespace

SubscriptionIndex::SubscriptionIndex(const SubscriptionHash& hash, Interest* interest)
    : hash_(hash), interest_(interest), filed_counts_(kBuckets) {}

template <typename File>
bool SubscriptionIndex::for_each_key(const Filter& filter, File file) const {
  std::size_t fewest = SIZE_MAX;
  if (filter.ids) fewest = std::min(fewest, filter.ids->size());
  if (filter.authors) fewest = std::min(fewest, filter.authors->size());
  for (const auto& tag : filter.tags) fewest = std::min(fewest, tag.values.size());
  // A kind is shared by many events: only when nothing else is there.
  if (filter.ids && filter.ids->size() == fewest) {
    for (const auto& id : *filter.ids) file(hash_.of_id(id));
    return true;
  }
  for (const auto& tag : filter.tags) {
    if (tag.values.size() != fewest) continue;
    for (const auto& value : tag.values) file(hash_.of_tag(tag.name, value));
    return true;
  }
  if (filter.authors) {
    for (const auto& author : *filter.authors) file(hash_.of_author(author));
    return true;
  }
  if (filter.kinds) {
    for (const std::uint32_t kind : *filter.kinds) file(hash_.of_kind(kind));
    return true;
  }
  return false;
}

void SubscriptionIndex::add(IndexedSubscription& subscription) {
  for (const Filter& filter : subscription.filters) {
    if (filter.matches_nothing()) continue;
    const Entry entry{&subscription, &filter};
    const bool is_filed = for_each_key(filter, [&](Key key) {
      const std::lock_guard lock(mutex_);
      filed_[key].push_back(entry);
      bucket(key).fetch_add(1);
    });
    if (!is_filed) {
      const std::lock_guard lock(mutex_);
      always_.push_back(entry);
      always_count_.fetch_add(1);
    }
  }
  ++subscriptions_;
  if (interest_ != nullptr) interest_->add(subscription.filters);
}

void SubscriptionIndex::remove(IndexedSubscription& subscription) {
  for (const Filter& filter : subscription.filters) {
    if (filter.matches_nothing()) continue;
    const bool is_filed = for_each_key(filter, [&](Key key) {
      const std::lock_guard lock(mutex_);
      const auto found = filed_.find(key);
      CHECK(found != filed_.end());
      erase_one(found->second, &subscription);
      if (found->second.empty()) filed_.erase(found);
      bucket(key).fetch_sub(1);
    });
    if (!is_filed) {
      const std::lock_guard lock(mutex_);
      erase_one(always_, &subscription);
      always_count_.fetch_sub(1);
    }
  }
  --subscriptions_;
  if (interest_ != nullptr) interest_->remove(subscription.filters);
}

// In the one order of all sequentially consistent operations: whoever commits an event, then does
// not see a subscription here, has committed before that subscription's scan of the store began.
bool SubscriptionIndex::may_want(std::span<const Key> keys) const {
  if (always_count_.load() != 0) return true;
  return std::ranges::any_of(keys,
                             [this](Key key) { return filed_counts_[key % kBuckets].load() != 0; });
}

bool SubscriptionIndex::wants(const Event& event, std::span<const Key> keys) const {
  if (!may_want(keys)) return false;
  const auto matches = [&](const Entry& entry) { return entry.filter->matches(event); };
  const std::lock_guard lock(mutex_);
  if (std::ranges::any_of(always_, matches)) return true;
  return std::ranges::any_of(keys, [&](Key key) {
    const auto found = filed_.find(key);
    return found != filed_.end() && std::ranges::any_of(found->second, matches);
  });
}

void SubscriptionIndex::gather(const Event& event) {
  found_.clear();
  if (!always_.empty()) found_.push_back(&always_);
  if (filed_.empty()) return;
  hash_.keys_of(event, keys_);
  for (const Key key : keys_) {
    const auto found = filed_.find(key);
    if (found != filed_.end()) found_.push_back(&found->second);
  }
}

}  // namespace nostril::relay
