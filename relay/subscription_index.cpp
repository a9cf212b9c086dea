#include "relay/subscription_index.h"

#include <algorithm>

namespace nostril::relay {

namespace {

std::string tag_key(char name, std::string_view value) {
  std::string key(1, name);
  key += value;
  return key;
}

}  // namespace

const SubscriptionIndex::List* SubscriptionIndex::find_tag(char name, std::string_view value) {
  if (by_tag_.empty()) return nullptr;
  tag_key_.assign(1, name);
  tag_key_ += value;
  return find(by_tag_, std::string_view(tag_key_));
}

template <typename Change>
void SubscriptionIndex::for_each_list(const Filter& filter, Change change) {
  if (filter.ids) {
    for (const EventId& id : *filter.ids) change(by_id_, id);
  } else if (filter.authors) {
    for (const PublicKey& author : *filter.authors) change(by_author_, author);
  } else if (!filter.tags.empty()) {
    const Filter::TagValues& tag =
        *std::ranges::min_element(filter.tags, {}, [](const auto& t) { return t.values.size(); });
    for (const std::string& value : tag.values) change(by_tag_, tag_key(tag.name, value));
  } else if (filter.kinds) {
    for (const std::uint32_t kind : *filter.kinds) change(by_kind_, kind);
  }
}

void SubscriptionIndex::add(Subscription* subscription) {
  ++count_;
  for (const Filter& filter : subscription->filters) {
    if (!filter.ids && !filter.authors && filter.tags.empty() && !filter.kinds) {
      others_.push_back(subscription);
      continue;
    }
    for_each_list(filter,
                  [subscription](auto& map, const auto& key) { map[key].push_back(subscription); });
  }
}

void SubscriptionIndex::remove(Subscription* subscription) {
  --count_;
  std::erase(others_, subscription);
  for (const Filter& filter : subscription->filters) {
    for_each_list(filter, [subscription](auto& map, const auto& key) {
      const auto found = map.find(key);
      if (found == map.end()) return;  // two filters shared the list
      std::erase(found->second, subscription);
      if (found->second.empty()) map.erase(found);
    });
  }
}

}  // namespace nostril::relay
