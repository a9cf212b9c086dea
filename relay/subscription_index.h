#pragma once

#include "events/event.h"
#include "events/filter.h"
#include "net/server.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nostril::relay {

/// A REQ that is open. Lives in its session; the index borrows it.
struct Subscription {
  net::ConnectionId connection;
  std::string name;
  std::vector<Filter> filters;
  std::string prefix;  ///< ["EVENT","name",

  /// For the index: the last event it was shown for, so that a subscription which several of its
  /// terms find is looked at once.
  std::uint64_t shown = 0;
};

/// Finds the open subscriptions that an event matches without looking at all of them. Each filter
/// is filed under the rarest kind of term it has: ids, authors, one tag, kinds; or under none.
/// Threads: one; each loop has its own.
class SubscriptionIndex {
 public:
  /// `subscription` must stay where it is until remove().
  void add(Subscription* subscription);
  void remove(Subscription* subscription);

  /// Calls `visit` once for each subscription with a filter that matches.
  template <typename Visit>
  void match(const Event& event, Visit visit) {
    ++serial_;
    const auto look = [&](const List* list) {
      if (list == nullptr) return;
      for (Subscription* subscription : *list) {
        if (subscription->shown == serial_) continue;
        subscription->shown = serial_;
        if (matches_any(subscription->filters, event)) visit(*subscription);
      }
    };
    look(find(by_id_, event.id));
    look(find(by_author_, event.pubkey));
    for (const Tags::View tag : event.tags) {
      const auto value = tag.value();
      if (value && tag.name().size() == 1) look(find_tag(tag.name()[0], *value));
    }
    look(find(by_kind_, event.kind));
    look(&others_);
  }

  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  using List = std::vector<Subscription*>;

  /// Tag name and value as one key; looked up without making a string.
  struct TagKeyHash {
    using is_transparent = void;

    std::size_t operator()(std::string_view key) const {
      return std::hash<std::string_view>()(key);
    }
  };

  template <typename Map, typename Key>
  static const List* find(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &found->second;
  }

  [[nodiscard]] const List* find_tag(char name, std::string_view value);
  /// Calls `change` with each list that the filter belongs to.
  template <typename Change>
  void for_each_list(const Filter& filter, Change change);

  std::unordered_map<EventId, List, FixedBytesHash> by_id_;
  std::unordered_map<PublicKey, List, FixedBytesHash> by_author_;
  std::unordered_map<std::string, List, TagKeyHash, std::equal_to<>> by_tag_;
  std::unordered_map<std::uint32_t, List> by_kind_;
  List others_;
  std::string tag_key_;  // scratch
  std::uint64_t serial_ = 0;
  std::size_t count_ = 0;
};

}  // namespace nostril::relay
