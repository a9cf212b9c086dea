#pragma once

#include "events/filter.h"
#include "relay/cluster/interest.h"
#include "relay/subscription_hash.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

namespace nostril::relay {

/// What the index holds of a subscription. Derive from it; its filters must not change, and it must
/// not move, while it is in an index.
struct IndexedSubscription {
  std::vector<Filter> filters;
  std::uint64_t visited = 0;  ///< the index's own: the last search that met it
};

/// Which subscriptions want this event? Each filter is filed under the values of one of its
/// members, the one with the fewest (ids, authors, kinds, or one tag); an event looks up its own
/// id, author, kind and tags, and the candidates are then compared exactly. Filters without any
/// such member are candidates always. A collision of two keys costs a comparison.
///
/// Threads: one, but wants() from any. Memory: about 100 bytes for each value filed, and 256
/// KiB.
class SubscriptionIndex {
 public:
  using Key = SubscriptionHash::Key;

  /// `interest`: of the cluster, told of every filter here; none: there is no cluster.
  explicit SubscriptionIndex(const SubscriptionHash& hash, Interest* interest = nullptr);

  /// Seen by every wants() that comes later, by anybody's order of events.
  void add(IndexedSubscription& subscription);
  void remove(IndexedSubscription& subscription);

  /// Whether a subscription here matches: if none, this index's thread need not be woken. `keys`:
  /// the event's own by the same hash.
  [[nodiscard]] bool wants(const Event& event, std::span<const Key> keys) const;

  /// Calls visit(IndexedSubscription&) once for each subscription with a filter that matches. The
  /// visit may not add or remove.
  template <typename Visit>
  void match(const Event& event, Visit visit) {
    ++search_;
    gather(event);
    for (const std::vector<Entry>* entries : found_) {
      for (const Entry& entry : *entries) {
        if (entry.subscription->visited == search_ || !entry.filter->matches(event)) continue;
        entry.subscription->visited = search_;
        visit(*entry.subscription);
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return subscriptions_; }

 private:
  static constexpr std::size_t kBuckets = 1U << 16U;
  using Count = std::atomic<std::uint32_t>;

  struct Entry {
    IndexedSubscription* subscription;
    const Filter* filter;
  };

  struct AsIs {
    std::size_t operator()(Key key) const { return key; }
  };

  // Calls file(key) for each value the filter is filed under; false when there is no such member.
  template <typename File>
  bool for_each_key(const Filter& filter, File file) const;
  void gather(const Event& event);
  [[nodiscard]] bool may_want(std::span<const Key> keys) const;

  Count& bucket(Key key) { return filed_counts_[key % kBuckets]; }

  const SubscriptionHash hash_;
  Interest* const interest_;
  // Changed by the one thread with mutex_ held, for a value at a time; others read with it.
  mutable std::mutex mutex_;
  std::unordered_map<Key, std::vector<Entry>, AsIs> filed_;
  std::vector<Entry> always_;
  // Of the present search.
  std::vector<Key> keys_;
  std::vector<const std::vector<Entry>*> found_;
  std::uint64_t search_ = 0;
  std::size_t subscriptions_ = 0;
  // What other threads look at first: entries filed, by the low bits of their keys.
  std::vector<Count> filed_counts_;
  Count always_count_{0};
};

}  // namespace nostril::relay
